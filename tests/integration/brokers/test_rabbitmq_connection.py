"""What a client of RabbitMQ does when the broker is away, other than expected, or comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aio_pika
import pytest
from yarl import URL

from clarion.brokers import open_broker
from clarion.brokers.base import Broker, Consumer
from clarion.brokers.topology import LANE_QUEUES
from clarion.errors import BrokerUnavailable, TopologyMismatch
from clarion_testing.broker_contract import LANE, OTHER_LANE, Inbox, Letters, backlog_where
from clarion_testing.rabbitmq_harness import RabbitMQHarness
from clarion_testing.rabbitmq_nodes import RabbitMQ, free_port

pytestmark = pytest.mark.timeout(180)


async def _until(condition: Callable[[], bool]) -> None:
    # the client tells nobody when it is disconnected, or connected again
    while True:
        if condition():
            return
        await asyncio.sleep(0.001)


async def _reconnected(node: RabbitMQ, broker: Broker, *consumers: Consumer) -> None:
    """Close every connection from the broker's side; return once the client has them again."""
    await asyncio.gather(
        asyncio.to_thread(node.ctl, "close_all_connections", "test"),
        _until(lambda: not broker.connected),
        *(_until(lambda each=each: not each.active) for each in consumers),  # type: ignore[misc]
    )
    await _until(lambda: broker.connected and all(each.active for each in consumers))


async def test_a_broker_that_is_not_there_is_unavailable() -> None:
    broker = open_broker(f"amqp://gateway:hush@127.0.0.1:{free_port()}/")

    with pytest.raises(BrokerUnavailable, match="as gateway") as caught:
        await broker.connect()

    assert "hush" not in str(caught.value)
    assert not broker.connected
    await broker.close()


async def test_a_wrong_password_is_said_and_not_shown(rabbitmq: RabbitMQ) -> None:
    broker = open_broker(str(URL(rabbitmq.url()).with_password("hush")))

    with pytest.raises(BrokerUnavailable, match="as gateway") as caught:
        await broker.connect()

    assert "hush" not in str(caught.value)


async def test_a_broker_without_our_definitions_is_told_what_it_lacks(rabbitmq: RabbitMQ) -> None:
    rabbitmq.ctl("add_vhost", "empty")
    try:
        rabbitmq.ctl("set_permissions", "-p", "empty", "gateway", ".*", ".*", ".*")
        broker = open_broker(str(URL(rabbitmq.url()).with_path("/empty")))

        with pytest.raises(TopologyMismatch) as caught:
            await broker.connect()

        assert "exchange notifications.delay," in str(caught.value)
        assert "queue notifications.email.high," in str(caught.value)
        assert "import rabbitmq/definitions.json" in str(caught.value)
        assert not broker.connected
    finally:
        rabbitmq.ctl("delete_vhost", "empty")


async def test_a_second_connect_keeps_the_connections_and_the_consumers(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker, inbox = await harness.open(), Inbox()
    consumer = await broker.consume(LANE, inbox, prefetch=1)

    await asyncio.gather(broker.connect(), broker.connect())
    await broker.publish(LANE, b"once", {})
    await (await inbox.next()).ack()

    listing = await asyncio.to_thread(rabbitmq.ctl, "-q", "list_connections", "name")
    assert len([line for line in listing.splitlines() if "->" in line]) == 2
    assert consumer.active


async def test_a_second_connect_while_the_broker_is_away_fails_and_then_succeeds(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker = await harness.open()
    await asyncio.to_thread(rabbitmq.kill)
    try:
        await _until(lambda: not broker.connected)
        with pytest.raises(BrokerUnavailable, match="as admin"):
            await broker.connect()
    finally:
        await asyncio.to_thread(rabbitmq.start)
    await _until(lambda: broker.connected)

    await broker.connect()

    await broker.publish(LANE, b"here", {})


async def test_a_node_that_is_away_is_passed_by(rabbitmq: RabbitMQ) -> None:
    there = URL(rabbitmq.admin_url)
    nodes = f"127.0.0.1:{free_port()},{there.host}:{there.port},127.0.0.1:{free_port()}"
    url = f"amqp://{there.user}:{there.password}@{nodes}/"

    for _ in range(5):  # each starts at a random one
        broker = open_broker(url)
        await broker.connect()
        await broker.publish(LANE, b"there", {})
        await broker.close()


async def test_no_node_there_is_told_of_each() -> None:
    ports = [free_port(), free_port()]
    broker = open_broker(f"amqp://gateway:hush@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/")

    with pytest.raises(BrokerUnavailable) as caught:
        await broker.connect()

    assert all(str(caught.value).count(f"127.0.0.1:{port}") == 2 for port in ports)
    assert "hush" not in str(caught.value)


async def test_a_subscription_that_the_broker_ended_is_taken_up_again(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker, inbox = await harness.open(), Inbox()
    consumer = await broker.consume(LANE, inbox, prefetch=1)
    lane = next(queue for queue in LANE_QUEUES if queue.name == LANE.routing_key)
    async with await aio_pika.connect(rabbitmq.admin_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(lane.name)
        try:
            await _until(lambda: not consumer.active)
        finally:
            queue = await channel.declare_queue(
                lane.name, durable=True, arguments={**lane.arguments}
            )
            for key in lane.keys:
                await queue.bind(lane.exchange, key)
    await _until(lambda: consumer.active)

    for body in (b"first", b"second", b"third"):
        await broker.publish(LANE, body, {"trace": "abc"})
        delivery = await inbox.next()
        assert (delivery.body, delivery.headers) == (body, {"trace": "abc"})
        await delivery.ack()


async def test_consumers_are_restored_after_their_connection_was_closed(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker, inbox, other = await harness.open(), Inbox(), Inbox()
    first = await broker.consume(LANE, inbox, prefetch=2)
    second = await broker.consume(OTHER_LANE, other, prefetch=1)
    await broker.publish(LANE, b"held", {})
    stale = await inbox.next()

    await _reconnected(rabbitmq, broker, first, second)
    back = await inbox.next()
    await stale.ack()
    await broker.publish(OTHER_LANE, b"new", {})

    assert (back.body, back.deliveries) == (b"held", 1)
    assert (await other.next()).body == b"new"
    assert (await broker.backlog()).lanes[LANE].oldest is not None
    await back.ack()
    await broker.close()
    again, after = await harness.open(), Inbox()
    await again.consume(LANE, after, prefetch=1)
    await again.publish(LANE, b"next", {})
    assert (await after.next()).body == b"next"


async def test_a_message_that_comes_again_is_not_put_off_a_second_time(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker, inbox = await harness.open(), Inbox()
    consumer = await broker.consume(LANE, inbox, prefetch=1)
    await broker.publish(LANE, b"held", {})
    stale = await inbox.next()

    await _reconnected(rabbitmq, broker, consumer)
    back = await inbox.next()
    with pytest.raises(BrokerUnavailable, match="comes again"):
        await stale.retry(1)
    await back.retry(1)

    assert (await inbox.next()).body == b"held"
    assert (await broker.backlog()).delayed == 0


async def test_a_consumer_of_dead_letters_is_restored_with_what_it_left_unsettled(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker, letters = await harness.open("gateway"), Letters()
    consumer = await broker.consume_dead_letters(letters, prefetch=1)
    worker = await harness.open("email")
    inbox = Inbox()
    await worker.consume(LANE, inbox, prefetch=1)
    await broker.publish(LANE, b"dead", {})
    await (await inbox.next()).dead_letter("spam")
    stale = await letters.next()
    await worker.close()

    await _reconnected(rabbitmq, broker, consumer)
    await stale.ack()
    again = await letters.next()

    assert (stale.body, again.body, again.reason) == (b"dead", b"dead", "spam")


async def test_the_prefetch_holds_after_a_reconnect(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker, inbox, other = await harness.open(), Inbox(), Inbox()
    first = await broker.consume(LANE, inbox, prefetch=3)
    second = await broker.consume(OTHER_LANE, other, prefetch=1)

    await _reconnected(rabbitmq, broker, first, second)
    for lane in (LANE, OTHER_LANE):
        for _ in range(5):
            await broker.publish(lane, b"", {})
    for _ in range(3):
        await inbox.next()
    await other.next()

    backlog = await broker.backlog()
    assert (backlog.lanes[LANE].ready, backlog.lanes[OTHER_LANE].ready) == (2, 4)
    assert (len(inbox), len(other)) == (0, 0)


async def test_a_cancelled_consumer_stays_cancelled_after_a_reconnect(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker, inbox, after = await harness.open(), Inbox(), Inbox()
    consumer = await broker.consume(LANE, inbox, prefetch=1)
    await consumer.cancel()

    await _reconnected(rabbitmq, broker)
    later = await broker.consume(LANE, after, prefetch=1)
    await broker.publish(LANE, b"later", {})

    assert (await after.next()).body == b"later"
    assert (consumer.active, later.active, len(inbox)) == (False, True, 0)


async def test_a_cancelled_consumer_leaves_no_channel_behind(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker = await harness.open()

    for body in (b"first", b"second", b"third"):
        inbox = Inbox()
        consumer = await broker.consume(LANE, inbox, prefetch=1)
        await broker.publish(LANE, body, {})
        assert (await inbox.next()).body == b"first"
        await consumer.cancel()

    listing = ("-q", "--no-table-headers", "list_channels", "connection")
    while True:
        channels = await asyncio.to_thread(rabbitmq.ctl, *listing)
        if len(channels.splitlines()) == 1:  # the one to publish on
            break


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_everything_confirmed_outlives_the_broker(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ, end: str
) -> None:
    broker, inbox = await harness.open(), Inbox()
    consumer = await broker.consume(LANE, inbox, prefetch=3)
    for body in (b"held", b"delayed", b"dead"):
        await broker.publish(LANE, body, {})
    held = {delivery.body: delivery for delivery in [await inbox.next() for _ in range(3)]}
    await held[b"delayed"].retry(1)
    await held[b"dead"].dead_letter("spam")
    await broker.publish(OTHER_LANE, b"waiting", {})

    await asyncio.to_thread(getattr(rabbitmq, end))
    await _until(lambda: not broker.connected)
    assert not consumer.active
    with pytest.raises(BrokerUnavailable):
        await broker.publish(LANE, b"away", {})
    with pytest.raises(BrokerUnavailable):
        await held[b"held"].retry(1)
    with pytest.raises(BrokerUnavailable):
        await broker.backlog()
    await asyncio.to_thread(rabbitmq.start)
    await _until(lambda: broker.connected and consumer.active)

    back = {(await inbox.next()).body for _ in range(2)}
    assert back == {b"held", b"delayed"}
    # a queue that has just recovered may be asked before it has counted
    await backlog_where(
        broker,
        lambda backlog: backlog.lanes[OTHER_LANE].ready == 1 and backlog.dead[LANE.channel] == 1,
    )


async def test_a_close_returns_while_the_broker_is_away(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker = await harness.open()
    consumer = await broker.consume(LANE, Inbox(), prefetch=1)
    await asyncio.to_thread(rabbitmq.kill)
    try:
        await consumer.cancel()
        await broker.close()

        assert not broker.connected
    finally:
        await asyncio.to_thread(rabbitmq.start)
