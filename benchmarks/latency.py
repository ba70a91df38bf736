"""*latency* and *lanes*: from the request to the provider, with little and with much to do."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractContextManager

from benchmarks import client
from benchmarks.contestants import (
    Arena,
    Contestant,
    clarion,
    fill_through_gateway,
    gateway,
    limit,
    peers,
)
from benchmarks.drain import called
from benchmarks.events import event
from benchmarks.intake import bare, fastapi
from benchmarks.meter import Meter
from benchmarks.processes import Process
from benchmarks.report import Row
from benchmarks.servers import within

RATE = 100
WARM_UP = 100
LOW = 20_000
HIGH = 20


def pairs(
    arena: Arena,
) -> tuple[tuple[Contestant, AbstractContextManager[tuple[Process, int]]], ...]:
    """Return who takes part: a worker, and what accepts for it."""
    celery = next(peer for peer in peers(arena) if peer.name == "celery")
    return (
        (limit(arena, "echo"), bare(arena)),
        (clarion(arena), gateway(arena)),
        (celery, fastapi(arena)),
    )


async def steady(
    contestant: Contestant, front: AbstractContextManager[tuple[Process, int]], count: int
) -> Row:
    """Send at a steady rate, and see when each notification comes to the provider."""
    arena = contestant.arena
    await arena.reset()
    with (
        contestant.worker(arena.url(mode="keyed"), threads=8) as worker,
        front as (process, port),
    ):
        await client.serves(port)
        await send(port, WARM_UP, "normal", RATE)
        await called(arena, WARM_UP, (worker, process))
        meter = Meter(arena.servers, worker, process)
        sent = await send(port, count, "normal", RATE)
        await called(arena, WARM_UP + count, (worker, process))
        figures = meter.figures(count)
        waits = await _waits(arena, sent)
    del figures["per second"]
    return Row(f"latency at {RATE}/s", contestant.name, {**_percentiles(waits), **figures})


async def overtaking(arena: Arena, low: int) -> Row:
    """Let high-priority notifications come while many of low priority wait."""
    await arena.reset()
    contestant = clarion(arena)
    await fill_through_gateway(arena, low, "low")
    with (
        contestant.worker(arena.url(mode="keyed"), threads=8) as worker,
        gateway(arena) as (process, port),
    ):
        await client.serves(port)
        await called(arena, low // 20, (worker, process))
        sent = await send(port, HIGH, "high", 20)
        left = await arena.observer.ready("notifications.email.low")

        async def arrived() -> bool:
            return sent.keys() <= (await arena.arrivals()).keys()

        await within(60, arrived, every=0.05)
        waits = await _waits(arena, sent)
    figures = {**_percentiles(waits), "low still waiting": float(left)}
    return Row(f"high among {low:,} low", contestant.name, figures)


async def send(port: int, count: int, priority: str, rate: int) -> dict[str, float]:
    """Send events at a steady rate, whatever the answers take; returns when each was sent."""
    connections = client.Connections(port)
    sent: dict[str, float] = {}
    tasks = []
    started = time.perf_counter()
    for number in range(count):
        one = event(priority)
        request = client.request_of(one)
        await asyncio.sleep(max(started + number / rate - time.perf_counter(), 0))
        sent[str(one["message_id"])] = time.perf_counter()
        tasks.append(asyncio.create_task(connections.post(request)))
    await asyncio.gather(*tasks)
    await connections.close()
    return sent


async def _waits(arena: Arena, sent: dict[str, float]) -> list[float]:
    arrivals = await arena.arrivals()
    return sorted(arrivals[recipient] - at for recipient, at in sent.items())


def _percentiles(waits: list[float]) -> dict[str, float]:
    return {
        name: waits[min(int(len(waits) * share), len(waits) - 1)] * 1000
        for name, share in (("p99 ms", 0.99), ("p50 ms", 0.5), ("longest ms", 1))
    }
