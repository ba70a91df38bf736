"""Scheduled sending, deadlines, what follows doubt, and calling off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

Until = Callable[..., Awaitable[None]]


def from_now(**time: float) -> str:
    """Return a moment as an application writes it; SQLite keeps milliseconds."""
    return (datetime.now(UTC) + timedelta(**time)).isoformat(timespec="milliseconds")


async def in_time(gateway: Any, field: str) -> tuple[Any, dict[str, str]]:
    """Return the answer to an event that reached the gateway before its own moment, and the moment.

    The moment is soon, and further away after a machine that stood still has let it pass.
    """
    for seconds in (0.3, 3, 30):
        times = {field: from_now(seconds=seconds)}
        answer = await gateway.send(message_id=f"in-{seconds}", **times)
        if datetime.now(UTC) < datetime.fromisoformat(times[field]):
            break
    return answer, {"message_id": f"in-{seconds}", **times}


def id_of(answer: Any) -> str:
    return str(answer.json["notifications"][0]["notification_id"])


async def shown(gateway: Any, answer: Any) -> Any:
    return (await gateway.get(f"/v1/notifications/{id_of(answer)}")).json


async def test_a_scheduled_one_waits_in_the_store(gateway: Any) -> None:
    send_at = from_now(hours=2)

    answer = await gateway.send(send_at=send_at)

    notification = await shown(gateway, answer)
    assert answer.status == 202
    assert answer.json["notifications"][0]["status"] == "scheduled"
    assert notification["status"] == "scheduled"
    assert datetime.fromisoformat(notification["send_at"]) == datetime.fromisoformat(send_at)
    assert gateway.broker.published == []


async def test_a_scheduled_one_is_published_when_its_time_has_come(
    gateway: Any, until: Until
) -> None:
    answer, _ = await in_time(gateway, "send_at")

    await until(lambda: bool(gateway.broker.published))

    assert answer.json["notifications"][0]["status"] == "scheduled"
    assert datetime.now(UTC) >= gateway.broker.published[0].send_at


@pytest.mark.parametrize(
    ("times", "path", "said"),
    [
        ({"send_at": from_now(hours=-1)}, "send_at", "is past"),
        ({"send_at": from_now(days=400)}, "send_at", "more than a year ahead"),
        ({"expires_at": from_now(seconds=-1)}, "expires_at", "is past"),
        (
            {"send_at": from_now(hours=2), "expires_at": from_now(hours=1)},
            "expires_at",
            "not later than send_at",
        ),
        ({"send_at": "tomorrow"}, "send_at", "RFC 3339"),
        ({"send_at": "2026-01-31T12:00:00"}, "send_at", "timezone"),
        ({"expires_at": 1_800_000_000}, "expires_at", "RFC 3339"),
        ({"on_doubt": "maybe"}, "on_doubt", "'resend' or 'hold'"),
    ],
)
async def test_a_wrong_time_or_policy_is_refused_with_its_path(
    gateway: Any, times: dict[str, Any], path: str, said: str
) -> None:
    answer = await gateway.send(**times)

    assert answer.status == 422
    assert answer.paths == [path]
    assert said in answer.json["errors"][0]["message"]


async def test_a_clock_that_is_a_little_behind_sends_now(gateway: Any, until: Until) -> None:
    answer = await gateway.send(send_at=from_now(minutes=-2))

    assert answer.json["notifications"][0]["status"] == "accepted"
    await until(lambda: bool(gateway.broker.published))


async def test_a_repeat_after_its_deadline_is_a_duplicate_all_the_same(
    gateway: Any, until: Until
) -> None:
    first, times = await in_time(gateway, "expires_at")
    deadline = datetime.fromisoformat(times["expires_at"])
    await until(lambda: datetime.now(UTC) > deadline)

    again = await gateway.send(**times)

    assert first.status == 202
    assert again.status == 200
    assert id_of(again) == id_of(first)


@pytest.mark.parametrize(
    ("changes", "policy"),
    [
        ({}, "resend"),
        ({"on_doubt": "hold"}, "hold"),
        ({"template_id": "otp"}, "hold"),
        ({"template_id": "otp", "on_doubt": "resend"}, "resend"),
    ],
)
async def test_doubt_is_met_as_the_event_says_else_its_template_else_the_default(
    gateway: Any, changes: dict[str, Any], policy: str
) -> None:
    payload = {"user_name": "Ann", "email": "ann@example.com", "code": "1", "expires_minutes": 5}

    answer = await gateway.send(payload=payload, **changes)

    assert answer.status == 202
    assert (await shown(gateway, answer))["on_doubt"] == policy


async def test_a_scheduled_one_can_be_called_off_and_is_never_published(gateway: Any) -> None:
    answer = await gateway.send(send_at=from_now(hours=1))

    first = await gateway.post(f"/v1/notifications/{id_of(answer)}/cancel", None)
    again = await gateway.post(f"/v1/notifications/{id_of(answer)}/cancel", None)

    assert (first.status, again.status) == (200, 200)
    assert first.json["status"] == again.json["status"] == "cancelled"
    assert [entry["status"] for entry in first.json["timeline"]] == ["scheduled", "cancelled"]


async def test_what_is_being_sent_cannot_be_called_off(gateway: Any, until: Until) -> None:
    answer = await gateway.send()
    await until(lambda: bool(gateway.broker.published))
    await gateway.store.claim(id_of(answer), worker="w1", lease=60)

    refused = await gateway.post(f"/v1/notifications/{id_of(answer)}/cancel", None)

    assert refused.status == 409
    assert "being sent at this moment" in refused.json["detail"]


async def test_nobody_cannot_be_called_off(gateway: Any) -> None:
    refused = await gateway.post(f"/v1/notifications/notif_{'0' * 32}/cancel", None)

    assert refused.status == 404


async def test_another_producers_notification_cannot_be_called_off(
    start_gateway: Any, key_ring: Any
) -> None:
    keys, held = key_ring
    gateway = await start_gateway(keys=keys)
    gateway.headers = {"Authorization": f"Bearer {held['shop']}"}
    answer = await gateway.send(send_at=from_now(hours=1))
    gateway.headers = {"Authorization": f"Bearer {held['billing']}"}

    refused = await gateway.post(f"/v1/notifications/{id_of(answer)}/cancel", None)

    assert refused.status == 404
