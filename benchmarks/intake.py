"""*intake*: how fast a gateway process accepts notifications."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks import client
from benchmarks.processes import Process, running
from benchmarks.report import Row
from benchmarks.servers import Observer, Servers
from clarion_testing.rabbitmq_nodes import free_port

BATCH = 500


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
        Load("intake 1 connection", max(count // 4, 100), 1, 1),
        Load("intake 64 connections", count, 1, 64),
        Load(f"intake batches of {BATCH}", max(count // BATCH, 2), BATCH, 1),
    )


@dataclass(frozen=True, slots=True)
class Intake:
    """The contest, with what its contestants share."""

    servers: Servers
    observer: Observer

    async def clarion(self, load: Load) -> Row:
        """Let the gateway accept: checked, stored, and published afterwards."""
        port = free_port()
        env = self.servers.environment("gateway") | {"PORT": str(port)}
        with running("clarion_gateway", folder=self.servers.folder, env=env) as gateway:
            return await self._measure("clarion", load, port, gateway)

    async def limit(self, load: Load) -> Row:
        """Let Starlette accept: published and confirmed."""
        port = free_port()
        arguments = (str(port), self.servers.rabbitmq.admin_url)
        with running("benchmarks.bare_intake", *arguments, folder=self.servers.folder) as app:
            return await self._measure("limit", load, port, app)

    async def _measure(self, who: str, load: Load, port: int, process: Process) -> Row:
        await self.observer.empty()
        await client.serves(port)
        warm = max(load.requests // 10, 1)
        await client.post(port, load.build(warm), load.connections)
        await self.observer.queued(warm * load.size)
        requests, count = load.build(load.requests), load.requests * load.size
        started, cpu = time.perf_counter(), process.cpu()
        await client.post(port, requests, load.connections)
        accepted = time.perf_counter() - started
        await self.observer.queued(count + warm * load.size)
        queued = time.perf_counter() - started
        return Row(
            contest=load.name,
            contestant=who,
            rate=count / accepted,
            queued_rate=count / queued,
            cpu_per_1000=(process.cpu() - cpu) / count * 1000,
            peak_mb=process.peak_mb(),
        )
