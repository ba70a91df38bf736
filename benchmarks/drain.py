"""*drain*: how fast one worker process empties a queue of email notifications."""

from __future__ import annotations

import contextlib

from benchmarks.contestants import Arena, Contestant, clarion, limit, peers
from benchmarks.meter import Meter
from benchmarks.processes import Process
from benchmarks.report import Row
from benchmarks.servers import within

LATENCIES = (0, 50)
THREADS = {0: 8, 50: 64}
"""For those that need one for each call under way: Dramatiq's default, and more to wait with."""
WARM = 0.1
"""The clock starts when so much is sent: starting a process is no part of the contest."""
PATIENCE = 120.0


def contestants(arena: Arena) -> tuple[Contestant, ...]:
    """Return who drains."""
    return (limit(arena), clarion(arena), *peers(arena))


async def drain(contestant: Contestant, contest: str, count: int, latency: int) -> Row:
    """Fill the queue, and let the contestant empty it."""
    arena = contestant.arena
    await arena.reset()
    await contestant.fill(count)
    with contestant.worker(arena.url(latency), threads=THREADS[latency]) as worker:
        row = await measured(contestant, contest, count, worker)
    if await arena.calls() != count:
        raise RuntimeError("the provider was called more than once for a notification")
    return row


async def measured(
    contestant: Contestant,
    contest: str,
    count: int,
    *workers: Process,
    warm: float = WARM,
    beyond: str = "",
) -> Row:
    """Return what it took from when a first share of the calls was made until all is recorded.

    All are those whose ids are beyond that one.
    """
    arena = contestant.arena
    first = await called(arena, int(count * warm), workers)
    meter = Meter(arena.servers, *workers)
    await called(arena, count, workers)
    if (table := contestant.table) is not None:

        async def all_sent() -> bool:
            return await arena.observer.sent(table, beyond) == count

        # seldom: to count a full table is work too
        await within(PATIENCE, all_sent, every=0.02)
    return Row(contest, contestant.name, meter.figures(count - first))


async def called(arena: Arena, count: int, workers: tuple[Process, ...]) -> int:
    """Return once the provider took that many calls; returns how many it took."""
    calls = 0

    async def enough() -> bool:
        nonlocal calls
        for worker in workers:
            worker.check()
        calls = await arena.calls()
        return calls >= count

    with contextlib.suppress(TimeoutError):
        await within(PATIENCE, enough)
        return calls
    output = "\n".join(worker.output() for worker in workers)
    raise RuntimeError(f"{calls} of {count} calls in {PATIENCE:g} s:\n{output}")
