"""POST /v1/notifications."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from clarion.notification import Channel
from clarion.store.base import Store
from clarion_gateway import models
from clarion_gateway.limits import Limits

EVENT: dict[str, Any] = {
    "message_id": "m1",
    "target_user_id": "u1",
    "channel": "email",
    "template_id": "welcome",
    "payload": {"user_name": "Ann", "email": "ann@example.com"},
}
Until = Callable[..., Awaitable[None]]


async def test_an_event_is_accepted_published_and_marked_queued(gateway: Any, until: Until) -> None:
    answer = await gateway.send(metadata={"source": "test"})

    assert answer.status == 202
    [accepted] = answer.json["notifications"]
    assert accepted["channel"] == "email"
    assert accepted["status"] == "accepted"
    assert accepted["duplicate"] is False
    await until(lambda: len(gateway.broker.published) == 1)
    [published] = gateway.broker.published
    assert published.notification_id == accepted["notification_id"]
    assert published.metadata == {"source": "test"}

    async def queued() -> bool:
        history = await gateway.store.get(accepted["notification_id"])
        return bool(history.record.status == "queued")

    await until(queued)


async def test_the_answer_has_the_shape_of_its_model(gateway: Any) -> None:
    answer = await gateway.send()

    model = models.AcceptedEvent.model_validate_json(answer.body)
    assert json.loads(model.model_dump_json()) == answer.json


async def test_the_same_event_again_is_a_duplicate_and_sends_nothing(
    gateway: Any, until: Until
) -> None:
    first = await gateway.send()
    await until(lambda: len(gateway.broker.published) == 1)

    again = await gateway.post("/v1/notifications", dict(reversed(EVENT.items())))

    assert again.status == 200
    [notification] = again.json["notifications"]
    assert notification["duplicate"] is True
    assert notification["notification_id"] == first.json["notifications"][0]["notification_id"]
    assert len(gateway.broker.published) == 1


async def test_another_event_under_the_same_message_id_is_a_conflict(gateway: Any) -> None:
    await gateway.send()

    answer = await gateway.send(priority="high")

    assert answer.status == 409
    assert answer.paths == ["message_id"]


async def test_fifty_identical_events_at_once_are_one_notification(
    gateway: Any, until: Until
) -> None:
    answers = await asyncio.gather(*(gateway.send() for _ in range(50)))

    assert sorted(answer.status for answer in answers) == [200] * 49 + [202]
    ids = {answer.json["notifications"][0]["notification_id"] for answer in answers}
    assert len(ids) == 1
    await until(lambda: len(gateway.broker.published) >= 1)
    # what is under way would be published before this second one
    await gateway.send(message_id="m2")
    await until(lambda: "m2" in {each.message_id for each in gateway.broker.published})
    assert [each.message_id for each in gateway.broker.published] == ["m1", "m2"]


async def test_channels_make_one_notification_each(gateway: Any) -> None:
    payload = {
        "user_name": "Ann",
        "email": "a@example.com",
        "phone": "+14155550123",
        "device_token": "t1",
    }
    event = {k: v for k, v in EVENT.items() if k != "channel"}

    answer = await gateway.post(
        "/v1/notifications", event | {"channels": ["email", "whatsapp", "push"], "payload": payload}
    )

    assert answer.status == 202
    assert {each["channel"] for each in answer.json["notifications"]} == set(Channel)


async def test_device_tokens_make_one_notification_each(gateway: Any, until: Until) -> None:
    payload = {"user_name": "Ann", "device_tokens": ["t1", "t2", "t1"]}

    answer = await gateway.send(channel="push", payload=payload)

    assert answer.status == 202
    assert len(answer.json["notifications"]) == 2
    await until(lambda: len(gateway.broker.published) == 2)
    assert {each.recipient for each in gateway.broker.published} == {"t1", "t2"}
    assert all("device_tokens" not in each.payload for each in gateway.broker.published)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"message_id": ""}, "message_id"),
        ({"message_id": "a\nb"}, "message_id"),
        ({"message_id": 7}, "message_id"),
        ({"target_user_id": None}, "target_user_id"),
        ({"channel": "pigeon"}, "channel"),
        ({"channel": None}, "channel"),
        ({"channels": ["push"]}, "channels"),
        ({"channels": []}, "channels"),
        ({"priority": "urgent"}, "priority"),
        ({"locale": "??"}, "locale"),
        ({"surprise": 1}, "surprise"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"payload": []}, "payload"),
        ({"template_id": "nothing"}, "template_id"),
        ({"template_id": "../etc"}, "template_id"),
        ({"payload": {"email": "a@example.com"}}, "payload.user_name"),
        ({"payload": {"user_name": "Ann"}}, "payload.email"),
        ({"payload": {"user_name": "Ann", "email": "nobody"}}, "payload.email"),
        (
            {"payload": {"user_name": "Ann", "email": "a@example.com\r\nBcc: b@c.de"}},
            "payload.email",
        ),
        ({"payload": {"user_name": "A\r\nBcc: b@c.de", "email": "a@b.de"}}, "payload.user_name"),
        ({"payload": {"user_name": "A\x00", "email": "a@b.de"}}, "payload.user_name"),
        ({"channel": "whatsapp", "payload": {"user_name": "Ann"}}, "payload.phone"),
        ({"channel": "whatsapp", "payload": {"user_name": "A", "phone": "0123"}}, "payload.phone"),
        ({"channel": "push", "payload": {"user_name": "Ann"}}, "payload.device_token"),
        (
            {"channel": "push", "payload": {"user_name": "A", "device_tokens": []}},
            "payload.device_tokens",
        ),
    ],
)
async def test_an_invalid_event_is_refused_with_the_path(
    gateway: Any, changes: dict[str, Any], path: str
) -> None:
    answer = await gateway.send(**changes)

    assert answer.status == 422
    assert path in answer.paths


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999"])
async def test_a_number_that_json_cannot_hold_is_refused(gateway: Any, number: bytes) -> None:
    body = json.dumps(EVENT).encode().replace(b'"Ann"', number)

    answer = await gateway.request(
        "POST", "/v1/notifications", data=body, headers={"Content-Type": "application/json"}
    )

    assert answer.status == 422
    assert answer.paths == ["payload.user_name"]


async def test_two_keys_may_use_the_same_message_id(
    start_gateway: Any, key_ring: tuple[Any, dict[str, str]]
) -> None:
    keys, secrets = key_ring
    gateway = await start_gateway(keys=keys)

    answers = [
        await gateway.post(
            "/v1/notifications", EVENT, headers={"Authorization": f"Bearer {secrets[name]}"}
        )
        for name in ("shop", "billing")
    ]

    assert [answer.status for answer in answers] == [202, 202]


async def test_without_its_database_the_gateway_asks_to_try_again(
    start_gateway: Any, absent_store: Store
) -> None:
    gateway = await start_gateway(store=absent_store)

    answer = await gateway.send()

    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_database_that_says_nothing_ends_in_a_503(
    start_gateway: Any, silent_store: Store
) -> None:
    gateway = await start_gateway(store=silent_store, limits=Limits(work_seconds=0.1))

    answers = [
        await gateway.send(),
        await gateway.get("/v1/notifications"),
        await gateway.get("/v1/notifications/notif_" + "0" * 32),
    ]

    assert [answer.status for answer in answers] == [503] * 3
