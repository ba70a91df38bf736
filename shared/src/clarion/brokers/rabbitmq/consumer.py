"""Consuming a queue on a channel of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime

from aio_pika.abc import (
    AbstractChannel,
    AbstractIncomingMessage,
    AbstractQueue,
    AbstractRobustChannel,
)
from aio_pika.exceptions import ChannelInvalidStateError, ChannelNotFoundEntity
from aiormq import Channel as PlainChannel
from aiormq.abc import AbstractChannel as AnyChannel
from aiormq.abc import DeliveredMessage

from clarion.brokers.base import Consumer
from clarion.brokers.in_flight import InFlight
from clarion.brokers.rabbitmq.acknowledger import Acknowledger
from clarion.brokers.rabbitmq.connection import NodeConnection
from clarion.brokers.rabbitmq.failures import TIMEOUT, within
from clarion.errors import BrokerUnavailable, TopologyMismatch

_Message = AbstractIncomingMessage | DeliveredMessage

LINGER = 0.1
"""Seconds between the end of deliveries and the end of the channel, which would give back what is
unsettled on it."""


class RabbitMQConsumer(Consumer):
    """One queue on one channel: after a reconnect only a channel's last prefetch is set again."""

    def __init__(self, name: str, in_flight: InFlight) -> None:
        self.name = name
        self.held_since = in_flight.held_since
        self._in_flight = in_flight
        self._cancelled = False
        self._stopped = False
        self._robust: AbstractRobustChannel | None = None
        self._queue: AbstractQueue | None = None
        self._tag = ""
        self._channel: AnyChannel | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._acknowledger: Acknowledger | None = None

    async def start(self, connection: NodeConnection, prefetch: int) -> None:
        """Begin to consume. Raises `TopologyMismatch` when there is no such queue."""
        self._robust = channel = connection.channel(publisher_confirms=False)
        await channel.initialize()
        channel.reopen_callbacks.add(self._reopened)
        await channel.set_qos(prefetch)
        try:
            # ensure: a queue that was not looked up is not consumed again after a reconnect
            self._queue = await channel.get_queue(self.name, ensure=True)
        except ChannelNotFoundEntity as error:
            raise TopologyMismatch(
                f"no queue {self.name}: import rabbitmq/definitions.json"
            ) from error
        self._channel = await channel.get_underlay_channel()
        self._tag = await self._queue.consume(self._take_wrapped)

    @property
    def active(self) -> bool:
        """Whether it is subscribed on an open channel."""
        if self._cancelled or self._channel is None or self._channel.is_closed:
            return False
        return self._tag in getattr(self._channel, "consumers", ())

    async def cancel(self) -> None:
        """Stop deliveries; what a finished handler left unsettled goes back to the lane now."""
        # away from the broker nobody answers: it is enough that it is not taken up again, which the
        # call sees to before it waits
        patience = TIMEOUT if self.active else 0.0
        self._cancelled = True
        if self._queue is not None:
            with contextlib.suppress(BrokerUnavailable):
                async with within(patience, f"cancel {self.name}"):
                    await self._queue.cancel(self._tag)
        await self._in_flight.wind_down()
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave())

    @property
    def finished(self) -> bool:
        """Whether it was cancelled and everything that it had handed out is settled."""
        return self._leaving is not None and self._leaving.done()

    async def stop(self) -> None:
        """Take nothing more and cancel the running handlers."""
        self._cancelled = self._stopped = True
        await self._in_flight.stop()
        if self._leaving is not None:
            self._leaving.cancel()

    async def _leave(self) -> None:
        # what came right before the broker's answer reaches us some turns of the loop later
        await asyncio.sleep(LINGER)
        await self._in_flight.drained()
        if self._robust is not None:
            with contextlib.suppress(BrokerUnavailable):
                async with within(TIMEOUT, "close a channel"):
                    await self._robust.close()

    async def _reopened(self, channel: AbstractChannel | None, *_: object) -> None:
        self._in_flight.forget_lost()
        if channel is not None:
            self._channel = await channel.get_underlay_channel()

    async def _take_wrapped(self, message: AbstractIncomingMessage) -> None:
        """Take one of the first messages of a subscription, and have the next ones come plain.

        aio-pika subscribes, and does so anew whenever the subscription is lost. What it makes of
        each message, an object of twenty checked attributes and a task, is a tenth of a worker's
        CPU, and nobody asks for it here.
        """
        try:
            channel = message.channel
        except ChannelInvalidStateError:
            return  # its channel has gone already, and it comes again
        if isinstance(channel, PlainChannel) and message.consumer_tag in channel.consumers:
            channel.consumers[message.consumer_tag] = self._take
        await self._hand_out(channel, message, message.headers, message.timestamp)

    async def _take(self, message: DeliveredMessage) -> None:
        properties = message.header.properties
        headers = properties.headers or {}
        await self._hand_out(message.channel, message, headers, properties.timestamp)

    async def _hand_out(
        self,
        channel: AnyChannel,
        message: _Message,
        headers: Mapping[str, object],
        sent_at: datetime | None,
    ) -> None:
        # the library cancels this callback when the connection is lost; a task of our own lives on
        if self._acknowledger is None or self._acknowledger.channel is not channel:
            self._acknowledger = Acknowledger(channel)
        original = _Original(self._acknowledger, message, headers, sent_at)
        # what was on its way when the broker was told to stop is handled like all before it: to
        # give it back would count against its delivery limit
        if self._stopped:
            await original.give_back()
        else:
            self._in_flight.hand_out(original)


class _Original:
    """A message on the channel that it came by; settling it after that is gone changes nothing."""

    def __init__(
        self,
        acknowledger: Acknowledger,
        message: _Message,
        headers: Mapping[str, object],
        sent_at: datetime | None,
    ) -> None:
        self.body = message.body
        self.key = message.routing_key or ""
        self.headers = headers
        self.sent_at = sent_at.timestamp() if sent_at else None
        self._tag = message.delivery_tag or 0
        self._acknowledger = acknowledger

    @property
    def lost(self) -> bool:
        return self._acknowledger.channel.is_closed

    async def ack(self) -> None:
        await self._acknowledger.ack(self._tag)

    async def give_back(self) -> None:
        await self._acknowledger.give_back(self._tag)
