"""What every broker must do with dead letters: a test class to derive from, beside the contract."""

from __future__ import annotations

import asyncio

import pytest

from clarion.brokers.base import Broker, DeadLetter
from clarion.brokers.topology import DELIVERY_LIMIT
from clarion.notification import Channel, Lane, Priority
from clarion_testing.broker_contract import LANE, BrokerHarness, Inbox, Letters, backlog_where


async def bury(broker: Broker, body: bytes, lane: Lane = LANE) -> None:
    """Have a worker give a message up."""
    inbox = Inbox()
    consumer = await broker.consume(lane, inbox, prefetch=1)
    await broker.publish(lane, body, {"trace": "abc", "attempt": 2})
    await (await inbox.next()).dead_letter("invalid_recipient", "no such mailbox")
    await consumer.cancel()


async def wear_out(broker: Broker, lane: Lane = LANE) -> None:
    """Take the lane's first message and leave it unsettled, until the broker gives it up."""
    for _ in range(DELIVERY_LIMIT + 1):
        inbox = Inbox()
        consumer = await broker.consume(lane, inbox, prefetch=1)
        await inbox.next()
        await consumer.cancel()


@pytest.mark.timeout(60)
class DeadLetterContract:
    """Derive from it and provide the fixture `harness`."""

    @pytest.mark.parametrize("lane", [LANE, Lane(Channel.PUSH, Priority.HIGH)])
    async def test_what_a_worker_gave_up_is_recorded_with_its_reason(
        self, harness: BrokerHarness, lane: Lane
    ) -> None:
        broker, letters = await harness.open(), Letters()
        consumer = await broker.consume_dead_letters(letters, prefetch=10)

        await bury(broker, b"\xff dead", lane)
        letter = await letters.next()

        assert consumer.active
        assert (letter.channel, letter.priority, letter.body) == (*_parts(lane), b"\xff dead")
        assert letter.headers == {"trace": "abc", "attempt": 2}
        assert (letter.reason, letter.detail) == ("invalid_recipient", "no such mailbox")
        assert not letter.by_broker

    async def test_what_the_broker_gave_up_is_recorded_with_its_own_reason(
        self, harness: BrokerHarness
    ) -> None:
        broker, letters = await harness.open(), Letters()
        await broker.consume_dead_letters(letters, prefetch=10)

        await broker.publish(LANE, b"poison", {"trace": "abc"})
        await wear_out(broker)
        letter = await letters.next()

        assert (letter.channel, letter.priority, letter.body) == (*_parts(LANE), b"poison")
        assert letter.headers == {"trace": "abc"}
        assert (letter.reason, letter.by_broker) == ("delivery_limit", True)
        assert LANE.routing_key in letter.detail
        [parked] = await harness.dead_letters(LANE.channel)
        assert parked.body == b"poison"

    async def test_a_message_that_was_put_off_before_is_recorded_with_its_last_reason(
        self, harness: BrokerHarness
    ) -> None:
        broker, letters, inbox = await harness.open(), Letters(), Inbox()
        await broker.consume_dead_letters(letters, prefetch=10)
        consumer = await broker.consume(LANE, inbox, prefetch=1)
        await broker.publish(LANE, b"poison", {"trace": "abc"})
        await (await inbox.next()).retry(0)
        await consumer.cancel()

        await wear_out(broker)
        letter = await letters.next()

        assert (letter.reason, letter.by_broker) == ("delivery_limit", True)
        assert (letter.headers, letter.priority) == ({"trace": "abc"}, LANE.priority)

    async def test_what_died_before_anyone_listened_is_recorded(
        self, harness: BrokerHarness
    ) -> None:
        broker, letters = await harness.open(), Letters()
        await bury(broker, b"early")

        await broker.consume_dead_letters(letters, prefetch=1)

        assert (await letters.next()).body == b"early"

    async def test_no_more_letters_are_handed_out_than_the_prefetch(
        self, harness: BrokerHarness
    ) -> None:
        broker, letters = await harness.open(), Letters()
        await broker.consume_dead_letters(letters, prefetch=1)
        await bury(broker, b"first")
        await bury(broker, b"second")
        first = await letters.next()

        assert len(letters) == 0
        await first.ack()

        assert [first.body, (await letters.next()).body] == [b"first", b"second"]

    async def test_a_letter_whose_handler_failed_comes_again(self, harness: BrokerHarness) -> None:
        broker, settled, failed = await harness.open(), asyncio.Event(), asyncio.Event()

        async def handle(letter: DeadLetter) -> None:
            if letter.body == b"bad":
                failed.set()
                raise ValueError(letter.body)
            await letter.ack()
            settled.set()

        await broker.consume_dead_letters(handle, prefetch=2)
        await bury(broker, b"bad")
        await bury(broker, b"good")
        await failed.wait()
        await settled.wait()
        await broker.close()

        again, letters = await harness.open(), Letters()
        await again.consume_dead_letters(letters, prefetch=10)
        await bury(again, b"last")

        bodies = [(await letters.next()).body for _ in range(2)]
        assert bodies == [b"bad", b"last"]

    async def test_a_recorded_letter_stays_parked_for_people(self, harness: BrokerHarness) -> None:
        broker, letters = await harness.open(), Letters()
        consumer = await broker.consume_dead_letters(letters, prefetch=1)
        await bury(broker, b"dead")

        await (await letters.next()).ack()
        await consumer.cancel()

        await backlog_where(broker, lambda backlog: backlog.dead[LANE.channel] == 1)
        assert not consumer.active


def _parts(lane: Lane) -> tuple[Channel, Priority]:
    return lane.channel, lane.priority
