"""Rows that arrive together share one write."""

from __future__ import annotations

import asyncio

import pytest

from clarion.errors import RowRefused, StoreUnavailable
from clarion.store.batcher import MANY, Batcher


class Writer:
    """A write that ends when it is told to, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started = asyncio.Semaphore(0)
        self.go = asyncio.Semaphore(0)
        self.error: Exception | None = None

    async def write(self, rows: list[int]) -> list[int | RowRefused]:
        self.batches.append(rows)
        self.started.release()
        await self.go.acquire()
        if self.error is not None:
            raise self.error
        return [RowRefused("odd") if row == 13 else row * 10 for row in rows]

    async def finish(self, batches: int = 1) -> None:
        for _ in range(batches):
            await self.started.acquire()
            self.go.release()


async def submitted(batcher: Batcher[int, int], *rows: int) -> list[asyncio.Task[int]]:
    """Submit rows as so many callers; return once each has handed its row in."""
    tasks = [asyncio.create_task(batcher.submit(row)) for row in rows]
    await asyncio.sleep(0)
    return tasks


async def test_a_lone_row_is_written_at_once() -> None:
    writer = Writer()
    batcher = Batcher[int, int]("test", writer.write)

    (caller,) = await submitted(batcher, 1)
    await writer.finish()

    assert await caller == 10
    assert writer.batches == [[1]]


async def test_a_batch_is_what_came_in_while_the_last_was_under_way() -> None:
    writer = Writer()
    batcher = Batcher[int, int]("test", writer.write)

    first = await submitted(batcher, 1)
    await writer.started.acquire()
    rest = await submitted(batcher, 2, 3, 4)
    writer.go.release()
    await writer.finish()

    assert await asyncio.gather(*first, *rest) == [10, 20, 30, 40]
    assert writer.batches == [[1], [2, 3, 4]]


async def test_a_batch_has_a_largest_size() -> None:
    writer = Writer()
    batcher = Batcher[int, int]("test", writer.write, max_rows=2)

    callers = await submitted(batcher, 1, 2, 3, 4, 5)
    await writer.finish(3)

    assert await asyncio.gather(*callers) == [10, 20, 30, 40, 50]
    assert writer.batches == [[1, 2], [3, 4], [5]]


async def test_a_rows_own_error_is_its_own() -> None:
    writer = Writer()
    batcher = Batcher[int, int]("test", writer.write)

    callers = await submitted(batcher, 1, 13, 2)
    await writer.finish()

    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [int, RowRefused, int]


async def test_rows_submitted_together_are_answered_in_their_order() -> None:
    writer = Writer()
    batcher = Batcher[int, int]("test", writer.write, max_rows=2)

    answers = asyncio.create_task(batcher.submit_all([1, 13, 2]))
    await writer.finish(2)

    one, odd, two = await answers
    assert (one, two) == (10, 20)
    assert isinstance(odd, RowRefused)
    assert writer.batches == [[1, 13], [2]]


async def test_rows_submitted_together_fail_together_on_what_nobody_thought_of() -> None:
    writer = Writer()
    writer.error = RuntimeError("broken")
    batcher = Batcher[int, int]("test", writer.write)

    answers = asyncio.create_task(batcher.submit_all([1, 2]))
    await writer.finish()

    with pytest.raises(RuntimeError, match="broken"):
        await answers


async def test_a_cancelled_caller_gives_up_all_of_its_rows_that_wait() -> None:
    writer = Writer()
    batcher = Batcher[int, int]("test", writer.write)
    first = await submitted(batcher, 1)
    await writer.started.acquire()
    both = asyncio.create_task(batcher.submit_all([2, 3]))
    (last,) = await submitted(batcher, 4)

    both.cancel()
    await asyncio.sleep(0)
    writer.go.release()
    await writer.finish()

    assert await asyncio.gather(*first, last) == [10, 40]
    assert writer.batches == [[1], [4]]


async def test_a_failed_batch_fails_each_of_its_callers_and_no_later_one() -> None:
    writer = Writer()
    writer.error = StoreUnavailable("gone")
    batcher = Batcher[int, int]("test", writer.write)

    callers = await submitted(batcher, 1, 2)
    await writer.finish()
    failed = await asyncio.gather(*callers, return_exceptions=True)
    writer.error = None
    (later,) = await submitted(batcher, 3)
    await writer.finish()

    assert [str(error) for error in failed] == ["gone", "gone"]
    assert failed[0] is not failed[1]
    assert await later == 30


async def test_a_cancelled_caller_that_waits_gives_its_row_up() -> None:
    writer = Writer()
    batcher = Batcher[int, int]("test", writer.write)
    first = await submitted(batcher, 1)
    await writer.started.acquire()
    second, third = await submitted(batcher, 2, 3)

    second.cancel()
    await asyncio.sleep(0)
    writer.go.release()
    await writer.finish()

    assert await asyncio.gather(*first, third) == [10, 30]
    assert writer.batches == [[1], [3]]


async def test_a_caller_cancelled_during_its_write_disturbs_nobody() -> None:
    writer = Writer()
    batcher = Batcher[int, int]("test", writer.write)
    first, second = await submitted(batcher, 1, 2)
    await writer.started.acquire()

    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    writer.go.release()

    assert await second == 20


async def test_closing_writes_what_waits_and_refuses_more() -> None:
    writer = Writer()
    batcher = Batcher[int, int]("test", writer.write, max_rows=1)
    callers = await submitted(batcher, 1, 2)

    closing = asyncio.create_task(batcher.close())
    await writer.finish(2)
    await closing

    assert await asyncio.gather(*callers) == [10, 20]
    with pytest.raises(StoreUnavailable, match="closed"):
        await batcher.submit(3)


@pytest.mark.parametrize(("gap", "later"), [(0.0, [[8], [9]]), (0.2, [[8, 9]])])
async def test_after_many_rows_the_next_ones_gather_for_a_moment(
    gap: float, later: list[list[int]]
) -> None:
    writer = Writer()
    batcher = Batcher[int, int]("test", writer.write, gap=gap)
    many = await submitted(batcher, *range(MANY))
    await writer.finish()
    await asyncio.wait(many)

    first = await submitted(batcher, 8)
    for _ in range(10):
        await asyncio.sleep(0)
    second = await submitted(batcher, 9)
    await writer.finish(len(later))

    assert await asyncio.gather(*first, *second) == [80, 90]
    assert writer.batches[1:] == later


async def test_few_rows_make_none_wait() -> None:
    writer = Writer()
    batcher = Batcher[int, int]("test", writer.write, gap=3600)

    for row in (1, 2):
        (caller,) = await submitted(batcher, row)
        await writer.finish()
        assert await caller == row * 10

    assert writer.batches == [[1], [2]]


async def test_closing_writes_what_gathers() -> None:
    writer = Writer()
    batcher = Batcher[int, int]("test", writer.write, gap=0.05)
    many = await submitted(batcher, *range(MANY))
    await writer.finish()
    await asyncio.wait(many)
    (last,) = await submitted(batcher, 8)

    closing = asyncio.create_task(batcher.close())
    await writer.finish()
    await closing

    assert await last == 80


async def test_lingering_rows_wait_for_company() -> None:
    writer = Writer()
    batcher = Batcher[int, int]("test", writer.write, linger=0.05)
    first = await submitted(batcher, 1)
    for _ in range(10):
        await asyncio.sleep(0)

    second = await submitted(batcher, 2)
    await writer.finish()

    assert await asyncio.gather(*first, *second) == [10, 20]
    assert writer.batches == [[1, 2]]


async def test_closing_ends_the_lingering() -> None:
    writer = Writer()
    batcher = Batcher[int, int]("test", writer.write, linger=3600)
    (last,) = await submitted(batcher, 1)

    closing = asyncio.create_task(batcher.close())
    await writer.finish()
    await closing

    assert await last == 10
