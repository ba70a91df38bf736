"""From the POST to the receipt, on RabbitMQ and PostgreSQL."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from clarion_testing.postgres import Postgres
from clarion_testing.rabbitmq_nodes import RabbitMQ
from clarion_testing.system import System, event, running_system


@pytest.fixture
async def system(rabbitmq: RabbitMQ, postgres: Postgres) -> AsyncIterator[System]:
    async with running_system(rabbitmq, postgres.url, receipts=True) as system:
        yield system


async def plan(system: System, **fields: Any) -> None:
    status, answer = await system.ask("PUT", f"{system.sandbox}/api/receipts", fields)
    assert status == 200, answer


async def tell(system: System, channel: str, act: str) -> None:
    """Press a button under the newest message of a channel."""
    newest = (await system.inbox(channel))[0]["id"]
    url = f"{system.sandbox}/api/messages/{newest}/receipts"
    status, answer = await system.ask("POST", url, {"tell": act})
    assert (status, answer["error"]) == (200, None)
    assert 200 <= answer["status"] < 300


def statuses(answer: Any) -> list[str]:
    return [entry["status"] for entry in answer["timeline"]]


@pytest.mark.parametrize("channel", ["email", "whatsapp"])
async def test_a_notification_becomes_delivered_by_itself(system: System, channel: str) -> None:
    answer = await system.until(await system.send(event(channel)), "delivered")

    assert answer["reason"] is None
    assert len(await system.calls(answer["notification_id"])) == 1
    assert {"sending", "sent", "delivered"} <= set(statuses(answer))


async def test_of_a_push_nothing_is_told(system: System) -> None:
    answer = await system.until(await system.send(event("push")), "sent", "delivered")

    assert answer["status"] == "sent"


@pytest.mark.parametrize(
    ("channel", "payload", "status", "reason"),
    [
        ("email", {"email": "bounce@sandbox.test"}, "bounced", "invalid_recipient"),
        ("email", {"email": "late-bounce@sandbox.test"}, "bounced", "invalid_recipient"),
        ("whatsapp", {"phone": "+15005550017"}, "undelivered", "unreachable"),
    ],
)
async def test_what_did_not_arrive_says_why(
    system: System, channel: str, payload: dict[str, str], status: str, reason: str
) -> None:
    answer = await system.until(await system.send(event(channel, **payload)), status)

    assert answer["reason"] == reason
    assert answer["provider_text"]


@pytest.mark.parametrize("channel", ["email", "whatsapp"])
async def test_a_receipt_settles_a_doubt_before_it_is_sent_again(
    system: System, channel: str
) -> None:
    await plan(system, delay=0)
    doubtful = {"email": {"email": "doubt@sandbox.test"}, "whatsapp": {"phone": "+15005550016"}}

    answer = await system.until(await system.send(event(channel, **doubtful[channel])), "delivered")

    assert len(await system.calls(answer["notification_id"])) == 1
    assert "in_doubt" in statuses(answer)


@pytest.mark.parametrize("channel", ["email", "whatsapp"])
async def test_late_doubled_and_shuffled_receipts_end_the_same(
    system: System, channel: str
) -> None:
    await plan(system, delay=0.05, copies=3, shuffle=True)

    ids = [await system.send(event(channel)) for _ in range(10)]

    for notification_id in ids:
        answer = await system.until(notification_id, "delivered")
        assert statuses(answer).count("delivered") == 1


@pytest.mark.parametrize(("channel", "seen"), [("email", "opened"), ("whatsapp", "read")])
async def test_the_buttons_take_the_road_of_real_receipts(
    system: System, channel: str, seen: str
) -> None:
    await plan(system, automatic=False)
    notification_id = await system.send(event(channel))
    await system.until(notification_id, "sent")

    await tell(system, channel, "deliver")
    await tell(system, channel, "read")

    answer = await system.get(notification_id)
    assert answer["status"] == "delivered"
    assert list(answer["engagement"]) == [seen]


async def test_who_complained_is_not_written_to_again_but_by_a_transactional_template(
    system: System,
) -> None:
    await plan(system, automatic=False)
    await system.until(await system.send(event("email")), "sent")
    await tell(system, "email", "report_spam")

    news = await system.until(await system.send(event("email")), "suppressed")
    code = {**event("email", code="123456", expires_minutes=5), "template_id": "otp"}
    transactional = await system.until(await system.send(code), "sent")

    assert news["reason"] == "spam"
    assert news["attempts"] == []
    assert await system.calls(news["notification_id"]) == []
    assert len(await system.calls(transactional["notification_id"])) == 1


async def test_an_address_that_bounced_is_not_written_to_again(system: System) -> None:
    await plan(system, automatic=False)
    await system.until(await system.send(event("email")), "sent")
    await tell(system, "email", "bounce")

    code = {**event("email", code="123456", expires_minutes=5), "template_id": "otp"}
    answer = await system.until(await system.send(code), "suppressed")

    assert answer["reason"] == "invalid_recipient"
    assert await system.calls(answer["notification_id"]) == []
