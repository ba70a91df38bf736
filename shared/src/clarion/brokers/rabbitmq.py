"""RabbitMQ over AMQP 0-9-1. Nothing is declared here: the broker's own definitions do that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Mapping

import aio_pika
from aio_pika.abc import (
    AbstractChannel,
    AbstractIncomingMessage,
    AbstractQueue,
    AbstractRobustChannel,
    AbstractRobustConnection,
)
from aio_pika.exceptions import (
    AMQPError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    DeliveryError,
    PublishError,
)
from aiormq.abc import AbstractChannel as PlainChannel
from aiormq.exceptions import ChannelAccessRefused
from loguru import logger
from yarl import URL

from clarion.brokers import headers as carried
from clarion.brokers.base import (
    Backlog,
    Broker,
    Consumer,
    DeadLetterHandler,
    Depth,
    Handler,
    Headers,
)
from clarion.brokers.deliveries import from_lane, from_recorder
from clarion.brokers.in_flight import InFlight
from clarion.brokers.topology import DELAY_QUEUES, EXCHANGES, QUEUES, RECORDER, WORK, dead_queue
from clarion.errors import BrokerUnavailable, TopologyMismatch, Unroutable
from clarion.notification import LANES, Channel, Lane

OUTSTANDING = 64
"""Publishes that wait for their confirms at a time: more gain nothing and are more to do again."""

TIMEOUT = 10.0
"""Seconds for one exchange with the broker; under a memory alarm a publish would wait for ever."""

# RuntimeError is how the client library says that a channel is closed
_FAILURES = (AMQPError, OSError, RuntimeError, TimeoutError)


class RabbitMQBroker(Broker):
    """Publishes on one connection and consumes on another: an alarm that holds publishers back
    would hold acknowledgements back too. Both come back by themselves when they break.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._publishing: AbstractRobustConnection | None = None
        self._consuming: AbstractRobustConnection | None = None
        self._publisher: _Publisher | None = None
        self._consumers: list[_RabbitMQConsumer] = []

    async def connect(self) -> None:
        """Try once to connect; to try again is the caller's. Raises as `Broker.connect`."""
        try:
            async with _within(3 * TIMEOUT, f"connect to {self._address}"):
                self._publishing = await self._open("publish")
                self._consuming = await self._open("consume")
                self._publisher = await _Publisher.open(self._publishing)
                missing = await _missing(self._consuming)
            if missing:
                raise TopologyMismatch(
                    f"RabbitMQ at {self._address} lacks {', '.join(missing)}: import "
                    "rabbitmq/definitions.json (rabbitmqctl import_definitions), then start again"
                )
        except BaseException:
            await self.close()
            raise

    @property
    def connected(self) -> bool:
        """Whether the channel for publishing is open."""
        return self._publisher is not None and self._publisher.ready

    async def publish(self, lane: Lane, body: bytes, headers: Headers) -> None:
        """Publish persistently and return once confirmed. Raises as `Broker.publish`."""
        stamp = {carried.QUEUED_AT: int(time.time() * 1000)}
        await self._send(WORK, lane.routing_key, body, {**carried.kept(headers), **stamp})

    async def consume(self, lane: Lane, handler: Handler, *, prefetch: int) -> Consumer:
        """Consume on a channel of its own. Raises `BrokerUnavailable`, `TopologyMismatch`."""
        return await self._consume(lane.routing_key, from_lane(lane, handler, self._send), prefetch)

    async def consume_dead_letters(self, handler: DeadLetterHandler, *, prefetch: int) -> Consumer:
        """Consume the recorder's queue, which the gateway's user and the admin may read."""
        return await self._consume(RECORDER, from_recorder(handler), prefetch)

    async def _consume(self, queue: str, in_flight: InFlight, prefetch: int) -> Consumer:
        if self._consuming is None:
            raise BrokerUnavailable(f"not connected to {self._address}")
        consumer = _RabbitMQConsumer(queue, in_flight)
        self._consumers = [each for each in self._consumers if not each.finished]
        self._consumers.append(consumer)
        try:
            async with _within(TIMEOUT, f"consume {queue}"):
                await self._consuming.ready()
                await consumer.start(self._consuming, prefetch)
        except BaseException:
            # else a reconnect might complete what the caller believes has failed
            await consumer.cancel()
            raise
        return consumer

    async def backlog(self) -> Backlog:
        """Return what waits in the queues that this user may look at."""
        if self._consuming is None or not self._consuming.connected.is_set():
            raise BrokerUnavailable(f"not connected to {self._address}")
        async with _within(TIMEOUT, "backlog"):
            ready = await _depths(self._consuming)
        return Backlog(
            lanes={
                lane: Depth(ready[lane.routing_key], self._oldest(lane))
                for lane in LANES
                if lane.routing_key in ready
            },
            dead={
                channel: ready[dead_queue(channel)]
                for channel in Channel
                if dead_queue(channel) in ready
            },
            delayed=sum(ready.get(queue.name, 0) for queue in DELAY_QUEUES),
        )

    async def close(self) -> None:
        """Stop the handlers and close, within about 10 s whatever the broker does."""
        for consumer in self._consumers:
            await consumer.stop()
        connections = [each for each in (self._consuming, self._publishing) if each is not None]
        self._consumers = []
        self._consuming = self._publishing = self._publisher = None
        if connections:
            closing = {asyncio.create_task(_close(connection)) for connection in connections}
            _, late = await asyncio.wait(closing, timeout=TIMEOUT)
            for task in late:
                task.cancel()

    @property
    def _address(self) -> str:
        url = URL(self._url)
        return f"{url.host}:{url.port or 5672} as {url.user or 'guest'}"

    async def _open(self, purpose: str) -> AbstractRobustConnection:
        return await aio_pika.connect_robust(
            self._url,
            timeout=TIMEOUT,
            heartbeat=20,
            reconnect_interval=1,
            client_properties={"connection_name": f"clarion {purpose}"},
        )

    async def _send(
        self, exchange: str, key: str, body: bytes, headers: Mapping[str, object]
    ) -> None:
        if self._publisher is None or not self._publisher.ready:
            raise BrokerUnavailable(f"publish {key}: not connected to {self._address}")
        await self._publisher.publish(exchange, key, body, headers)

    def _oldest(self, lane: Lane) -> float | None:
        held = [
            at
            for each in self._consumers
            if each.name == lane.routing_key
            for at in each.held_since()
        ]
        return max(0.0, time.time() - min(held)) if held else None


class _Publisher:
    """The one channel to publish on; with confirms, as nothing else says who has the message."""

    def __init__(self, connection: AbstractRobustConnection, channel: AbstractChannel) -> None:
        self._connection = connection
        self._channel = channel
        self._window = asyncio.Semaphore(OUTSTANDING)

    @classmethod
    async def open(cls, connection: AbstractRobustConnection) -> _Publisher:
        """Open the channel. Without on_return_raises an unroutable message would pass for sent."""
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        return cls(connection, channel)

    @property
    def ready(self) -> bool:
        """Whether the channel is open now."""
        return self._connection.connected.is_set() and not self._channel.is_closed

    async def publish(
        self, exchange: str, key: str, body: bytes, headers: Mapping[str, object]
    ) -> None:
        """Return once the broker has confirmed it. Raises `BrokerUnavailable`, `Unroutable`."""
        message = aio_pika.Message(
            body,
            headers=dict(headers),  # type: ignore[arg-type]  # what AMQP carries came from it
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            # by it the client library tells which of several publishes came back
            message_id=os.urandom(12).hex(),
        )
        async with _within(TIMEOUT, f"publish {key}"), self._window:
            target = await self._channel.get_exchange(exchange, ensure=False)
            try:
                await target.publish(message, key, mandatory=True)
            except PublishError as error:
                raise Unroutable(
                    f"{exchange} has no queue for {key}: import rabbitmq/definitions.json"
                ) from error
            except DeliveryError as error:
                raise BrokerUnavailable(f"publish {key}: refused, a queue is full") from error


class _RabbitMQConsumer(Consumer):
    """One queue on one channel: after a reconnect only a channel's last prefetch is set again."""

    def __init__(self, name: str, in_flight: InFlight) -> None:
        self.name = name
        self.held_since = in_flight.held_since
        self._in_flight = in_flight
        self._cancelled = False
        self._robust: AbstractRobustChannel | None = None
        self._queue: AbstractQueue | None = None
        self._tag = ""
        self._channel: PlainChannel | None = None
        self._leaving: asyncio.Task[None] | None = None

    async def start(self, connection: AbstractRobustConnection, prefetch: int) -> None:
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
        self._tag = await self._queue.consume(self._take)

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
                async with _within(patience, f"cancel {self.name}"):
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
        self._cancelled = True
        await self._in_flight.stop()
        if self._leaving is not None:
            self._leaving.cancel()

    async def _leave(self) -> None:
        await self._in_flight.drained()
        if self._robust is not None:
            with contextlib.suppress(BrokerUnavailable):
                async with _within(TIMEOUT, "close a channel"):
                    await self._robust.close()

    async def _reopened(self, channel: AbstractChannel | None, *_: object) -> None:
        self._in_flight.forget_lost()
        if channel is not None:
            self._channel = await channel.get_underlay_channel()

    async def _take(self, message: AbstractIncomingMessage) -> None:
        # the library cancels this callback when the connection is lost; a task of our own lives on
        original = _Original(message)
        if self._cancelled:
            await original.give_back()
        else:
            self._in_flight.hand_out(original)


class _Original:
    """A message on the channel that it came by; settling it after that is gone changes nothing."""

    def __init__(self, message: AbstractIncomingMessage) -> None:
        self.body = message.body
        self.key = message.routing_key or ""
        self.headers: Mapping[str, object] = message.headers
        self.sent_at = message.timestamp.timestamp() if message.timestamp else None
        self._message = message

    @property
    def lost(self) -> bool:
        try:
            return self._message.channel.is_closed
        except ChannelInvalidStateError:
            return True

    async def ack(self) -> None:
        with contextlib.suppress(BrokerUnavailable):
            async with _within(TIMEOUT, "acknowledge"):
                await self._message.ack()

    async def give_back(self) -> None:
        with contextlib.suppress(BrokerUnavailable):
            async with _within(TIMEOUT, "give back"):
                await self._message.nack(requeue=True)


@contextlib.asynccontextmanager
async def _within(seconds: float, doing: str) -> AsyncIterator[None]:
    """Turn every way in which the client library fails, or hangs, into `BrokerUnavailable`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # a lost connection cancels what waits for its answer
        raise BrokerUnavailable(f"{doing}: the connection was lost") from error
    except _FAILURES as error:
        raise BrokerUnavailable(f"{doing}: {error or type(error).__name__}") from error


async def _close(connection: AbstractRobustConnection) -> None:
    try:
        await connection.close()
    except _FAILURES as error:
        logger.debug("a connection did not close in good order: {}", error)


class _Lookup:
    """Asks what is there, on a plain channel: the broker closes it at a question it refuses."""

    def __init__(self, connection: AbstractRobustConnection) -> None:
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


async def _missing(connection: AbstractRobustConnection) -> list[str]:
    """Return which exchanges and queues are not there, as far as the broker tells this user."""
    lookup, missing = _Lookup(connection), []
    for name in EXCHANGES:
        with contextlib.suppress(ChannelAccessRefused):
            try:
                await lookup.exchange(name)
            except ChannelNotFoundEntity:
                missing.append(f"exchange {name}")
    for queue in QUEUES:
        with contextlib.suppress(ChannelAccessRefused):
            try:
                await lookup.queue(queue.name)
            except ChannelNotFoundEntity:
                missing.append(f"queue {queue.name}")
    await lookup.close()
    return missing


async def _depths(connection: AbstractRobustConnection) -> dict[str, int]:
    """Return the ready messages of each queue that this user may look at."""
    lookup, ready = _Lookup(connection), {}
    for queue in QUEUES:
        with contextlib.suppress(ChannelAccessRefused, ChannelNotFoundEntity):
            ready[queue.name] = await lookup.queue(queue.name)
    await lookup.close()
    return ready
