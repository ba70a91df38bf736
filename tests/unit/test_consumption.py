"""Taking one channel's messages."""

import pytest

from clarion.brokers.base import Consumer, Delivery, Handler
from clarion.brokers.memory import MemoryBroker
from clarion.consumption import Consumption
from clarion.errors import BrokerUnavailable
from clarion.notification import Channel, Lane, Priority


class GoneOnce(MemoryBroker):
    """Goes away once, while the second lane is asked for."""

    asked = 0

    async def consume(self, lane: Lane, handler: Handler, *, prefetch: int) -> Consumer:
        self.asked += 1
        if self.asked == 2:
            raise BrokerUnavailable("gone")
        return await super().consume(lane, handler, prefetch=prefetch)


async def test_a_start_that_failed_half_way_leaves_no_second_consumer_behind() -> None:
    taken: list[Delivery] = []

    async def keep(delivery: Delivery) -> None:
        taken.append(delivery)

    broker = GoneOnce()
    await broker.connect()
    consumption = Consumption(broker, Channel.EMAIL, dict.fromkeys(Priority, 1), keep)
    with pytest.raises(BrokerUnavailable):
        await consumption.start()

    await consumption.start()
    lanes = [Lane(Channel.EMAIL, priority) for priority in Priority]
    for lane in lanes:
        await broker.publish(lane, b"first", {})
        await broker.publish(lane, b"second", {})
    waiting = (await broker.backlog()).lanes
    await broker.close()

    # with a prefetch of 1 and nothing settled, each lane has handed out one message
    assert [waiting[lane].ready for lane in lanes] == [1, 1, 1]
