"""What of the topology is there, and how deep it is."""

from __future__ import annotations

import contextlib

from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq.abc import AbstractChannel as PlainChannel
from aiormq.exceptions import ChannelAccessRefused

from clarion.brokers.rabbitmq.connection import NodeConnection
from clarion.brokers.topology import EXCHANGES, QUEUES
from clarion.errors import BrokerUnavailable


class _Lookup:
    """Asks what is there, on a plain channel: the broker closes it at a question it refuses."""

    def __init__(self, connection: NodeConnection) -> None:
        if connection.transport is None:
            raise BrokerUnavailable("not connected")
        self._connection = connection.transport.connection
        self._channel: PlainChannel | None = None

    async def exchange(self, name: str) -> None:
        """Return if it is there. Raises `ChannelNotFoundEntity`, `ChannelAccessRefused`."""
        await (await self._open()).exchange_declare(name, passive=True)

    async def queue(self, name: str) -> int:
        """Return how many messages are ready. Raises as `exchange`."""
        found = await (await self._open()).queue_declare(name, passive=True)
        return found.message_count or 0

    async def close(self) -> None:
        """Close the channel."""
        if self._channel is not None and not self._channel.is_closed:
            await self._channel.close()

    async def _open(self) -> PlainChannel:
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._connection.channel(publisher_confirms=False)
        return self._channel


async def missing(connection: NodeConnection) -> list[str]:
    """Return which exchanges and queues are not there, as far as the broker tells this user."""
    lookup, absent = _Lookup(connection), []
    for name in EXCHANGES:
        with contextlib.suppress(ChannelAccessRefused):
            try:
                await lookup.exchange(name)
            except ChannelNotFoundEntity:
                absent.append(f"exchange {name}")
    for queue in QUEUES:
        with contextlib.suppress(ChannelAccessRefused):
            try:
                await lookup.queue(queue.name)
            except ChannelNotFoundEntity:
                absent.append(f"queue {queue.name}")
    await lookup.close()
    return absent


async def depths(connection: NodeConnection) -> dict[str, int]:
    """Return the ready messages of each queue that this user may look at."""
    lookup, ready = _Lookup(connection), {}
    for queue in QUEUES:
        with contextlib.suppress(ChannelAccessRefused, ChannelNotFoundEntity):
            ready[queue.name] = await lookup.queue(queue.name)
    await lookup.close()
    return ready
