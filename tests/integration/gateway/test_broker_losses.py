"""What the gateway does when RabbitMQ's disk is full, and when RabbitMQ has lost its messages."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika

from clarion.notification import Status
from clarion.store.base import Query
from clarion_testing.postgres import Postgres
from clarion_testing.rabbitmq_nodes import RabbitMQ

LANE = "notifications.email.normal"
EVENT: dict[str, Any] = {
    "target_user_id": "u1",
    "channel": "email",
    "template_id": "welcome",
    "payload": {"user_name": "Ann", "email": "ann@example.com"},
}


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(90):
        # what is waited for happens in a server, which has no event to set here
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def queued(gateway: Any) -> set[str]:
    page = await gateway.store.find(Query(status=Status.QUEUED), limit=200)
    return {record.notification.message_id for record in page.records}


async def empty(rabbitmq: RabbitMQ) -> int:
    """Throw away what is ready on the lane, as a lost disk would; return how many."""
    async with await aio_pika.connect(rabbitmq.admin_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(LANE, ensure=False)
        return (await queue.purge()).message_count or 0


async def test_a_full_disk_is_a_503_that_says_when_to_try_again(
    gateway: Any, rabbitmq: RabbitMQ
) -> None:
    answers: dict[str, int] = {}
    await asyncio.to_thread(rabbitmq.ctl, "set_disk_free_limit", "1000000GB")
    try:

        async def refused() -> bool:
            message_id = f"m{len(answers)}"
            body = EVENT | {"message_id": message_id}
            async with gateway.session.post(gateway.url + "/v1/notifications", json=body) as answer:
                answers[message_id] = answer.status
                if answer.status == 503:
                    assert int(answer.headers["Retry-After"]) > 0
                    assert "low on disk" in (await answer.json())["detail"]
                return bool(answer.status == 503)

        await until(refused)
        health = await gateway.health()
    finally:
        await asyncio.to_thread(rabbitmq.ctl, "set_disk_free_limit", "1MB")

    assert set(answers.values()) <= {202, 503}
    assert health == (200, "degraded")
    accepted = {message_id for message_id, status in answers.items() if status == 202}

    async def drained() -> bool:
        return await queued(gateway) == accepted

    async def taken_again() -> bool:
        return bool(await gateway.send("afterwards") in (200, 202))

    await until(drained)
    await until(taken_again)


async def test_what_rabbitmq_lost_is_published_again_on_an_operators_word(
    gateway: Any, rabbitmq: RabbitMQ, postgres: Postgres
) -> None:
    names = {f"m{number}" for number in range(5)}
    for name in names:
        assert await gateway.send(name) == 202

    async def all_queued() -> bool:
        return await queued(gateway) == names

    await until(all_queued)
    lost = await empty(rabbitmq)

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "clarion_gateway", "requeue"),
        env=os.environ | {"BROKER_URL": rabbitmq.url("gateway"), "DATABASE_URL": postgres.url},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()

    assert lost == 5
    assert process.returncode == 0
    assert "published 5 unfinished notifications again" in output.decode()
    assert await empty(rabbitmq) == 5
    assert Counter(await queued(gateway)) == Counter(names)
