"""*drain*: how fast one worker process empties a queue of email notifications."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from benchmarks import client
from benchmarks.processes import Process, running
from benchmarks.report import Row
from benchmarks.servers import QUEUE, Observer, Servers, within
from clarion_testing.rabbitmq_nodes import free_port

LATENCIES = (0, 50)
WARM_SHARE = 10
"""The clock starts when one in so many is sent: starting a process is no part of the contest."""
PATIENCE = 180.0


@dataclass(frozen=True, slots=True)
class Drain:
    """The contest, with what its contestants share."""

    servers: Servers
    observer: Observer
    provider: int
    count: int

    async def clarion(self, latency: int) -> Row:
        """Let the email worker drain the queue with its default settings."""
        return await self._clarion("clarion", latency, {})

    async def clarion_200(self, latency: int) -> Row:
        """Let the email worker drain the queue with the prefetch that the limit has."""
        return await self._clarion("clarion, prefetch 200", latency, {"PREFETCH_NORMAL": "200"})

    async def _clarion(self, who: str, latency: int, settings: dict[str, str]) -> Row:
        await self._fill()
        env = self.servers.environment("email") | {
            "PORT": str(free_port()),
            "SENDGRID_API_KEY": "SG.bench",
            "SENDGRID_BASE_URL": self._url(latency),
            **settings,
        }
        with running("clarion_email", folder=self.servers.folder, env=env) as worker:
            row = await self._measure(who, latency, worker, recorded=True)
        if await self._calls() != self.count:
            raise RuntimeError("the provider was called more than once for a notification")
        return row

    async def limit(self, latency: int) -> Row:
        """Let bare aio-pika and aiohttp drain the same queue."""
        await self._fill()
        arguments = (self.servers.rabbitmq.admin_url, QUEUE, self._url(latency) + "/v3/mail/send")
        with running("benchmarks.bare_drain", *arguments, folder=self.servers.folder) as worker:
            return await self._measure("limit", latency, worker, recorded=False)

    def _url(self, latency: int) -> str:
        return f"http://127.0.0.1:{self.provider}/{latency}"

    async def _fill(self) -> None:
        await self.observer.empty()
        await client.get(self.provider, "/reset")
        port = free_port()
        env = self.servers.environment("gateway") | {"PORT": str(port), "LOG_LEVEL": "WARNING"}
        with running("clarion_gateway", folder=self.servers.folder, env=env):
            await client.serves(port)
            sizes = [min(500, self.count - done) for done in range(0, self.count, 500)]
            await client.post(port, [client.batch(size) for size in sizes], 1)
            await self.observer.queued(self.count)

    async def _calls(self) -> int:
        return int(await client.get(self.provider, "/count"))

    async def _called(self, worker: Process, count: int) -> int:
        calls = 0

        async def enough() -> bool:
            nonlocal calls
            worker.check()
            calls = await self._calls()
            return calls >= count

        with contextlib.suppress(TimeoutError):
            await within(PATIENCE, enough)
            return calls
        raise RuntimeError(f"{calls} of {self.count} calls in {PATIENCE:g} s")

    async def _measure(self, who: str, latency: int, worker: Process, *, recorded: bool) -> Row:
        first = await self._called(worker, self.count // WARM_SHARE)
        started, cpu = time.perf_counter(), worker.cpu()
        await self._called(worker, self.count)
        if recorded:

            async def all_sent() -> bool:
                return await self.observer.sent() == self.count

            await within(PATIENCE, all_sent)
        seconds, done = time.perf_counter() - started, self.count - first
        return Row(
            contest=f"drain {latency} ms",
            contestant=who,
            rate=done / seconds,
            cpu_per_1000=(worker.cpu() - cpu) / done * 1000,
            peak_mb=worker.peak_mb(),
        )
