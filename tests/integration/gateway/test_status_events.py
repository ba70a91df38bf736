"""An application binds a queue to notifications.events, and hears of every change of status."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika

from clarion.notification import Status
from clarion.receipt import Fact
from clarion_testing.rabbitmq_nodes import RabbitMQ
from clarion_testing.store_contract import LEASE, accepted, outcome
from clarion_testing.store_receipts import receipt

Told = asyncio.Queue[tuple[str, dict[str, Any]]]


@asynccontextmanager
async def bound(rabbitmq: RabbitMQ, key: str, **arguments: Any) -> AsyncIterator[Told]:
    """Yield what arrives in a queue that an application bound, as (topic, body)."""
    told: Told = asyncio.Queue()

    async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        told.put_nowait((message.routing_key or "", json.loads(message.body)))

    async with await aio_pika.connect(rabbitmq.admin_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True, arguments=arguments)
        await queue.bind("notifications.events", key)
        if not arguments:
            await queue.consume(take, no_ack=True)
        yield told


async def test_a_bound_queue_hears_of_every_change_in_order(
    gateway: Any, rabbitmq: RabbitMQ
) -> None:
    async with bound(rabbitmq, "status.email.*") as told:
        notification_id = await accepted(gateway.store)
        await gateway.store.claim(notification_id, worker="w", lease=LEASE)
        await gateway.store.record(outcome(notification_id, 1, Status.RETRYING))
        await gateway.store.claim(notification_id, worker="w", lease=LEASE)
        await gateway.store.record(outcome(notification_id, 2, Status.SENT))
        await gateway.store.note_receipts([receipt(notification_id, Fact.DELIVERED, attempt=2)])
        heard = [await told.get() for _ in range(3)]

    assert [topic for topic, _ in heard] == [
        "status.email.retrying",
        "status.email.sent",
        "status.email.delivered",
    ]
    assert [body["sequence"] for _, body in heard] == [1, 2, 3]
    assert {body["notification_id"] for _, body in heard} == {notification_id}


async def test_an_exchange_without_queues_is_no_error(gateway: Any, rabbitmq: RabbitMQ) -> None:
    notification_id = await accepted(gateway.store)

    await gateway.store.cancel(notification_id, "shop")

    async with asyncio.timeout(60):
        # the broker alone knows when it has answered
        while await gateway.store.oldest_event() is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_full_queue_of_another_application_holds_nothing_else_up(
    gateway: Any, rabbitmq: RabbitMQ
) -> None:
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    async with (
        bound(rabbitmq, "status.email.cancelled", **full),
        bound(rabbitmq, "status.email.*") as told,
    ):
        ids = [await accepted(gateway.store, f"m{number}") for number in range(6)]
        for notification_id in ids:
            await gateway.store.cancel(notification_id, "shop")
        last = await accepted(gateway.store, "last")
        await gateway.store.claim(last, worker="w", lease=LEASE)
        await gateway.store.record(outcome(last, 1, Status.SENT))
        heard: set[str] = set()
        async with asyncio.timeout(60):
            while not heard >= {*ids, last}:
                heard.add((await told.get())[1]["notification_id"])
        held = await gateway.store.oldest_event()

    assert held is not None
