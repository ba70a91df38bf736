"""The broker on RabbitMQ: one connection to publish on, another to consume on."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence

from clarion.brokers import headers as carried
from clarion.brokers.base import (
    Backlog,
    Broker,
    Change,
    Consumer,
    DeadLetterHandler,
    Depth,
    Handler,
    Message,
)
from clarion.brokers.deliveries import from_lane, from_recorder
from clarion.brokers.in_flight import InFlight
from clarion.brokers.rabbitmq.confirms import Outgoing
from clarion.brokers.rabbitmq.connection import NodeConnection, Nodes, close
from clarion.brokers.rabbitmq.consumer import RabbitMQConsumer
from clarion.brokers.rabbitmq.failures import TIMEOUT, within
from clarion.brokers.rabbitmq.lookup import depths, missing
from clarion.brokers.rabbitmq.publisher import Publisher
from clarion.brokers.topology import (
    DELAY_QUEUES,
    EVENTS,
    RECORDER,
    WORK,
    dead_queue,
    event_key,
)
from clarion.errors import BrokerError, BrokerUnavailable, TopologyMismatch
from clarion.notification import LANES, Channel, Lane


class RabbitMQBroker(Broker):
    """Publishes on one connection and consumes on another: an alarm that holds publishers back
    would hold acknowledgements back too. Both come back by themselves when they break.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        # clients that start at random are spread over the cluster
        self._nodes = Nodes(urls, first=random.randrange(len(urls)))
        self._publishing: NodeConnection | None = None
        self._consuming: NodeConnection | None = None
        self._publisher: Publisher | None = None
        self._consumers: list[RabbitMQConsumer] = []
        self._connecting = asyncio.Lock()

    async def connect(self) -> None:
        """Try once to connect; to try again is the caller's. Raises as `Broker.connect`.

        Connections that are there are kept, with their consumers: they come back by themselves.
        """
        async with self._connecting:
            if self._consuming is not None:
                await self._look_again(self._consuming)
                return
            try:
                async with within(3 * TIMEOUT, f"connect to {self._nodes.address}"):
                    self._publishing = await NodeConnection.open(self._nodes, "publish")
                    self._publisher = await Publisher.open(self._publishing)
                    self._consuming = await NodeConnection.open(self._nodes, "consume")
                    await self._check(self._consuming)
            except BaseException:
                await self.close()
                raise

    async def _look_again(self, consuming: NodeConnection) -> None:
        async with within(TIMEOUT, f"connect to {self._nodes.address}"):
            await consuming.ready()
            await self._check(consuming)
        if not self.connected:
            raise BrokerUnavailable(f"not connected to {self._nodes.address}")

    async def _check(self, connection: NodeConnection) -> None:
        if absent := await missing(connection):
            raise TopologyMismatch(
                f"RabbitMQ at {self._nodes.address} lacks {', '.join(absent)}: import "
                "rabbitmq/definitions.json (rabbitmqctl import_definitions), then start again"
            )

    @property
    def connected(self) -> bool:
        """Whether the channel for publishing is open."""
        return self._publisher is not None and self._publisher.ready

    @property
    def blocked(self) -> str | None:
        """The alarm for which RabbitMQ holds publishers back."""
        if self._publishing is None or not self._publishing.connected.is_set():
            return None
        return self._publishing.blocked

    async def publish_all(self, messages: Sequence[Message]) -> list[BrokerError | None]:
        """Publish persistently and return once all are confirmed, or refused."""
        stamp = {carried.QUEUED_AT: int(time.time() * 1000)}
        return await self._send_all(
            [
                Outgoing(
                    WORK, each.lane.routing_key, each.body, {**carried.kept(each.headers), **stamp}
                )
                for each in messages
            ]
        )

    async def tell_all(self, changes: Sequence[Change]) -> list[BrokerError | None]:
        """Publish persistently to whoever is bound, and return once all are confirmed."""
        return await self._send_all(
            [
                Outgoing(
                    EVENTS, event_key(each.channel, each.status), each.body, {}, mandatory=False
                )
                for each in changes
            ]
        )

    async def consume(self, lane: Lane, handler: Handler, *, prefetch: int) -> Consumer:
        """Consume on a channel of its own. Raises `BrokerUnavailable`, `TopologyMismatch`."""
        return await self._consume(lane.routing_key, from_lane(lane, handler, self._send), prefetch)

    async def consume_dead_letters(self, handler: DeadLetterHandler, *, prefetch: int) -> Consumer:
        """Consume the recorder's queue, which the gateway's user and the admin may read."""
        return await self._consume(RECORDER, from_recorder(handler), prefetch)

    async def _consume(self, queue: str, in_flight: InFlight, prefetch: int) -> Consumer:
        if self._consuming is None:
            raise BrokerUnavailable(f"not connected to {self._nodes.address}")
        consumer = RabbitMQConsumer(queue, in_flight)
        self._consumers = [each for each in self._consumers if not each.finished]
        self._consumers.append(consumer)
        try:
            async with within(TIMEOUT, f"consume {queue}"):
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
            raise BrokerUnavailable(f"not connected to {self._nodes.address}")
        async with within(TIMEOUT, "backlog"):
            ready = await depths(self._consuming)
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
        if self._publisher is not None:
            self._publisher.close()
        connections = [each for each in (self._consuming, self._publishing) if each is not None]
        self._consumers = []
        self._consuming = self._publishing = self._publisher = None
        if connections:
            closing = {asyncio.create_task(close(connection)) for connection in connections}
            _, late = await asyncio.wait(closing, timeout=TIMEOUT)
            for task in late:
                task.cancel()

    async def _send(
        self, exchange: str, key: str, body: bytes, headers: Mapping[str, object]
    ) -> None:
        [error] = await self._send_all([Outgoing(exchange, key, body, headers)])
        if error is not None:
            raise error

    async def _send_all(self, messages: Sequence[Outgoing]) -> list[BrokerError | None]:
        if self._publisher is None or not self._publisher.ready:
            return [
                BrokerUnavailable(f"publish {each.key}: not connected to {self._nodes.address}")
                for each in messages
            ]
        return await self._publisher.publish_all(messages)

    def _oldest(self, lane: Lane) -> float | None:
        held = [
            at
            for each in self._consumers
            if each.name == lane.routing_key
            for at in each.held_since()
        ]
        return max(0.0, time.time() - min(held)) if held else None
