"""One scenario: servers, services and traffic, brought to an end and judged."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from aio_pika.exceptions import AMQPError
from yarl import URL

from clarion.notification import Channel
from clarion_testing.chaos import evidence
from clarion_testing.chaos.judge import Verdict, judge
from clarion_testing.chaos.processes import Crash, Service
from clarion_testing.chaos.table import Row
from clarion_testing.chaos.traffic import Traffic, events
from clarion_testing.postgres import Postgres
from clarion_testing.rabbitmq_nodes import REPOSITORY, RabbitMQ, free_port

COUNT = 2_000
END_SECONDS = 240.0
FAULTS: tuple[dict[str, Any], ...] = (
    {"share": 0.1, "action": {"type": "status", "code": 503}},
    {"action": {"type": "delay", "seconds": 0.1}},
)
"""A provider that takes 100 ms for a call, and refuses every tenth for a while."""

_WORKER = {
    # short, so that a crash is noticed soon; a call's timeout must stay below the lease
    "LEASE_SECONDS": "3",
    "PROVIDER_TIMEOUT_SECONDS": "2",
    "DOUBT_GRACE_SECONDS": "1",
    "RETRY_DELAY_MS": "1000",
    "RETRY_BACKOFF": "linear",
    "RETRY_CAP_MS": "1000",
    # faults pass: a notification killed and refused by turns must not run out of attempts
    "RETRY_ATTEMPTS": "50",
    "CIRCUIT_SECONDS": "2",
    "DRAIN_SECONDS": "20",
}

_AWAY = (
    OSError,
    TimeoutError,
    RuntimeError,
    AMQPError,
    aiohttp.ClientError,
    asyncpg.PostgresError,
)


class Scenario:
    """A run of the system under attack."""

    def __init__(self, name: str, node: RabbitMQ, database: Postgres, folder: Path) -> None:
        self.name = name
        self.node = node
        self.database = database
        self.kills = 0
        self.row: Row | None = None
        self._folder = folder
        self.broker_url = node.url
        self.broker_port: int | None = None
        """Another way to the broker, through a proxy, for every service to take."""
        self._started = time.monotonic()
        self._tally = folder / "duplicates"
        self._sandbox_port = free_port()
        self._services: list[Service] = []
        self._gateways: list[str] = []
        self._settings: dict[str, str] = {}
        self.traffic = Traffic(self._gateways)
        self.workers: dict[Channel, list[Service]] = {channel: [] for channel in Channel}

    # -- services --------------------------------------------------------------------------------

    async def start(
        self,
        *,
        faults: Iterable[Mapping[str, Any]] = FAULTS,
        gateways: Sequence[Sequence[Crash]] = ((),),
        webhook_key: str | None = None,
        crashes: Mapping[Channel, Sequence[Crash]] | None = None,
        **settings: str,
    ) -> None:
        """Start the sandbox, a gateway for each plan of crashes, and a worker per channel.

        `crashes` are the workers' plans, `settings` their settings in place of those of `_WORKER`;
        `webhook_key` is what the gateways check SendGrid's events with.
        """
        self._settings = settings
        await self._launch("clarion_sandbox", {"PORT": str(self._sandbox_port)})
        ports = {channel: free_port() for channel in Channel}
        probes = ",".join(f"{name}=http://127.0.0.1:{port}" for name, port in ports.items())
        for plan in gateways:
            port = free_port()
            self._gateways.append(f"http://127.0.0.1:{port}")
            own = {"PORT": str(port), "WORKERS": probes} | self._servers("gateway")
            if webhook_key is not None:
                own["SENDGRID_WEBHOOK_PUBLIC_KEY"] = webhook_key
            await self._launch("clarion_gateway", own, plan)
        await self._answers(self.sandbox + "/health")
        async with (
            aiohttp.ClientSession() as session,
            session.put(f"{self.sandbox}/api/faults", json=list(faults)) as response,
        ):
            assert response.status == 200, await response.text()
        for channel, port in ports.items():
            await self.add_worker(channel, crashes=(crashes or {}).get(channel, ()), port=port)
        for gateway in self._gateways:
            await self._answers(f"{gateway}/health/live")

    async def add_worker(
        self,
        channel: Channel,
        *,
        crashes: Sequence[Crash] = (),
        port: int | None = None,
        skew: float = 0.0,
        broker_port: int | None = None,
    ) -> Service:
        """Start one more worker of a channel.

        `skew` is how far its clock is ahead, in seconds; `broker_port` is a proxy's.
        """
        settings = {
            "PORT": str(port or free_port()),
            "SANDBOX_URL": self.sandbox,
            "PUBLIC_URL": self._gateways[0],
            "CHAOS_TALLY": str(self._tally),
            **_WORKER,
            **self._settings,
            **self._servers(channel, broker_port),
            **({"CLOCK_SKEW": str(skew)} if skew else {}),
        }
        worker = await self._launch(f"clarion_{channel}", settings, crashes)
        self.workers[channel].append(worker)
        return worker

    async def ready(self, workers: Iterable[Service]) -> None:
        """Return once each of the workers takes messages."""
        for worker in workers:
            await self._answers(f"{worker.url}/health/ready")

    @property
    def sandbox(self) -> str:
        """Where the providers' stand-in answers."""
        return f"http://127.0.0.1:{self._sandbox_port}"

    async def health(self) -> dict[str, Any]:
        """Return what the first gateway says of the whole system."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self._gateways[0]}/health") as response,
        ):
            report: dict[str, Any] = await response.json()
            return report

    async def healthy(self, status: str) -> None:
        """Return once the gateway calls the whole system so."""
        async with asyncio.timeout(60):
            while (await self.health())["status"] != status:  # noqa: ASYNC110  it sends no event
                await asyncio.sleep(0.2)

    # -- traffic and its end ---------------------------------------------------------------------

    async def send(self, count: int = COUNT, *, over: float = 0.0) -> None:
        """Return once the gateways have accepted so many notifications."""
        await self.traffic.send(events(count), over=over)

    async def ended(self) -> None:
        """Return once each accepted notification has come to an end, or is held in doubt."""
        url, accepted = self.database.url, self.traffic.accepted
        async with asyncio.timeout(END_SECONDS):
            while await evidence.unsettled(url, accepted):  # noqa: ASYNC110  rows send no event
                await asyncio.sleep(0.1)

    async def sent(self, count: int) -> None:
        """Return once so many of them are on record as sent."""
        async with asyncio.timeout(END_SECONDS):
            while await evidence.sent(self.database.url) < count:  # noqa: ASYNC110  nor do rows
                await asyncio.sleep(0.1)

    async def tell(self, body: bytes, headers: Mapping[str, str]) -> int:
        """POST events as SendGrid does, again until they are taken; return how often it took."""
        async with aiohttp.ClientSession() as session, asyncio.timeout(END_SECONDS):
            tries = 0
            while True:
                tries += 1
                with contextlib.suppress(aiohttp.ClientError):
                    url = f"{self._gateways[0]}/webhooks/sendgrid"
                    async with session.post(url, data=body, headers=headers) as response:
                        if response.status == 200:
                            return tries
                await asyncio.sleep(0.2)

    async def end(self) -> None:
        """Wait until all is settled, stop every service in order, and judge.

        Raises `AssertionError` on a breach, and when a planned crash never came.
        """
        await self._settle()
        for service in self._services[1:]:
            await service.stop()
        left = await evidence.waiting(self.node.admin_url)
        stories = await evidence.stories(
            self.database.url, self.sandbox, dict(self.traffic.accepted)
        )
        verdict = judge(stories)
        kills = self.kills + sum(service.kills for service in self._services)
        seconds = time.monotonic() - self._started
        self.row = Row(self.name, kills, verdict, self._absorbed(), seconds)
        self._check(verdict, left)

    async def close(self) -> None:
        """Leave no process behind."""
        for service in self._services:
            await service.discard()

    def _check(self, verdict: Verdict, left: int) -> None:
        assert not verdict.breaches, "\n".join(verdict.breaches[:20])
        assert not self.traffic.complaints, self.traffic.complaints[:20]
        assert left == 0, f"{left} messages were left in the broker after all had ended"
        late = [service.module for service in self._services if not service.spent]
        assert not late, f"these were to be killed more often: {late}"

    def _absorbed(self) -> int:
        lines = self._tally.read_text().count("\n") if self._tally.exists() else 0
        return lines + self.traffic.duplicates

    async def _settle(self) -> None:
        """Return once nothing more can happen, or when it has taken too long: the judge says."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                while await self._going_on():
                    for service in self._services:
                        service.check()
                    await asyncio.sleep(0.25)

    async def _going_on(self) -> bool:
        try:
            return bool(
                await evidence.unsettled(self.database.url, self.traffic.accepted)
                # first what a worker may yet put into a queue, then the queues
                or await evidence.in_flight(self._consuming())
                or await evidence.waiting(self.node.admin_url)
            )
        except _AWAY:
            return True

    def _consuming(self) -> list[str]:
        workers = [worker for channel in self.workers.values() for worker in channel]
        return [worker.url for worker in workers if worker.running]

    # -- parts -----------------------------------------------------------------------------------

    def _servers(self, user: str, broker_port: int | None = None) -> dict[str, str]:
        broker = self.broker_url(user)
        if port := broker_port or self.broker_port:
            broker = str(URL(broker).with_port(port))
        return {
            "BROKER_URL": broker,
            "DATABASE_URL": self.database.url,
            "TEMPLATES_DIR": str(REPOSITORY / "shared" / "templates"),
        }

    async def _launch(
        self, module: str, settings: Mapping[str, str], crashes: Sequence[Crash] = ()
    ) -> Service:
        service = Service(module, settings, self._folder, crashes)
        self._services.append(service)
        await service.start()
        return service

    async def _answers(self, url: str) -> None:
        async with aiohttp.ClientSession() as session, asyncio.timeout(60):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url) as response:
                        if response.status == 200:
                            return
                for service in self._services:
                    service.check()
                await asyncio.sleep(0.05)
