"""Notifications, listings and templates, as they are shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

LIST = "/v1/notifications"


@pytest.fixture
async def filled(gateway: Any) -> Any:
    for number in range(5):
        await gateway.send(message_id=f"m{number}", target_user_id=f"u{number % 2}")
    await gateway.send(
        message_id="w1",
        channel="whatsapp",
        template_id="otp",
        priority="high",
        payload={"phone": "+14155550123", "code": "123456", "expires_minutes": 5},
    )
    return gateway


def message_ids(answer: Any) -> list[str]:
    assert answer.status == 200, answer.body
    return [each["message_id"] for each in answer.json["notifications"]]


async def test_a_notification_is_shown_with_its_timeline(
    gateway: Any, until: Callable[..., Awaitable[None]]
) -> None:
    sent = await gateway.send(metadata={"source": "test"})
    notification_id = sent.json["notifications"][0]["notification_id"]

    async def queued() -> bool:
        answer = await gateway.get(f"{LIST}/{notification_id}")
        return bool(answer.json["status"] == "queued")

    await until(queued)
    shown = (await gateway.get(f"{LIST}/{notification_id}")).json
    assert shown["recipient"] == "ann@example.com"
    assert shown["payload"] == {"user_name": "Ann", "email": "ann@example.com"}
    assert shown["metadata"] == {"source": "test"}
    assert shown["attempts"] == []
    assert [entry["status"] for entry in shown["timeline"]] == ["accepted", "queued"]


@pytest.mark.parametrize("unknown", ["notif_" + "0" * 32, "nothing", "%00", "notif_%ff", "a%2Fb"])
async def test_an_unknown_notification_is_a_404(gateway: Any, unknown: str) -> None:
    answer = await gateway.get(f"{LIST}/{unknown}")

    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["w1", "m4", "m3", "m2", "m1", "m0"]),
        ("channel=whatsapp", ["w1"]),
        ("channel=push", []),
        ("priority=high", ["w1"]),
        ("user=u1&channel=email", ["m3", "m1"]),
        ("template=otp", ["w1"]),
        ("message_id=m2", ["m2"]),
        ("status=failed", []),
        ("user=u1&message_id=m3", ["m3"]),
        ("limit=2", ["w1", "m4"]),
    ],
)
async def test_a_listing_is_narrowed(filled: Any, query: str, expected: list[str]) -> None:
    assert message_ids(await filled.get(f"{LIST}?{query}")) == expected


async def test_a_listing_starts_at_a_time(filled: Any) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    future = (datetime.now(UTC) + timedelta(hours=1)).astimezone()

    everything = await filled.get(f"{LIST}?since={quote(past.isoformat())}")
    nothing = await filled.get(f"{LIST}?since={quote(future.isoformat())}")

    assert len(message_ids(everything)) == 6
    assert message_ids(nothing) == []


async def test_cursors_lead_through_all_pages_once(filled: Any) -> None:
    seen: list[str] = []
    cursor = ""

    while True:
        answer = await filled.get(f"{LIST}?limit=4{cursor}")
        seen += message_ids(answer)
        if answer.json["next_cursor"] is None:
            break
        cursor = f"&cursor={quote(answer.json['next_cursor'])}"

    assert seen == ["w1", "m4", "m3", "m2", "m1", "m0"]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("status=lost", "status"),
        ("channel=pigeon", "channel"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=1.0", "limit"),
        ("limit=", "limit"),
        ("since=yesterday", "since"),
        ("since=2026-01-01T00:00:00", "since"),
        ("since=1700000000", "since"),
        ("since=0001-01-01T00:00:00%2B14:00", "since"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%00", "cursor"),
        ("user=%00", "user"),
        ("template=A", "template"),
        ("page=2", "page"),
        ("status=sent&status=failed", "status"),
    ],
)
async def test_a_bad_parameter_is_refused_by_name(gateway: Any, query: str, path: str) -> None:
    answer = await gateway.get(f"{LIST}?{query}")

    assert answer.status == 422
    assert answer.paths == [path]


async def test_producers_see_their_own_only(
    start_gateway: Any, key_ring: tuple[Any, dict[str, str]]
) -> None:
    keys, secrets = key_ring
    gateway = await start_gateway(keys=keys)
    gateway.headers = {"Authorization": f"Bearer {secrets['shop']}"}
    sent = await gateway.send()
    path = f"{LIST}/{sent.json['notifications'][0]['notification_id']}"
    other = {"Authorization": f"Bearer {secrets['billing']}"}

    assert (await gateway.get(path)).json["producer"] == "shop"
    assert (await gateway.get(path, headers=other)).status == 404
    assert len(message_ids(await gateway.get(LIST))) == 1
    assert message_ids(await gateway.get(LIST, headers=other)) == []


async def test_templates_are_listed_with_their_variables(gateway: Any) -> None:
    answer = await gateway.get("/v1/templates")

    by_id = {each["template_id"]: each for each in answer.json["templates"]}
    assert set(by_id) >= {"welcome", "otp", "order_shipped"}
    assert "code" in by_id["otp"]["channels"]["email"]["subject"]
    assert (await gateway.get("/v1/templates/otp")).json == by_id["otp"]


async def test_an_unknown_template_is_a_404(gateway: Any) -> None:
    shown = await gateway.get("/v1/templates/nothing")
    previewed = await gateway.post(
        "/v1/templates/nothing/preview", {"channel": "email", "payload": {}}
    )

    assert (shown.status, previewed.status) == (404, 404)


async def test_a_preview_is_rendered_in_its_locale_and_sends_nothing(gateway: Any) -> None:
    body = {"channel": "push", "payload": {"user_name": "Ann"}}

    english = await gateway.post("/v1/templates/welcome/preview", body)
    portuguese = await gateway.post("/v1/templates/welcome/preview", body | {"locale": "pt-BR"})

    assert english.status == 200
    assert "Ann" in english.json["parts"]["body"] + english.json["parts"]["title"]
    assert english.json["parts"]["body"] != portuguese.json["parts"]["body"]
    assert message_ids(await gateway.get(LIST)) == []


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"channel": "email", "payload": {}}, "payload.user_name"),
        ({"channel": "pigeon", "payload": {}}, "channel"),
        ({"payload": {}}, "channel"),
        ({"channel": "email", "payload": {"user_name": "\x00"}}, "payload.user_name"),
    ],
)
async def test_a_preview_that_cannot_be_rendered_says_why(
    gateway: Any, body: object, path: str
) -> None:
    answer = await gateway.post("/v1/templates/welcome/preview", body)

    assert answer.status == 422
    assert path in answer.paths
