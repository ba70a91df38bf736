"""A connection to RabbitMQ that comes back by itself, on another node of a cluster if need be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aio_pika.exceptions import AMQPConnectionError
from aio_pika.robust_connection import RobustConnection
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from loguru import logger
from pamqp import commands
from yarl import URL

from clarion.brokers.rabbitmq.failures import FAILURES, TIMEOUT


class Nodes(TransportFactory):
    """The nodes of a cluster, tried in turn; each connection starts where the one before ended.

    A node may take a connection and then serve nothing, so the next attempt starts at another.
    """

    def __init__(self, urls: Sequence[str], first: int) -> None:
        self._nodes = [URL(url) for url in urls]
        self._next = first % len(self._nodes)
        plain = self._nodes[0].scheme == "amqp"
        self._transport = TCPTransportFactory() if plain else TLSTransportFactory()
        # one that does not even refuse must leave time for the others
        self._patience = TIMEOUT / (len(self._nodes) + 1) if len(self._nodes) > 1 else None

    @property
    def url(self) -> URL:
        """The first node; user, password, vhost and options are those of all."""
        return self._nodes[0]

    @property
    def names(self) -> str:
        """The nodes, for people."""
        return ",".join(f"{node.host}:{node.port or _port(node)}" for node in self._nodes)

    @property
    def address(self) -> str:
        """The nodes and the user, for people."""
        return f"{self.names} as {self.url.user or 'guest'}"

    async def create(
        self, url: URL, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the first node that answers. Raises `AMQPConnectionError`."""
        turns = [*self._nodes[self._next :], *self._nodes[: self._next]]
        failed = []
        for node in turns:
            self._next = (self._next + 1) % len(self._nodes)
            there = url.with_host(node.host or "").with_port(node.port or _port(node))
            try:
                async with asyncio.timeout(self._patience):
                    return await self._transport.create(there, **options)
            except FAILURES as error:
                failed.append(f"{there.host}:{there.port}: {error or type(error).__name__}")
        raise AMQPConnectionError("; ".join(failed))


class NodeConnection(RobustConnection):
    """Knows whether RabbitMQ holds it back: it does when memory or disk of a node run low.

    `blocked` is the alarm in RabbitMQ's words, told at the first publish that meets it and not
    before; `on_blocked` is called then.
    """

    def __init__(self, nodes: Nodes, purpose: str) -> None:
        super().__init__(
            nodes.url.update_query(heartbeat=20, reconnect_interval=1),
            client_properties={"connection_name": f"clarion {purpose}"},
        )
        self.kwargs["transport_factory"] = nodes
        self.blocked: str | None = None
        self.on_blocked: Callable[[], None] = lambda: None
        self._nodes = nodes

    @classmethod
    async def open(cls, nodes: Nodes, purpose: str) -> NodeConnection:
        """Try once to connect; from then on it comes back by itself, on one node or another."""
        connection = cls(nodes, purpose)
        try:
            await connection.connect(timeout=TIMEOUT)
        except BaseException:
            await close(connection)
            raise
        return connection

    def __str__(self) -> str:
        return self._nodes.address

    async def _on_connected(self) -> None:
        # The client library reads these frames, logs them, and tells nobody: it has no callback for
        # them. They cannot come before this, as nothing was published yet.
        self.blocked = None
        if self.transport is not None:
            frames = self.transport.connection
            setattr(frames, _BLOCKED, self._was_blocked)
            setattr(frames, _UNBLOCKED, self._was_unblocked)
        await super()._on_connected()

    async def _was_blocked(self, frame: commands.Connection.Blocked) -> None:
        self.blocked = frame.reason or "an alarm without a reason"
        logger.bind(reason=self.blocked).warning("RabbitMQ holds publishers back")
        self.on_blocked()

    async def _was_unblocked(self, _: commands.Connection.Unblocked) -> None:
        self.blocked = None
        logger.info("RabbitMQ takes messages again")


_BLOCKED = "_Connection__handle_connection_blocked"
_UNBLOCKED = "_Connection__handle_connection_unblocked"


async def close(connection: NodeConnection) -> None:
    """Close it; how it goes down does not matter any more."""
    try:
        await connection.close()
    except FAILURES as error:
        logger.debug("a connection did not close in good order: {}", error)


def _port(url: URL) -> int:
    return 5671 if url.scheme == "amqps" else 5672
