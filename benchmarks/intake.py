"""*intake*: how fast a gateway process accepts notifications."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks import client
from benchmarks.contestants import CLARION, LIMIT, Arena, gateway
from benchmarks.meter import Meter
from benchmarks.processes import PEERS, Process, running
from benchmarks.report import Row
from benchmarks.servers import QUEUE
from clarion_testing.rabbitmq_nodes import free_port

BATCH = 500

Running = Callable[[], AbstractContextManager[tuple[Process, int]]]
"""Starts a contestant; yields its process and its port."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: `requests` of `size` events each, over `connections`."""

    name: str
    requests: int
    size: int
    connections: int

    def build(self, requests: int) -> list[bytes]:
        """Return that many requests, none of them seen before."""
        if self.size == 1:
            return [client.single() for _ in range(requests)]
        return [client.batch(self.size) for _ in range(requests)]


def loads(count: int) -> tuple[Load, ...]:
    """Return the loads for a run of that many notifications each."""
    return (
        Load("intake 1 connection", max(count // 10, 100), 1, 1),
        Load("intake 64 connections", count, 1, 64),
        Load(f"intake batches of {BATCH}", max(count // BATCH, 2), BATCH, 1),
        Load(f"intake batches of {BATCH}, 4 connections", max(count // BATCH, 4), BATCH, 4),
    )


@dataclass(frozen=True, slots=True)
class Acceptor:
    """An HTTP server that hands notifications to a queue."""

    arena: Arena
    name: str
    queue: str
    run: Running


def acceptors(arena: Arena) -> tuple[Acceptor, ...]:
    """Return who accepts."""
    return (
        Acceptor(arena, LIMIT, QUEUE, lambda: bare(arena)),
        Acceptor(arena, CLARION, QUEUE, lambda: gateway(arena)),
        Acceptor(arena, "fastapi + celery", "peer_celery", lambda: fastapi(arena)),
    )


@contextlib.contextmanager
def bare(arena: Arena) -> Iterator[tuple[Process, int]]:
    """Run Starlette and a confirmed publish."""
    port = free_port()
    arguments = (str(port), arena.servers.rabbitmq.admin_url)
    with running("benchmarks.bare_intake", *arguments, folder=arena.servers.folder) as process:
        yield process, port


@contextlib.contextmanager
def fastapi(arena: Arena) -> Iterator[tuple[Process, int]]:
    """Run FastAPI and `celery.delay()`."""
    port = free_port()
    arguments = ("benchmarks.peers.fastapi_app:app", "--port", str(port), "--no-access-log")
    env = {**arena.servers.environment("admin"), "SENDGRID_BASE_URL": arena.url()}
    with running(
        "uvicorn", *arguments, folder=arena.servers.folder, env=env, python=PEERS
    ) as process:
        yield process, port


async def accept(acceptor: Acceptor, load: Load, *, keep_rows: bool = False) -> Row:
    """Send the load to the contestant, until every request is answered 202."""
    observer = acceptor.arena.observer
    await acceptor.arena.reset(rows=not keep_rows)
    with acceptor.run() as (process, port):
        await client.serves(port)
        warm = max(load.requests // 10, 1)
        await client.post(port, load.build(warm), load.connections)
        await observer.queued(warm * load.size, acceptor.queue)
        requests, count = load.build(load.requests), load.requests * load.size
        meter = Meter(acceptor.arena.servers, process)
        await client.post(port, requests, load.connections)
        rate = count / meter.seconds
        await observer.queued(count + warm * load.size, acceptor.queue)
        figures = meter.figures(count)
    # the CPU counts until the broker has them all: what is put off is not saved
    queued = figures.pop("per second")
    return Row(
        load.name, acceptor.name, {"per second": rate, "queued per second": queued, **figures}
    )
