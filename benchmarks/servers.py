"""The RabbitMQ and the PostgreSQL of a run: private, on loopback, gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import asyncpg

from benchmarks.processes import cpu_of_tree
from clarion.brokers.topology import QUEUES
from clarion.store import migrate
from clarion_testing import postgres_servers, rabbitmq_nodes
from clarion_testing.postgres_servers import PostgresServer
from clarion_testing.rabbitmq_nodes import RabbitMQ

QUEUE = "notifications.email.normal"
PEER_QUEUES = ("peer_celery", "peer_dramatiq", "peer_dramatiq.DQ", "peer_taskiq")
_PEER_TABLE = """
CREATE TABLE peer_notifications (
    message_id text PRIMARY KEY,
    status text NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    provider_id text,
    sent_at timestamptz
)"""


@dataclass(frozen=True, slots=True)
class Servers:
    """Both servers, and a folder for what the processes of a contest write."""

    folder: Path
    rabbitmq: RabbitMQ
    postgres: PostgresServer
    database: str

    def environment(self, user: str) -> dict[str, str]:
        """Return where a service finds the servers."""
        return {"BROKER_URL": self.rabbitmq.url(user), "DATABASE_URL": self.database}

    def cpu(self) -> tuple[float, float]:
        """Return the CPU seconds that RabbitMQ and PostgreSQL have used so far; 0 in Docker."""
        roots = [getattr(self.rabbitmq, "_server", None), getattr(self.postgres, "_process", None)]
        broker, database = (cpu_of_tree(root.pid) if root is not None else 0.0 for root in roots)
        return broker, database


@contextlib.contextmanager
def private_servers() -> Iterator[Servers]:
    """Run both while the block runs. PostgreSQL writes to disk, as in production."""
    folder = Path(tempfile.mkdtemp(prefix="clarion-bench-"))
    folder.chmod(0o755)
    for name in ("rabbitmq", "postgres", "run"):
        (folder / name).mkdir()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        node = _rabbitmq(folder / "rabbitmq")
        stack.callback(node.remove)
        node.start()
        server = _postgres(folder / "postgres")
        stack.callback(server.remove)
        server.start()
        server.execute("CREATE DATABASE bench")
        database = f"{server.url}/bench"
        migrate(database)
        server.execute(_PEER_TABLE, database="bench")
        yield Servers(folder / "run", node, server, database)


def _rabbitmq(folder: Path) -> RabbitMQ:
    if not rabbitmq_nodes.have_local_server() and rabbitmq_nodes.can_install():
        rabbitmq_nodes.install()
    if rabbitmq_nodes.have_local_server():
        return rabbitmq_nodes.LocalNode(folder)
    if rabbitmq_nodes.have_docker() and rabbitmq_nodes.have_image():
        return rabbitmq_nodes.DockerNode(folder)
    raise RuntimeError("install rabbitmq-server (3.10 or later), or start Docker")


def _postgres(folder: Path) -> PostgresServer:
    if not postgres_servers.have_local_server() and postgres_servers.can_install():
        postgres_servers.install()
    if postgres_servers.have_local_server():
        return postgres_servers.LocalServer(folder, fsync=True)
    if postgres_servers.have_docker() and postgres_servers.have_image():
        return postgres_servers.DockerServer(fsync=True)
    raise RuntimeError("install PostgreSQL's server (15 or later), or start Docker")


class Observer:
    """Looks into both servers, and empties them between contests."""

    def __init__(self, channel: aio_pika.abc.AbstractChannel, database: asyncpg.Connection) -> None:
        self._channel = channel
        self._database = database

    async def ready(self, queue: str = QUEUE) -> int:
        """Return how many messages wait in a queue."""
        found = await self._channel.declare_queue(queue, passive=True)
        return found.declaration_result.message_count or 0

    async def queued(self, count: int, queue: str = QUEUE) -> None:
        """Return once that many messages wait."""

        async def enough() -> bool:
            return await self.ready(queue) >= count

        await within(120, enough, every=0.01)

    async def sent(self, table: str = "notifications", beyond: str = "") -> int:
        """Return how many notifications are recorded as sent, of those with ids beyond that."""
        newer = f"AND id > '{beyond}'" if beyond else ""
        sql = f"SELECT count(*) FROM {table} WHERE status = 'sent' {newer}"  # noqa: S608  ours
        return int(await self._database.fetchval(sql))

    async def execute(self, sql: str) -> None:
        """Run a statement."""
        await self._database.execute(sql, timeout=3600)

    async def rows(self, sql: str, *arguments: object) -> list[str]:
        """Return the first column of what a query finds, as text."""
        return [str(row[0]) for row in await self._database.fetch(sql, *arguments)]

    async def empty(self, *, rows: bool = True) -> None:
        """Leave no message and, unless told otherwise, no row of an earlier contest."""
        for lane in QUEUES:
            await (await self._channel.get_queue(lane.name, ensure=False)).purge()
        for name in PEER_QUEUES:
            await self._channel.queue_delete(name)
        if rows:
            await self._database.execute(
                "TRUNCATE notifications, attempts, events, receipts, status_events, "
                "peer_notifications"
            )


@contextlib.asynccontextmanager
async def observing(servers: Servers) -> AsyncIterator[Observer]:
    """Connect to both servers while the block runs."""
    database = await asyncpg.connect(servers.database)
    try:
        async with await aio_pika.connect(servers.rabbitmq.admin_url) as connection:
            yield Observer(await connection.channel(), database)
    finally:
        await database.close()


async def within(
    seconds: float, condition: Callable[[], Awaitable[bool]], every: float = 0.005
) -> None:
    """Return once a condition holds. Raises `TimeoutError` when it takes too long."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  other processes send no event
            await asyncio.sleep(every)
