"""Which frames acknowledge what: never a message that is still held."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from aiormq.exceptions import ChannelInvalidStateError

from clarion.brokers.rabbitmq.acknowledger import Acknowledger


class Channel:
    """Keeps what a broker would still hold of ten deliveries."""

    def __init__(self) -> None:
        self.unsettled = set(range(1, 11))
        self.frames = 0
        self.closed = False

    async def basic_ack(self, tag: int, multiple: bool = False) -> None:
        if self.closed:
            raise ChannelInvalidStateError("closed")
        self.frames += 1
        # else a broker closes the channel
        assert tag in self.unsettled
        settled = {each for each in self.unsettled if each == tag or (multiple and each < tag)}
        self.unsettled -= settled

    async def basic_nack(self, tag: int, requeue: bool = True) -> None:
        self.frames += 1
        self.unsettled.remove(tag)


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def acknowledger(channel: Channel) -> Acknowledger:
    return Acknowledger(cast(Any, channel))


async def ack(acknowledger: Acknowledger, *tags: int) -> None:
    await asyncio.gather(*(acknowledger.ack(tag) for tag in tags))


async def test_what_is_settled_together_needs_one_frame(
    channel: Channel, acknowledger: Acknowledger
) -> None:
    await ack(acknowledger, 3, 1, 2)

    assert channel.unsettled == set(range(4, 11))
    assert channel.frames == 1


async def test_what_is_held_is_not_acknowledged_with_those_behind_it(
    channel: Channel, acknowledger: Acknowledger
) -> None:
    await ack(acknowledger, 1, 3, 5)

    assert channel.unsettled == {2, 4, *range(6, 11)}


async def test_the_one_that_was_held_goes_with_what_came_meanwhile(
    channel: Channel, acknowledger: Acknowledger
) -> None:
    await ack(acknowledger, 2, 3, 4)
    before = channel.frames

    await ack(acknowledger, 1, 5, 6)

    assert channel.unsettled == set(range(7, 11))
    assert channel.frames == before + 1


async def test_the_last_one_that_was_held_is_acknowledged_by_its_own_tag(
    channel: Channel, acknowledger: Acknowledger
) -> None:
    await ack(acknowledger, 2, 3)

    await ack(acknowledger, 1)

    assert channel.unsettled == set(range(4, 11))


async def test_what_was_given_back_is_out_of_the_way(
    channel: Channel, acknowledger: Acknowledger
) -> None:
    await acknowledger.give_back(1)
    before = channel.frames

    await ack(acknowledger, 2, 3)

    assert channel.unsettled == set(range(4, 11))
    assert channel.frames == before + 1


async def test_a_lost_channel_is_nobodys_error(
    channel: Channel, acknowledger: Acknowledger
) -> None:
    channel.closed = True

    await ack(acknowledger, 1, 2)

    assert channel.unsettled == set(range(1, 11))


async def test_a_waiter_that_is_cancelled_takes_no_other_with_it(
    channel: Channel, acknowledger: Acknowledger
) -> None:
    leaving, staying = (asyncio.create_task(acknowledger.ack(tag)) for tag in (1, 2))
    await asyncio.sleep(0)

    leaving.cancel()
    await staying

    assert channel.unsettled == set(range(3, 11))
