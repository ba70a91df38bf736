"""*retry storm* and *scaling*: a provider that fails at first, and more than one worker."""

from __future__ import annotations

import contextlib

from benchmarks import client
from benchmarks.contestants import Arena, Contestant, clarion, peers
from benchmarks.drain import THREADS, measured
from benchmarks.report import Row

WORKERS = (1, 2, 4)
LATENCY = 50


def stormed(arena: Arena) -> tuple[Contestant, ...]:
    """Return who retries: each waits 2 s before it tries again."""
    return (clarion(arena), *peers(arena))


async def storm(contestant: Contestant, count: int) -> Row:
    """Drain a queue of which every fifth call fails once."""
    arena = contestant.arena
    await arena.reset()
    await contestant.fill(count)
    with contestant.worker(arena.url(mode="failing"), threads=8) as worker:
        row = await measured(contestant, "retry storm", count, worker)
    failed = int(await client.get(arena.provider, "/failed"))
    if not failed or await arena.calls() != count:
        raise RuntimeError(f"{failed} calls failed, {await arena.calls()} of {count} were taken")
    return Row(row.contest, row.contestant, {**row.figures, "failed calls": float(failed)})


async def scaled(arena: Arena, count: int, workers: int) -> Row:
    """Drain with several workers of the channel."""
    await arena.reset()
    contestant = clarion(arena, f"clarion x {workers}")
    await contestant.fill(count)
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(contestant.worker(arena.url(LATENCY), threads=THREADS[LATENCY]))
            for _ in range(workers)
        ]
        # by then even the last of them has started
        row = await measured(contestant, f"scaling, {LATENCY} ms", count, *started, warm=0.4)
    if await arena.calls() != count:
        raise RuntimeError("the provider was called more than once for a notification")
    return row
