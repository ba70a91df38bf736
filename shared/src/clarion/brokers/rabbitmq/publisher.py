"""Publishing on one channel, with confirms."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from aio_pika.abc import AbstractChannel, DeliveryMode
from aio_pika.exceptions import DeliveryError, PublishError
from aiormq.channel import Channel as PlainChannel
from loguru import logger
from pamqp import commands

from clarion.brokers.rabbitmq.connection import NodeConnection
from clarion.brokers.rabbitmq.failures import TIMEOUT, within
from clarion.errors import BrokerUnavailable, QueueFull, Unroutable

OUTSTANDING = 256
"""Publishes that wait for their confirms at a time: RabbitMQ answers for what it wrote to disk
together, so that few wait long; more are more to do again after a crash."""


@dataclass(frozen=True, slots=True)
class _Message:
    exchange: str
    key: str
    body: bytes
    properties: commands.Basic.Properties
    mandatory: bool


class Publisher:
    """The one channel to publish on; with confirms, as nothing else says who has the message."""

    def __init__(self, connection: NodeConnection, channel: AbstractChannel) -> None:
        self._connection = connection
        self._channel = channel
        self._window = asyncio.Semaphore(OUTSTANDING)
        self._waiting: set[asyncio.Timeout] = set()
        self._asking = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        connection.on_blocked = self._give_up

    @classmethod
    async def open(cls, connection: NodeConnection) -> Publisher:
        """Return it once its channel is open."""
        return cls(connection, await _open_channel(connection))

    @property
    def ready(self) -> bool:
        """Whether the channel is open now."""
        return self._connection.connected.is_set() and not self._channel.is_closed

    async def publish(
        self,
        exchange: str,
        key: str,
        body: bytes,
        headers: Mapping[str, object],
        *,
        mandatory: bool = True,
    ) -> None:
        """Return once the broker has confirmed it; one that is not `mandatory` needs no queue.

        Raises `QueueFull`, `BrokerUnavailable`, `Unroutable`.
        """
        message = _Message(exchange, key, body, _properties(headers), mandatory)
        try:
            async with within(TIMEOUT, f"publish {key}") as timeout, self._window:
                self._refuse_if_blocked(key)
                with self._until_blocked(timeout):
                    await self._deliver(message)
        except BrokerUnavailable:
            self._refuse_if_blocked(key)
            raise

    def close(self) -> None:
        """Wait for no channel any more; the connection is closed with all of them."""
        for task in self._leaving:
            task.cancel()

    async def _deliver(self, message: _Message) -> None:
        try:
            await _deliver_on(self._channel, message)
        except QueueFull:
            if self._asking.locked():
                raise
            async with self._asking:
                await self._ask_again(message)

    async def _ask_again(self, message: _Message) -> None:
        """Publish on a new channel, and stay with it where that works.

        A channel that first met a queue while the node of its leader was down refuses all for it,
        even when another node leads it (seen with RabbitMQ 3.10, until the dead node is back).
        """
        channel = await _open_channel(self._connection)
        leaving, after = channel, 0.0
        try:
            await _deliver_on(channel, message)
            logger.warning("{} is taken on a new channel only: going on with that", message.key)
            # what still waits for its confirm on the old one has an answer by then
            leaving, after = self._channel, TIMEOUT
            self._channel = channel
        finally:
            task = asyncio.create_task(_close_channel(leaving, after))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _refuse_if_blocked(self, key: str) -> None:
        if self._connection.blocked is not None:
            raise BrokerUnavailable(
                f"publish {key}: RabbitMQ holds publishers back: {self._connection.blocked}"
            )

    @contextlib.contextmanager
    def _until_blocked(self, timeout: asyncio.Timeout) -> Iterator[None]:
        self._waiting.add(timeout)
        try:
            yield
        finally:
            self._waiting.discard(timeout)

    def _give_up(self) -> None:
        """End every wait for a confirm that will not come until the alarm is over."""
        now = asyncio.get_running_loop().time()
        for timeout in self._waiting:
            if not timeout.expired():
                timeout.reschedule(now)


async def _open_channel(connection: NodeConnection) -> AbstractChannel:
    # without on_return_raises an unroutable message would pass for sent
    return await connection.channel(publisher_confirms=True, on_return_raises=True)


async def _close_channel(channel: AbstractChannel, after: float) -> None:
    await asyncio.sleep(after)
    with contextlib.suppress(BrokerUnavailable):
        async with within(TIMEOUT, "close a channel"):
            await channel.close()


async def _deliver_on(channel: AbstractChannel, message: _Message) -> None:
    # not by way of aio-pika's exchange, which has each message written before it takes the next:
    # those that are published together share a packet
    plain = cast(PlainChannel, await channel.get_underlay_channel())
    try:
        await plain.basic_publish(
            message.body,
            exchange=message.exchange,
            routing_key=message.key,
            properties=message.properties,
            mandatory=message.mandatory,
            wait=False,
        )
    except PublishError as error:
        raise Unroutable(
            f"{message.exchange} has no queue for {message.key}: import rabbitmq/definitions.json"
        ) from error
    except DeliveryError as error:
        raise QueueFull(
            f"publish {message.key}: refused, as a queue is full or has no leader at present"
        ) from error


def _properties(headers: Mapping[str, object]) -> commands.Basic.Properties:
    return commands.Basic.Properties(
        headers=dict(headers),  # type: ignore[arg-type]  # what AMQP carries came from it
        delivery_mode=DeliveryMode.PERSISTENT,
        # by it the client library tells which of several publishes came back
        message_id=os.urandom(12).hex(),
    )
