"""A client of a cluster loses nothing when a node dies, and goes on with another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from clarion.brokers import open_broker
from clarion.brokers.base import Broker, Delivery
from clarion.brokers.topology import QUEUES
from clarion.errors import BrokerError
from clarion.notification import LANES, Lane
from clarion_testing.broker_contract import Letters
from clarion_testing.rabbitmq_cluster import RabbitMQCluster

pytestmark = pytest.mark.timeout(300)

EMAIL = LANES[:3]


@dataclass
class Traffic:
    """Publishes to every lane of a channel without end, and counts what comes out of them."""

    broker: Broker
    confirmed: set[bytes] = field(default_factory=set)
    put_off: set[bytes] = field(default_factory=set)
    seen: set[bytes] = field(default_factory=set)

    async def publish(self, lane: Lane) -> None:
        number = 0
        while True:
            body = f"{lane.priority} {number}".encode()
            try:
                await self.broker.publish(lane, body, {})
            except BrokerError:
                await asyncio.sleep(0.2)  # a copy of it may be there all the same: once more
                continue
            self.confirmed.add(body)
            number += 1

    async def take(self, delivery: Delivery) -> None:
        # some take the way through a delay queue, whose leader may be the one that dies
        if delivery.body.endswith(b"0") and delivery.body not in self.put_off:
            await delivery.retry(1)
            self.put_off.add(delivery.body)
        else:
            await delivery.ack()
            self.seen.add(delivery.body)

    async def flows(self, more: int = 200) -> None:
        """Return once so many more were both published and consumed."""
        confirmed, seen = len(self.confirmed), len(self.seen)
        await _until(
            lambda: len(self.confirmed) >= confirmed + more and len(self.seen) >= seen + more
        )


async def _until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(0.02)


@pytest.fixture
async def broker(rabbitmq_cluster: RabbitMQCluster) -> AsyncIterator[Broker]:
    broker = open_broker(rabbitmq_cluster.url("admin"))
    await broker.connect()
    yield broker
    await broker.close()


async def test_every_queue_has_a_replica_on_every_node(rabbitmq_cluster: RabbitMQCluster) -> None:
    members = await asyncio.to_thread(rabbitmq_cluster.members)

    names = [node.name for node in rabbitmq_cluster.nodes]
    assert members == {queue.name: names for queue in QUEUES}


async def test_nodes_that_die_lose_nothing_and_their_consumers_go_on_elsewhere(
    rabbitmq_cluster: RabbitMQCluster, broker: Broker
) -> None:
    traffic = Traffic(broker)
    consumers = [await broker.consume(lane, traffic.take, prefetch=20) for lane in EMAIL]
    letters = Letters()
    consumers.append(await broker.consume_dead_letters(letters, prefetch=1))
    publishing = [asyncio.create_task(traffic.publish(lane)) for lane in EMAIL]
    await traffic.flows()

    # one after the other: among them the two that the client is connected to, and every leader
    for node in rabbitmq_cluster.nodes:
        await asyncio.to_thread(node.kill)
        await traffic.flows()
        await _until(lambda: broker.connected and all(each.active for each in consumers))
        await asyncio.to_thread(node.start)
    for task in publishing:
        task.cancel()
    await asyncio.gather(*publishing, return_exceptions=True)
    # only now: RabbitMQ 3.10 may keep what expires in a delay queue until the dead node is back
    await _until(lambda: traffic.seen >= traffic.confirmed)

    assert len(traffic.confirmed) > 800
    assert len(letters) == 0
