"""Taking one channel's messages."""

import asyncio

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


async def test_a_stop_in_the_middle_of_a_change_leaves_no_consumer_and_holds_up_nobody() -> None:
    async def keep(delivery: Delivery) -> None:
        await consumption.steady()
        await delivery.ack()

    broker = MemoryBroker()
    await broker.connect()
    consumption = Consumption(broker, Channel.EMAIL, dict.fromkeys(Priority, 1), keep)
    await consumption.start()

    consumption.pause(60)
    await broker.publish(Lane(Channel.EMAIL, Priority.HIGH), b"handed out", {})
    consumption.resume()
    await consumption.stop()
    await consumption.steady()
    await broker.publish(Lane(Channel.EMAIL, Priority.HIGH), b"too late", {})
    waiting = (await broker.backlog()).lanes
    await broker.close()

    assert not consumption.active
    assert waiting[Lane(Channel.EMAIL, Priority.HIGH)].ready == 1


async def test_a_pause_ends_with_one_message_of_each_lane_and_a_resume_with_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clarion.consumption.QUIET", 0.0)
    taken: list[Delivery] = []
    four = asyncio.Event()

    async def keep(delivery: Delivery) -> None:
        taken.append(delivery)
        if len(taken) == 4:
            four.set()

    broker, lane = MemoryBroker(), Lane(Channel.EMAIL, Priority.HIGH)
    await broker.connect()
    consumption = Consumption(broker, Channel.EMAIL, dict.fromkeys(Priority, 3), keep)
    await consumption.start()
    consumption.pause(0.05)
    await consumption.steady()
    for number in range(4):
        await broker.publish(lane, str(number).encode(), {})

    async with asyncio.timeout(20):
        while not taken:  # noqa: ASYNC110  nobody tells when a pause is over
            await asyncio.sleep(0.005)
    one = len(taken)
    consumption.resume()
    await asyncio.wait_for(four.wait(), 20)
    await broker.close()

    assert one == 1
