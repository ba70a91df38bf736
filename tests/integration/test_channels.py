"""Each channel from the POST to the provider, on RabbitMQ and PostgreSQL, judged by the sandbox."""

import asyncio
import json
from collections.abc import AsyncIterator

import aio_pika
import pytest

from clarion.brokers.topology import dead_queue
from clarion.notification import Channel
from clarion_testing.postgres import Postgres
from clarion_testing.rabbitmq_nodes import RabbitMQ
from clarion_testing.system import System, event, running_system

CHANNELS = [channel.value for channel in Channel]
BAD = {
    "email": {"email": "bad@sandbox.test"},
    "whatsapp": {"phone": "+15005550001"},
    "push": {"device_token": "sandbox-bad"},
}


@pytest.fixture
async def system(rabbitmq: RabbitMQ, postgres: Postgres) -> AsyncIterator[System]:
    async with running_system(rabbitmq, postgres.url) as system:
        yield system


async def parked(node: RabbitMQ, channel: str) -> aio_pika.abc.AbstractIncomingMessage:
    """Return the dead letter that comes to a channel's queue."""
    async with await aio_pika.connect(node.admin_url) as connection:
        queue = await (await connection.channel()).get_queue(dead_queue(Channel(channel)))
        async with asyncio.timeout(30), queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                return message
    raise AssertionError("unreachable")


@pytest.mark.parametrize("channel", CHANNELS)
async def test_an_event_arrives_as_its_recipient_would_see_it(system: System, channel: str) -> None:
    identifier = await system.send(event(channel))

    answer = await system.until(identifier)
    (message,) = await system.inbox(channel)

    assert answer["status"] == "sent"
    assert message["notification_id"] == identifier
    assert "Ann" in json.dumps(message)
    # a worker may be faster than the gateway's note that the broker has it
    told = [entry["status"] for entry in answer["timeline"] if entry["status"] != "queued"]
    assert told == ["accepted", "sending", "sent"]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_fault_that_passes_is_retried_after_two_and_four_seconds(
    system: System, channel: str
) -> None:
    await system.faults({"channel": channel, "times": 2, "action": {"type": "status", "code": 503}})

    answer = await system.until(await system.send(event(channel)))
    calls = await system.calls(answer["notification_id"])

    assert answer["status"] == "sent"
    assert [call["status"] for call in calls] == [503, 503, calls[-1]["status"]]
    first, second, third = (call["at_unix"] for call in calls)
    assert second - first >= 2.0
    assert third - second >= 4.0


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_429_waits_as_told_and_spends_no_attempt(system: System, channel: str) -> None:
    action = {"type": "status", "code": 429, "headers": {"Retry-After": "2"}}
    await system.faults({"channel": channel, "times": 1, "action": action})

    answer = await system.until(await system.send(event(channel)))
    first, second = await system.calls(answer["notification_id"])

    assert answer["status"] == "sent"
    assert second["at_unix"] - first["at_unix"] >= 2.0
    assert [attempt["reason"] for attempt in answer["attempts"]] == ["rate_limited", None]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_bad_address_is_parked_at_once_with_the_vendors_code(
    system: System, rabbitmq: RabbitMQ, channel: str
) -> None:
    answer = await system.until(await system.send(event(channel, **BAD[channel])))

    letter = await parked(rabbitmq, channel)

    assert answer["status"] == "failed"
    assert answer["reason"] in ("invalid_recipient", "token_unregistered")
    assert answer["provider_code"]
    assert letter.headers["x-reason"] == answer["reason"]
    assert json.loads(letter.body)["notification_id"] == answer["notification_id"]
    assert len(await system.calls(answer["notification_id"])) == 1


async def test_exhausted_retries_are_parked(system: System, rabbitmq: RabbitMQ) -> None:
    await system.faults({"channel": "push", "action": {"type": "status", "code": 503}})

    answer = await system.until(await system.send(event("push")))
    letter = await parked(rabbitmq, "push")

    assert (answer["status"], answer["reason"]) == ("failed", "retries_exhausted")
    assert letter.headers["x-reason"] == "retries_exhausted"
    assert len(await system.calls(answer["notification_id"])) == 4


async def test_the_same_message_id_twice_calls_the_provider_once(system: System) -> None:
    body = event("email")
    identifier = await system.send(body)
    await system.until(identifier)

    status, answer = await system.ask("POST", f"{system.gateway}/v1/notifications", body)

    assert status == 200
    assert answer["notifications"][0]["duplicate"] is True
    assert answer["notifications"][0]["notification_id"] == identifier
    assert len(await system.calls(identifier)) == 1


async def test_a_call_without_an_answer_is_in_doubt_and_sent_again(system: System) -> None:
    await system.faults({"channel": "push", "times": 1, "action": {"type": "accept_then_drop"}})

    answer = await system.until(await system.send(event("push")))

    statuses = [entry["status"] for entry in answer["timeline"]]
    assert statuses[-3:] == ["in_doubt", "sending", "sent"]
    assert len(await system.calls(answer["notification_id"])) == 2


async def test_a_message_no_one_can_decode_is_parked_intact_and_the_worker_goes_on(
    system: System, rabbitmq: RabbitMQ
) -> None:
    body = b"\xff not an event"
    async with await aio_pika.connect(rabbitmq.admin_url) as connection:
        exchange = await (await connection.channel()).get_exchange("notifications")
        message = aio_pika.Message(body, headers={"origin": "elsewhere"})
        await exchange.publish(message, "notifications.email")

    letter = await parked(rabbitmq, "email")
    answer = await system.until(await system.send(event("email")))

    assert letter.body == body
    assert letter.headers["origin"] == "elsewhere"
    assert letter.headers["x-reason"] == "invalid_event"
    assert answer["status"] == "sent"


async def test_another_producers_event_is_stored_and_sent(
    system: System, rabbitmq: RabbitMQ
) -> None:
    body = event("whatsapp")
    async with await aio_pika.connect(rabbitmq.admin_url) as connection:
        exchange = await (await connection.channel()).get_exchange("notifications")
        await exchange.publish(
            aio_pika.Message(json.dumps(body).encode()), "notifications.whatsapp"
        )

    async with asyncio.timeout(30):
        # the inbox is another process's in real life: it can only be asked
        while not (messages := await system.inbox("whatsapp")):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    answer = await system.until(messages[0]["notification_id"])

    assert answer["status"] == "sent"
    assert answer["message_id"] == body["message_id"]


async def test_every_channel_of_a_fan_out_is_delivered(system: System) -> None:
    body = event("email", phone="+14155550123", device_token="a-device") | {"channels": CHANNELS}
    del body["channel"]

    status, answer = await system.ask("POST", f"{system.gateway}/v1/notifications", body)
    ends = [await system.until(each["notification_id"]) for each in answer["notifications"]]

    assert status == 202
    assert {(end["channel"], end["status"]) for end in ends} == {
        (channel, "sent") for channel in CHANNELS
    }
