"""Each service may do its own work on the broker, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPConnectionError, ChannelClosed
from aiormq.exceptions import ChannelAccessRefused
from yarl import URL

from clarion.brokers.topology import EXCHANGES, QUEUES, RECORDER_QUEUE
from clarion.notification import Channel, Lane, Priority
from clarion_testing.broker_contract import Inbox, Letters
from clarion_testing.rabbitmq_harness import RabbitMQHarness
from clarion_testing.rabbitmq_nodes import RabbitMQ

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("channel", list(Channel))
async def test_gateway_and_worker_can_do_their_work(
    harness: RabbitMQHarness, channel: Channel
) -> None:
    gateway, worker = await harness.open("gateway"), await harness.open(channel.value)
    letters = Letters()
    await gateway.consume_dead_letters(letters, prefetch=10)
    for priority in Priority:
        lane, inbox = Lane(channel, priority), Inbox()
        await worker.consume(lane, inbox, prefetch=1)

        await gateway.publish(lane, b"work", {"trace": "abc"})
        await (await inbox.next()).retry(0)
        await (await inbox.next()).dead_letter("spam")
        letter = await letters.next()
        assert (letter.channel, letter.priority, letter.reason) == (channel, priority, "spam")

    parked = await harness.dead_letters(channel)
    assert [letter.body for letter in parked] == [b"work"] * 3
    for client in (gateway, worker):
        backlog = await client.backlog()
        assert backlog.lanes[Lane(channel, Priority.HIGH)].ready == 0
        assert backlog.dead[channel] == 3


async def _consume_from_another_channels_lane(channel: AbstractChannel) -> None:
    queue = await channel.get_queue("notifications.whatsapp.high", ensure=False)
    await queue.consume(_ignore)


async def _consume_dead_letters(channel: AbstractChannel) -> None:
    queue = await channel.get_queue("notifications.email.dead", ensure=False)
    await queue.consume(_ignore)


async def _record(channel: AbstractChannel) -> None:
    queue = await channel.get_queue("notifications.dead.recorder", ensure=False)
    await queue.consume(_ignore)


async def _declare(channel: AbstractChannel) -> None:
    await channel.declare_queue("notifications.email.extra", durable=True)


async def _delete(channel: AbstractChannel) -> None:
    await channel.queue_delete("notifications.email.high")


async def _bind(channel: AbstractChannel) -> None:
    queue = await channel.get_queue("notifications.email.dead", ensure=False)
    await queue.bind("notifications", "#")


async def _declare_an_exchange(channel: AbstractChannel) -> None:
    await channel.declare_exchange("notifications.extra", "topic", durable=True)


async def _delete_an_exchange(channel: AbstractChannel) -> None:
    await channel.exchange_delete("notifications.events")


async def _unbind(channel: AbstractChannel) -> None:
    queue = await channel.get_queue("notifications.email.high", ensure=False)
    await queue.unbind("notifications", "notifications.email.high.#")


async def _purge(channel: AbstractChannel) -> None:
    await (await channel.get_queue("notifications.email.high", ensure=False)).purge()


async def _publish_work(channel: AbstractChannel) -> None:
    await _publish(channel, "notifications", "notifications.email.high")


async def _delay_for_another_channel(channel: AbstractChannel) -> None:
    await _publish(channel, "notifications.delay", "notifications.push.high.1s")


async def _bury_for_another_channel(channel: AbstractChannel) -> None:
    await _publish(channel, "notifications.dead", "notifications.push.high")


async def _publish_past_the_exchange(channel: AbstractChannel) -> None:
    await channel.default_exchange.publish(aio_pika.Message(b""), "notifications.email.high")


@pytest.mark.parametrize(
    ("user", "deed"),
    [
        ("email", _consume_from_another_channels_lane),
        ("email", _consume_dead_letters),
        ("email", _record),
        ("email", _declare),
        ("email", _delete),
        ("email", _bind),
        ("email", _publish_work),
        ("email", _delay_for_another_channel),
        ("email", _bury_for_another_channel),
        ("email", _publish_past_the_exchange),
        # who may consume a queue may empty it: RabbitMQ knows no difference
        ("whatsapp", _purge),
        ("gateway", _purge),
        ("monitor", _purge),
        ("gateway", _consume_from_another_channels_lane),
        ("gateway", _consume_dead_letters),
        ("gateway", _declare),
        ("gateway", _delete),
        ("gateway", _bind),
        ("gateway", _delay_for_another_channel),
        ("gateway", _bury_for_another_channel),
        ("gateway", _publish_past_the_exchange),
        ("monitor", _consume_dead_letters),
        ("monitor", _record),
        ("monitor", _publish_work),
    ],
)  # fmt: skip
async def test_a_user_is_refused_what_is_not_its_work(
    rabbitmq: RabbitMQ, user: str, deed: Callable[[AbstractChannel], Awaitable[None]]
) -> None:
    async with await aio_pika.connect(rabbitmq.url(user)) as connection:
        channel = await connection.channel()

        with pytest.raises(ChannelClosed, match="ACCESS_REFUSED"):
            await deed(channel)


MAY_CONSUME = {
    "gateway": {RECORDER_QUEUE.name},
    **{c.value: {Lane(c, priority).routing_key for priority in Priority} for c in Channel},
    "monitor": set(),
}


@pytest.mark.parametrize("user", sorted(MAY_CONSUME))
async def test_a_user_consumes_from_its_own_queues_alone(rabbitmq: RabbitMQ, user: str) -> None:
    async with await aio_pika.connect(rabbitmq.url(user)) as connection:
        allowed = {q.name for q in QUEUES if await _may(connection, _consume, q.name)}

    assert allowed == MAY_CONSUME[user]


_CHANNEL_LANES = {
    c.value: [Lane(c, priority).routing_key for priority in Priority] for c in Channel
}
_LANES = [key for keys in _CHANNEL_LANES.values() for key in keys]
MAY_PUBLISH = {
    "gateway": {
        *(("notifications", key) for key in _LANES),
        *(("notifications.events", f"status.{c}.sent") for c in Channel),
    },
    **{
        channel: {
            *(("notifications.delay", f"{key}.1s") for key in keys),
            *(("notifications.dead", key) for key in keys),
            # what came back from its delay has that key still
            *(("notifications.dead", f"{key}.1s") for key in keys),
        }
        for channel, keys in _CHANNEL_LANES.items()
    },
    "monitor": set(),
}
EVERY_ADDRESS = [
    *((exchange, key) for exchange in EXCHANGES for key in _LANES),
    *((exchange, f"{key}.1s") for exchange in EXCHANGES for key in _LANES),
    *((exchange, f"status.{c}.sent") for exchange in EXCHANGES for c in Channel),
    *(("", queue.name) for queue in QUEUES),
    *((name, _LANES[0]) for name in ("amq.topic", "amq.direct", "amq.fanout")),
]


@pytest.mark.parametrize("user", sorted(MAY_PUBLISH))
async def test_a_user_publishes_to_its_own_addresses_alone(rabbitmq: RabbitMQ, user: str) -> None:
    async with await aio_pika.connect(rabbitmq.url(user)) as connection:
        allowed = {to for to in EVERY_ADDRESS if await _may(connection, _publish_bare, *to)}

    assert allowed == MAY_PUBLISH[user]


@pytest.mark.parametrize("user", sorted(MAY_CONSUME))
@pytest.mark.parametrize(
    "deed",
    [_declare, _delete, _bind, _declare_an_exchange, _delete_an_exchange, _unbind],
)
async def test_nobody_but_the_admin_changes_the_topology(
    rabbitmq: RabbitMQ, user: str, deed: Callable[[AbstractChannel], Awaitable[None]]
) -> None:
    async with await aio_pika.connect(rabbitmq.url(user)) as connection:
        channel = await connection.channel()

        with pytest.raises(ChannelClosed, match="ACCESS_REFUSED"):
            await deed(channel)


async def test_there_is_no_guest(rabbitmq: RabbitMQ) -> None:
    with pytest.raises(AMQPConnectionError):
        await aio_pika.connect(
            str(URL(rabbitmq.admin_url).with_user("guest").with_password("guest"))
        )


async def _may(
    connection: AbstractConnection, deed: Callable[..., Awaitable[None]], *what: str
) -> bool:
    """Tell whether the broker permits a deed, on a channel of its own: a refusal closes it."""
    channel = await connection.channel()
    try:
        await deed(channel, *what)
    except ChannelAccessRefused:
        return False
    await channel.close()
    return True


async def _consume(channel: AbstractChannel, name: str) -> None:
    queue = await channel.get_queue(name, ensure=False)
    await queue.cancel(await queue.consume(_ignore))


async def _publish_bare(channel: AbstractChannel, exchange: str, key: str) -> None:
    target = (
        await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
    )
    await target.publish(aio_pika.Message(b""), key, mandatory=False)


async def _publish(channel: AbstractChannel, exchange: str, key: str) -> None:
    target = await channel.get_exchange(exchange, ensure=False)
    await target.publish(aio_pika.Message(b""), key)


async def _ignore(message: aio_pika.abc.AbstractIncomingMessage) -> None:
    """A consumer that must never be."""
