"""What only the memory broker promises."""

from __future__ import annotations

import asyncio
import time

import pytest

from clarion.brokers.base import Delivery
from clarion.brokers.memory import MemoryBroker
from clarion.errors import BrokerUnavailable
from clarion.notification import Channel, Lane, Priority
from clarion_testing.broker_contract import Inbox, backlog_where

LANE = Lane(Channel.PUSH, Priority.HIGH)


@pytest.fixture
async def broker() -> MemoryBroker:
    broker = MemoryBroker()
    await broker.connect()
    return broker


async def test_a_delay_goes_on_after_a_close_and_is_not_lost(broker: MemoryBroker) -> None:
    inbox = Inbox()
    await broker.consume(LANE, inbox, prefetch=1)
    await broker.publish(LANE, b"again", {})
    asked = time.monotonic()
    await (await inbox.next()).retry(0.2)

    await broker.close()
    await broker.connect()
    after = Inbox()
    await broker.consume(LANE, after, prefetch=1)

    assert (await after.next()).body == b"again"
    assert time.monotonic() - asked >= 0.2


async def test_a_delay_that_ended_while_closed_comes_back_at_once(broker: MemoryBroker) -> None:
    inbox = Inbox()
    await broker.consume(LANE, inbox, prefetch=1)
    await broker.publish(LANE, b"again", {})
    await (await inbox.next()).retry(0.01)
    await broker.close()
    await asyncio.sleep(0.02)

    await broker.connect()
    await broker.connect()
    after = Inbox()
    await broker.consume(LANE, after, prefetch=2)

    assert (await after.next()).body == b"again"
    assert (await broker.backlog()).delayed == 0
    assert len(after) == 0


async def test_dead_letters_are_kept_over_a_close(broker: MemoryBroker) -> None:
    inbox = Inbox()
    await broker.consume(LANE, inbox, prefetch=1)
    await broker.publish(LANE, b"dead", {"trace": "abc"})
    await (await inbox.next()).dead_letter("spam", "550 5.7.1")

    await broker.close()

    [letter] = broker.dead_letters(Channel.PUSH)
    assert (letter.lane, letter.body, letter.headers) == (LANE, b"dead", {"trace": "abc"})
    assert (letter.reason, letter.detail) == ("spam", "550 5.7.1")
    assert broker.dead_letters(Channel.EMAIL) == ()


@pytest.mark.parametrize("verb", ["retry", "dead_letter"])
async def test_what_went_back_to_its_lane_is_not_copied(broker: MemoryBroker, verb: str) -> None:
    inbox = Inbox()
    consumer = await broker.consume(LANE, inbox, prefetch=1)
    await broker.publish(LANE, b"back", {})
    stale = await inbox.next()
    await consumer.cancel()

    with pytest.raises(BrokerUnavailable):
        await (stale.retry(1) if verb == "retry" else stale.dead_letter("spam"))
    await stale.ack()

    backlog = await broker.backlog()
    assert (backlog.lanes[LANE].ready, backlog.delayed, backlog.dead[Channel.PUSH]) == (1, 0, 0)


async def test_the_age_counts_from_the_return_of_a_retried_message(broker: MemoryBroker) -> None:
    async def retry_once(delivery: Delivery) -> None:
        await delivery.retry(0.3)

    consumer = await broker.consume(LANE, retry_once, prefetch=1)
    published = time.monotonic()
    await broker.publish(LANE, b"again", {})
    await backlog_where(broker, lambda backlog: backlog.delayed == 1)
    await consumer.cancel()
    backlog = await backlog_where(broker, lambda backlog: backlog.lanes[LANE].ready == 1)
    oldest = backlog.lanes[LANE].oldest

    assert oldest is not None
    assert oldest <= time.monotonic() - published - 0.3


async def test_no_alarm_holds_it_back(broker: MemoryBroker) -> None:
    assert broker.blocked is None
