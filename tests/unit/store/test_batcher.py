"""How rows that come together share a write."""

from __future__ import annotations

import asyncio

from clarion.store.batcher import MANY, Batcher


class Written:
    """What was written, batch by batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def write(self, rows: list[int]) -> list[int]:
        """Write nothing, and answer each row with itself."""
        self.batches.append(rows)
        return rows


async def _one_after_another(batcher: Batcher[int, int]) -> None:
    """Submit many, then one, and another once the first would have been written without a gap."""
    assert await asyncio.gather(*map(batcher.submit, range(MANY))) == [*range(MANY)]
    first = asyncio.create_task(batcher.submit(MANY))
    for _ in range(10):
        await asyncio.sleep(0)
    assert await batcher.submit(MANY + 1) == MANY + 1
    assert await first == MANY


async def test_a_lone_row_is_written_at_once() -> None:
    written = Written()
    batcher = Batcher("test", written.write, gap=3600)

    assert await batcher.submit(1) == 1
    assert await batcher.submit(2) == 2

    assert written.batches == [[1], [2]]


async def test_after_many_rows_the_next_ones_gather_for_a_moment() -> None:
    written = Written()

    await _one_after_another(Batcher("test", written.write, gap=0.2))

    assert written.batches == [[*range(MANY)], [MANY, MANY + 1]]


async def test_without_a_gap_nothing_waits_for_more() -> None:
    written = Written()

    await _one_after_another(Batcher("test", written.write))

    assert written.batches == [[*range(MANY)], [MANY], [MANY + 1]]


async def test_a_close_writes_what_gathers() -> None:
    written = Written()
    batcher = Batcher("test", written.write, gap=0.05)
    await asyncio.gather(*map(batcher.submit, range(MANY)))
    last = asyncio.create_task(batcher.submit(MANY))
    await asyncio.sleep(0)

    await batcher.close()

    assert await last == MANY
    assert written.batches[-1] == [MANY]
