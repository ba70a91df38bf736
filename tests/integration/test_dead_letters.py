"""A letter's way from its failure to its recipient, on RabbitMQ and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from clarion_testing.postgres import Postgres
from clarion_testing.rabbitmq_nodes import RabbitMQ
from clarion_testing.system import System, event, running_system


@pytest.fixture
async def system(rabbitmq: RabbitMQ, postgres: Postgres) -> AsyncIterator[System]:
    async with running_system(rabbitmq, postgres.url) as system:
        yield system


async def ask(system: System, method: str, path: str, body: object = None) -> Any:
    status, answer = await system.ask(method, f"{system.gateway}/v1/dead-letters{path}", body)
    assert status == 200, answer
    return answer


async def test_a_wrong_address_is_mended_and_its_notification_sent_at_last(system: System) -> None:
    identifier = await system.send(event("email", email="bad@sandbox.test"))
    failed = await system.until(identifier, "failed")

    (group,) = (await ask(system, "GET", "/groups"))["groups"]
    listed = await ask(system, "GET", f"?reason={group['reason']}&channel=email")
    order = {"ids": [identifier], "payload": {"email": "ann@example.com"}}
    report = await ask(system, "POST", "/replay", order)
    sent = await system.until(identifier, "sent")

    assert (group["count"], group["provider_code"]) == (1, failed["provider_code"])
    assert [each["notification_id"] for each in listed["dead_letters"]] == [identifier]
    assert (report["replayed"], report["skips"]) == (1, [])
    # a worker may be faster than the note that its message is queued
    told = [entry for entry in sent["timeline"] if entry["status"] != "queued"]
    assert [entry["status"] for entry in told] == [
        *("accepted", "sending", "failed"),
        *("accepted", "sending", "sent"),
    ]
    assert told[3]["detail"]["changed"] == ["payload.email", "recipient"]
    assert (sent["replay"], sent["attempts_made"]) == (1, 2)
    (message,) = await system.inbox("email")
    assert message["notification_id"] == identifier
    assert (await ask(system, "GET", "/groups"))["groups"] == []


async def test_replays_at_once_send_each_letter_once(system: System) -> None:
    await system.faults({"channel": "push", "times": 10, "action": {"type": "status", "code": 400}})
    identifiers = [await system.send(event("push")) for _ in range(10)]
    for identifier in identifiers:
        await system.until(identifier, "failed")

    order = {"filter": {"channel": "push"}}
    reports = await asyncio.gather(*(ask(system, "POST", "/replay", order) for _ in range(4)))
    for identifier in identifiers:
        await system.until(identifier, "sent")
    calls = [len(await system.calls(identifier)) for identifier in identifiers]

    assert sum(report["replayed"] for report in reports) == 10
    assert calls == [2] * 10
