"""Who takes part: how each has its queue filled, and its worker started."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from benchmarks import client
from benchmarks.processes import PEERS, Process, running
from benchmarks.servers import QUEUE, Observer, Servers, within
from clarion_testing.rabbitmq_nodes import free_port

LIMIT = "limit"
CLARION = "clarion"


@dataclass(frozen=True, slots=True)
class Arena:
    """What the contestants share; `provider` is a port."""

    servers: Servers
    observer: Observer
    provider: int

    def url(self, latency: int = 0, mode: str = "plain") -> str:
        """Return the provider's address: see `benchmarks.provider` for the modes."""
        return f"http://127.0.0.1:{self.provider}/{latency}/{mode}"

    async def calls(self) -> int:
        """Return how many calls the provider took."""
        return int(await client.get(self.provider, "/count"))

    async def reset(self, *, rows: bool = True) -> None:
        """Forget what an earlier contest left, the rows of the tables included if not told else."""
        await self.observer.empty(rows=rows)
        await client.get(self.provider, "/reset")

    async def arrivals(self) -> dict[str, float]:
        """Return when each recipient's first call came in, by the clock of `perf_counter`."""
        report = await client.get(self.provider, "/arrivals")
        return {
            recipient: float(at)
            for recipient, at in (line.split(" ") for line in report.decode().splitlines())
        }


@dataclass(frozen=True, slots=True)
class Contestant:
    """A worker process and its queue. `table` is where it records, None if nowhere."""

    arena: Arena
    name: str
    queue: str
    table: str | None

    async def fill(self, count: int) -> None:
        """Have that many notifications wait in the queue."""
        raise NotImplementedError

    def worker(self, url: str, *, threads: int) -> AbstractContextManager[Process]:
        """Run one worker process. `threads` is for those that need one for each call under way."""
        raise NotImplementedError

    async def filled(self, count: int) -> None:
        """Return once the queue holds that many."""
        await self.arena.observer.queued(count, self.queue)


@contextlib.contextmanager
def gateway(arena: Arena, level: str = "INFO") -> Iterator[tuple[Process, int]]:
    """Run Clarion's gateway; yields the process and its port."""
    port = free_port()
    env = arena.servers.environment("gateway") | {"PORT": str(port), "LOG_LEVEL": level}
    with running("clarion_gateway", folder=arena.servers.folder, env=env) as process:
        yield process, port


async def fill_through_gateway(arena: Arena, count: int, priority: str = "normal") -> None:
    """Send that many notifications, in batches."""
    with gateway(arena, "WARNING") as (_, port):
        await client.serves(port)
        sizes = [min(500, count - done) for done in range(0, count, 500)]
        for start in range(0, len(sizes), 20):
            some = [client.batch(size, priority) for size in sizes[start : start + 20]]
            await client.post(port, some, 1)
        await arena.observer.queued(count, f"notifications.email.{priority}")


@dataclass(frozen=True, slots=True)
class Clarion(Contestant):
    """Clarion's email worker with the settings of its defaults, but for those given."""

    settings: dict[str, str] = field(default_factory=dict)

    async def fill(self, count: int) -> None:
        """See `Contestant`."""
        await fill_through_gateway(self.arena, count)

    def worker(self, url: str, *, threads: int) -> AbstractContextManager[Process]:
        """See `Contestant`."""
        env = self.arena.servers.environment("email") | {
            "PORT": str(free_port()),
            "SENDGRID_API_KEY": "SG.bench",
            "SENDGRID_BASE_URL": url,
            **self.settings,
        }
        return running("clarion_email", folder=self.arena.servers.folder, env=env)


@dataclass(frozen=True, slots=True)
class Limit(Contestant):
    """Bare aio-pika and aiohttp, on the queue that Clarion's worker has."""

    what: str = ""

    async def fill(self, count: int) -> None:
        """See `Contestant`."""
        await fill_through_gateway(self.arena, count)

    def worker(self, url: str, *, threads: int) -> AbstractContextManager[Process]:
        """See `Contestant`."""
        broker = self.arena.servers.rabbitmq.admin_url
        arguments = (broker, QUEUE, f"{url}/v3/mail/send", self.what)
        return running("benchmarks.bare_drain", *arguments, folder=self.arena.servers.folder)


@dataclass(frozen=True, slots=True)
class Peer(Contestant):
    """Another task queue; `command` starts its worker, with {threads} filled in."""

    module: str = ""
    command: tuple[str, ...] = ()

    async def fill(self, count: int) -> None:
        """See `Contestant`."""
        with running(
            self.module,
            str(count),
            folder=self.arena.servers.folder,
            env=self._environment(self.arena.url(), 1),
            python=PEERS,
        ) as filler:
            await within(300, filler.has_ended, every=0.05)
        await self.filled(count)

    def worker(self, url: str, *, threads: int) -> AbstractContextManager[Process]:
        """See `Contestant`."""
        module, *arguments = (part.format(threads=threads) for part in self.command)
        return running(
            module,
            *arguments,
            folder=self.arena.servers.folder,
            env=self._environment(url, threads),
            python=PEERS,
        )

    def _environment(self, url: str, threads: int) -> dict[str, str]:
        # they declare their own queues, which Clarion's users may not
        return {
            **self.arena.servers.environment("admin"),
            "SENDGRID_BASE_URL": url,
            "THREADS": str(threads),
        }


def clarion(arena: Arena, name: str = CLARION, **settings: str) -> Clarion:
    """Return Clarion, with settings beyond its defaults if given."""
    return Clarion(arena, name, QUEUE, "notifications", settings)


def limit(arena: Arena, what: str = "") -> Limit:
    """Return the limit."""
    return Limit(arena, LIMIT, QUEUE, None, what)


def peers(arena: Arena) -> tuple[Peer, ...]:
    """Return the other task queues, each with one worker process."""
    tasks = "benchmarks.peers."
    table = "peer_notifications"
    return (
        Peer(
            arena,
            "celery",
            "peer_celery",
            table,
            f"{tasks}celery_tasks",
            (
                *("celery", "-A", f"{tasks}celery_tasks", "worker", "-P", "threads"),
                *("-c", "{threads}", "--loglevel", "INFO", "--without-gossip", "--without-mingle"),
            ),
        ),
        Peer(
            arena,
            "dramatiq",
            "peer_dramatiq",
            table,
            f"{tasks}dramatiq_tasks",
            ("dramatiq", f"{tasks}dramatiq_tasks", "-p", "1", "-t", "{threads}"),
        ),
        Peer(
            arena,
            "taskiq",
            "peer_taskiq",
            table,
            f"{tasks}taskiq_tasks",
            (
                *("taskiq", "worker", f"{tasks}taskiq_tasks:broker", "--workers", "1"),
                *("--max-async-tasks", "200"),
            ),
        ),
    )
