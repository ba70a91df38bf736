"""From the POST to the lane, through outages of the broker and the database."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika

from clarion.notification import Notification
from clarion.store.base import Query
from clarion_testing.postgres import Postgres
from clarion_testing.rabbitmq_nodes import RabbitMQ

LANE = "notifications.email.normal"


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 90.0) -> None:
    async with asyncio.timeout(seconds):
        # what is waited for happens in a server, which has no event to set here
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def drain(rabbitmq: RabbitMQ) -> list[Notification]:
    """Take every message that is ready on the lane."""
    taken: list[Notification] = []
    connection = await aio_pika.connect(rabbitmq.admin_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(LANE, ensure=False)
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            taken.append(Notification.model_validate_json(message.body))
    return taken


async def all_queued(gateway: Any, count: int) -> bool:
    page = await gateway.store.find(Query(), limit=200)
    statuses = Counter(str(record.status) for record in page.records)
    return bool(statuses == {"queued": count})


async def test_an_accepted_event_is_on_its_lane(gateway: Any, rabbitmq: RabbitMQ) -> None:
    assert await gateway.send("m1") == 202

    await until(lambda: all_queued(gateway, 1))

    [notification] = await drain(rabbitmq)
    assert notification.message_id == "m1"
    assert notification.recipient == "ann@example.com"


async def test_fifty_identical_events_are_one_message(gateway: Any, rabbitmq: RabbitMQ) -> None:
    statuses = await asyncio.gather(*(gateway.send("m1") for _ in range(50)))

    assert Counter(statuses) == {202: 1, 200: 49}
    await until(lambda: all_queued(gateway, 1))
    assert len(await drain(rabbitmq)) == 1


async def test_intake_goes_on_while_the_broker_is_dead_and_drains_after(
    gateway: Any, rabbitmq: RabbitMQ
) -> None:
    assert await gateway.send("before") == 202
    await until(lambda: all_queued(gateway, 1))

    await asyncio.to_thread(rabbitmq.kill)
    try:
        statuses = [await gateway.send(f"m{number}") for number in range(40)]

        async def degraded() -> bool:
            return bool(await gateway.health() == (200, "degraded"))

        await until(degraded)
    finally:
        await asyncio.to_thread(rabbitmq.start)

    assert statuses == [202] * 40
    await until(lambda: all_queued(gateway, 41))
    published = Counter(notification.message_id for notification in await drain(rabbitmq))
    assert set(published) == {"before", *(f"m{number}" for number in range(40))}


async def test_without_its_database_it_refuses_and_recovers(
    gateway: Any, postgres: Postgres
) -> None:
    assert await gateway.send("before") == 202

    await asyncio.to_thread(postgres.stop)
    try:
        refused = await gateway.send("during")

        async def down() -> bool:
            return bool(await gateway.health() == (503, "down"))

        await until(down)
    finally:
        await asyncio.to_thread(postgres.start)

    assert refused == 503

    async def accepted() -> bool:
        return bool(await gateway.send("during") == 202)

    await until(accepted)
    await until(lambda: all_queued(gateway, 2))
