"""What RabbitMQ brings to the brokers' contract: clients of the private node."""

from __future__ import annotations

import aio_pika

from clarion.brokers import open_broker
from clarion.brokers.base import Broker
from clarion.brokers.topology import dead_queue
from clarion.notification import Channel
from clarion_testing.broker_contract import BrokerHarness, Parked
from clarion_testing.rabbitmq_nodes import RabbitMQ


class RabbitMQHarness(BrokerHarness):
    """Opens clients of the node, and looks into its queues as the admin."""

    def __init__(self, node: RabbitMQ) -> None:
        self.node = node
        self._opened: list[Broker] = []

    async def open(self, user: str = "admin") -> Broker:
        broker = open_broker(self.node.url(user))
        self._opened.append(broker)
        await broker.connect()
        return broker

    async def dead_letters(self, channel: Channel) -> list[Parked]:
        return [
            Parked(
                message.body,
                dict(message.headers),
                str(message.headers.get("x-reason", "")),
                str(message.headers.get("x-detail", "")),
            )
            for message in await self.peek(dead_queue(channel))
        ]

    async def peek(self, queue: str) -> list[aio_pika.abc.AbstractIncomingMessage]:
        """Return what is ready in a queue; it is back there when this returns."""
        async with await aio_pika.connect(self.node.admin_url) as connection:
            source = await (await connection.channel()).get_queue(queue)
            messages = []
            while (message := await source.get(fail=False)) is not None:
                messages.append(message)
            return messages

    async def close(self) -> None:
        for broker in self._opened:
            await broker.close()
