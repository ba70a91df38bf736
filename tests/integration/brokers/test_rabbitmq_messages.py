"""What RabbitMQ does with messages that are foreign, early, unroutable or poisonous."""

from __future__ import annotations

import asyncio
import time
from types import NoneType

import aio_pika
import pytest

from clarion.brokers.base import Broker, Message
from clarion.brokers.topology import DEAD, WORK
from clarion.errors import QueueFull, Unroutable
from clarion.notification import Channel
from clarion_testing.broker_contract import LANE, OTHER_LANE, Inbox, Letters, backlog_where
from clarion_testing.rabbitmq_harness import RabbitMQHarness
from clarion_testing.rabbitmq_nodes import RabbitMQ

pytestmark = pytest.mark.timeout(120)


async def _as_admin(
    node: RabbitMQ, key: str, message: aio_pika.Message, exchange: str = WORK
) -> None:
    async with await aio_pika.connect(node.admin_url) as connection:
        channel = await connection.channel()
        await (await channel.get_exchange(exchange)).publish(message, key, mandatory=True)


async def _publish_for_ever(broker: Broker) -> None:
    while True:
        await broker.publish(LANE, b"in", {})


@pytest.mark.parametrize("key", ["notifications.email", "notifications.email.normal"])
async def test_a_foreign_message_arrives_with_its_bytes_and_no_headers(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ, key: str
) -> None:
    broker, inbox = await harness.open(), Inbox()
    await broker.consume(LANE, inbox, prefetch=1)

    await _as_admin(rabbitmq, key, aio_pika.Message(b"\x00 not json"))
    delivery = await inbox.next()

    assert (delivery.lane, delivery.body) == (LANE, b"\x00 not json")
    assert (delivery.headers, delivery.deliveries) == ({}, 0)


async def test_a_foreign_message_is_as_old_as_its_timestamp(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker, inbox = await harness.open(), Inbox()
    await broker.consume(LANE, inbox, prefetch=1)

    message = aio_pika.Message(b"old", timestamp=time.time() - 100)
    await _as_admin(rabbitmq, "notifications.email", message)
    await inbox.next()

    oldest = (await broker.backlog()).lanes[LANE].oldest
    assert oldest is not None
    assert oldest >= 100


async def test_a_message_for_which_no_queue_is_bound_is_an_error(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker = await harness.open()
    key = f"{LANE.routing_key}.#"
    async with await aio_pika.connect(rabbitmq.admin_url) as connection:
        queue = await (await connection.channel()).get_queue(LANE.routing_key)
        await queue.unbind(WORK, key)
        try:
            with pytest.raises(Unroutable, match=r"notifications\.email\.normal"):
                await broker.publish(LANE, b"nowhere", {})
            some = await broker.publish_all(
                [Message(lane, b"", {}) for lane in (OTHER_LANE, LANE, LANE, OTHER_LANE)]
            )
            # an answer is each message's own
            assert [type(error) for error in some] == [NoneType, Unroutable, Unroutable, NoneType]
        finally:
            await queue.bind(WORK, key)

    await broker.publish(LANE, b"somewhere", {})
    await backlog_where(broker, lambda backlog: backlog.lanes[LANE].ready == 1)


async def test_a_full_lane_refuses_and_the_others_go_on(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker, inbox = await harness.open("gateway"), Inbox()
    limit = ("small", f"^{LANE.routing_key}$", '{"max-length": 1, "delivery-limit": 10}')
    await asyncio.to_thread(rabbitmq.ctl, "set_policy", "--priority", "9", *limit)
    try:
        # the limit comes with the policy, a little later, and leaves room for one or two more
        with pytest.raises(QueueFull, match=r"notifications\.email\.normal"):
            await _publish_for_ever(broker)
        await broker.publish(OTHER_LANE, b"other", {})
    finally:
        await asyncio.to_thread(rabbitmq.ctl, "clear_policy", "small")

    worker = await harness.open("email")
    await worker.consume(OTHER_LANE, inbox, prefetch=1)
    assert (await inbox.next()).body == b"other"


async def test_a_message_that_is_not_due_yet_goes_another_round(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker, inbox = await harness.open(), Inbox()
    await broker.consume(LANE, inbox, prefetch=1)
    due = time.time() + 1.5

    headers = {"x-due-at": int(due * 1000) + 1, "trace": "abc"}
    message = aio_pika.Message(b"early", headers=headers)  # type: ignore[arg-type]
    await _as_admin(rabbitmq, LANE.routing_key, message)
    delivery = await inbox.next()

    assert time.time() >= due
    assert (delivery.body, delivery.headers) == (b"early", {"trace": "abc"})


async def test_a_delay_beyond_the_ladder_waits_in_its_longest_queue(
    harness: RabbitMQHarness,
) -> None:
    broker, inbox = await harness.open(), Inbox()
    await broker.consume(LANE, inbox, prefetch=1)
    await broker.publish(LANE, b"tomorrow", {})

    await (await inbox.next()).retry(86_400)

    [parked] = await harness.peek("notifications.delay.4096s")
    assert parked.routing_key == "notifications.email.normal.4096s"
    due = parked.headers["x-due-at"]
    assert isinstance(due, int)
    assert due / 1000 - time.time() > 4096


async def test_a_message_passes_the_same_delay_queue_twice(harness: RabbitMQHarness) -> None:
    # RabbitMQ 3.10 takes a copied x-death for a cycle, and drops the message
    broker, inbox = await harness.open(), Inbox()
    await broker.consume(LANE, inbox, prefetch=1)
    await broker.publish(LANE, b"twice", {})

    await (await inbox.next()).retry(1)
    await (await inbox.next()).retry(1)
    back = await inbox.next()
    await back.dead_letter("retries_exhausted")

    assert back.body == b"twice"
    [parked] = await harness.dead_letters(Channel.EMAIL)
    assert not [header for header in parked.headers if header.startswith("x-death")]


async def test_a_long_detail_is_cut(harness: RabbitMQHarness) -> None:
    broker, inbox = await harness.open(), Inbox()
    await broker.consume(LANE, inbox, prefetch=1)
    await broker.publish(LANE, b"dead", {})

    await (await inbox.next()).dead_letter("provider_rejected", "x" * 200_000)

    [parked] = await harness.dead_letters(Channel.EMAIL)
    assert parked.detail == "x" * 500


@pytest.mark.parametrize("key", ["notifications.email", "notifications.email.normal"])
async def test_a_message_that_expired_in_its_lane_is_recorded(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ, key: str
) -> None:
    broker, letters = await harness.open("gateway"), Letters()
    await broker.consume_dead_letters(letters, prefetch=1)

    await _as_admin(rabbitmq, key, aio_pika.Message(b"late", expiration=0.05))
    letter = await letters.next()

    assert (letter.channel, letter.priority) == (LANE.channel, LANE.priority)
    assert (letter.body, letter.reason, letter.by_broker) == (b"late", "expired", True)
    assert letter.detail == "given up by RabbitMQ in notifications.email.normal"


async def test_a_letter_of_no_channel_does_not_stop_the_others(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker, letters = await harness.open(), Letters()
    await broker.consume_dead_letters(letters, prefetch=1)

    await _as_admin(rabbitmq, "notifications.pigeon.high", aio_pika.Message(b"?"), DEAD)
    await _as_admin(rabbitmq, "notifications.push.urgent", aio_pika.Message(b"!"), DEAD)
    letter = await letters.next()

    assert (letter.body, letter.channel, letter.priority) == (b"!", Channel.PUSH, None)
    assert (letter.reason, letter.by_broker) == ("", False)


async def test_a_poison_message_ends_in_the_dead_letter_queue(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker = await harness.open()
    await broker.publish(LANE, b"poison", {"trace": "abc"})
    rejected = 0
    async with await aio_pika.connect(rabbitmq.admin_url) as connection:
        queue = await (await connection.channel()).get_queue(LANE.routing_key)

        while not (await broker.backlog()).dead[Channel.EMAIL]:
            message = await queue.get(fail=False)
            if message is not None:
                await message.reject(requeue=True)
                rejected += 1

    [parked] = await harness.dead_letters(Channel.EMAIL)
    assert rejected == 11
    assert (parked.body, parked.headers["trace"]) == (b"poison", "abc")
