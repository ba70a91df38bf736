"""Publishing on one channel, with confirms."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import cast

from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel as PlainChannel
from loguru import logger

from clarion.brokers.rabbitmq.confirms import Confirms, Outgoing
from clarion.brokers.rabbitmq.connection import NodeConnection
from clarion.brokers.rabbitmq.failures import TIMEOUT, within
from clarion.errors import BrokerError, BrokerUnavailable, QueueFull

OUTSTANDING = 256
"""Publishes that wait for their confirms at a time: RabbitMQ answers for what it wrote to disk
together, so that few wait long; more are more to do again after a crash."""


class Publisher:
    """The one channel to publish on; with confirms, as nothing else says who has the message."""

    def __init__(self, connection: NodeConnection, channel: AbstractChannel) -> None:
        self._connection = connection
        self._channel = channel
        self._window = asyncio.Semaphore(OUTSTANDING)
        self._entering = asyncio.Lock()
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

    async def publish_all(self, messages: Sequence[Outgoing]) -> list[BrokerError | None]:
        """Return for each None where the broker has confirmed it, else why it has not:
        `QueueFull`, `Unroutable`, or `BrokerUnavailable`."""
        results: list[BrokerError | None] = []
        for start in range(0, len(messages), OUTSTANDING):
            results += await self._publish_together(messages[start : start + OUTSTANDING])
        return results

    def close(self) -> None:
        """Wait for no channel any more; the connection is closed with all of them."""
        for task in self._leaving:
            task.cancel()

    async def _publish_together(self, messages: Sequence[Outgoing]) -> list[BrokerError | None]:
        confirms = Confirms(messages)
        doing = f"publish {messages[0].key}"
        failed: BrokerError | None = None
        try:
            async with within(TIMEOUT, doing) as timeout, self._room(len(messages)):
                self._refuse_if_blocked(doing)
                with self._until_blocked(timeout):
                    await confirms.publish(await _plain(self._channel))
                    await self._ask_again(messages, confirms)
        except BrokerUnavailable as error:
            failed = self._blocking(doing) or error
        # what has an answer keeps it, whatever became of the others
        return [confirms.answers.get(place, failed) for place in range(len(messages))]

    @contextlib.asynccontextmanager
    async def _room(self, messages: int) -> AsyncIterator[None]:
        taken = 0
        try:
            # one at a time: two that each had a part of what is left would wait for each other
            async with self._entering:
                while taken < messages:
                    await self._window.acquire()
                    taken += 1
            yield
        finally:
            for _ in range(taken):
                self._window.release()

    async def _ask_again(self, messages: Sequence[Outgoing], confirms: Confirms) -> None:
        """Publish one that was refused on a new channel, and stay with it where that works.

        A channel that first met a queue while the node of its leader was down refuses all for it,
        even when another node leads it (seen with RabbitMQ 3.10, until the dead node is back).
        """
        refused = [at for at, answer in confirms.answers.items() if isinstance(answer, QueueFull)]
        if not refused or self._asking.locked():
            return
        async with self._asking:
            message = messages[refused[0]]
            again = Confirms([message])
            channel = await _open_channel(self._connection)
            leaving, after = channel, 0.0
            try:
                await again.publish(await _plain(channel))
                if again.answers[0] is None:
                    logger.warning(
                        "{} is taken on a new channel only: going on with that", message.key
                    )
                    # what still waits for its confirm on the old one has an answer by then
                    leaving, after = self._channel, TIMEOUT
                    self._channel = channel
                confirms.answers[refused[0]] = again.answers[0]
            finally:
                task = asyncio.create_task(_close_channel(leaving, after))
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)

    def _refuse_if_blocked(self, doing: str) -> None:
        if blocking := self._blocking(doing):
            raise blocking

    def _blocking(self, doing: str) -> BrokerUnavailable | None:
        if self._connection.blocked is None:
            return None
        return BrokerUnavailable(
            f"{doing}: RabbitMQ holds publishers back: {self._connection.blocked}"
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


async def _plain(channel: AbstractChannel) -> PlainChannel:
    return cast(PlainChannel, await channel.get_underlay_channel())
