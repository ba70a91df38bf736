"""The push provider: what FCM is asked, and what its answers mean."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from clarion.errors import (
    Ambiguous,
    BadMessage,
    BadRecipient,
    Misconfigured,
    PartlyMisconfigured,
    SendError,
    Throttled,
    Transient,
)
from clarion.notification import Priority, new_notification_id
from clarion.provider import Attempt, HttpTransport
from clarion_push.content import PushMessage
from clarion_push.providers.fcm import Fcm, web_topic
from clarion_push.providers.fcm_token import AccessToken, key_from_file
from clarion_testing.vendor import Vendor, vendor

ID = "notif_01890a5d00007000800000000000000a"
MESSAGE = PushMessage("token", "device-1", "Welcome", "Hello Ada", {"link": "/"}, Priority.NORMAL)
ATTEMPT = Attempt(ID, 2)
NAME = "projects/clarion/messages/1"
TYPES = "type.googleapis.com/"


def accepted() -> web.Response:
    return web.json_response({"name": NAME})


def refusal(
    http: int, status: str, code: str | None = None, *details: object, message: str = "No."
) -> web.Response:
    fcm = [{"@type": f"{TYPES}google.firebase.fcm.v1.FcmError", "errorCode": code}] if code else []
    error = {"code": http, "message": message, "status": status, "details": [*fcm, *details]}
    return web.json_response({"error": error}, status=http)


def violation(field: str) -> dict[str, Any]:
    return {
        "@type": f"{TYPES}google.rpc.BadRequest",
        "fieldViolations": [{"field": field, "description": "Invalid"}],
    }


EXPIRED = {"@type": f"{TYPES}google.rpc.ErrorInfo", "reason": "ACCESS_TOKEN_EXPIRED"}


@pytest.fixture
async def api() -> AsyncIterator[Vendor]:
    async with vendor(accepted) as served:
        yield served


@pytest.fixture
async def fcm(api: Vendor, key_file: Path) -> AsyncIterator[Fcm]:
    transport = HttpTransport(timeout=0.5)
    token = AccessToken(key_from_file(str(key_file)))
    yield Fcm(transport, token, "clarion", base_url=api.url)
    await transport.close()


def body(api: Vendor) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(api.requests[-1].body)["message"]
    return message


async def test_a_push_is_one_request_in_fcms_shape(api: Vendor, fcm: Fcm) -> None:
    sent = await fcm.send(MESSAGE, ATTEMPT)

    assert sent.provider_message_id == NAME
    request = api.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/projects/clarion/messages:send")
    assert request.headers["Authorization"] == "Bearer token-1"
    assert json.loads(request.body)["validate_only"] is False
    assert body(api) == {
        "token": "device-1",
        "notification": {"title": "Welcome", "body": "Hello Ada"},
        "data": {"link": "/", "nid": ID, "att": "2"},
        "android": {"priority": "NORMAL", "notification": {"tag": ID}},
        "apns": {"headers": {"apns-priority": "5", "apns-collapse-id": ID}},
        "webpush": {"headers": {"Topic": "01890a5d00007000800000000000000a", "Urgency": "normal"}},
    }


@pytest.mark.parametrize(
    ("priority", "android", "apns", "urgency"),
    [
        (Priority.HIGH, "HIGH", "10", "high"),
        (Priority.NORMAL, "NORMAL", "5", "normal"),
        (Priority.LOW, "NORMAL", "5", "low"),
    ],
)
async def test_each_platform_is_told_the_priority(
    priority: Priority, android: str, apns: str, urgency: str, api: Vendor, fcm: Fcm
) -> None:
    await fcm.send(replace(MESSAGE, priority=priority), ATTEMPT)

    message = body(api)
    assert message["android"]["priority"] == android
    assert message["apns"]["headers"]["apns-priority"] == apns
    assert message["webpush"]["headers"]["Urgency"] == urgency


@pytest.mark.parametrize("kind", ["topic", "condition"])
async def test_a_push_goes_to_one_target(kind: Any, api: Vendor, fcm: Fcm) -> None:
    await fcm.send(replace(MESSAGE, kind=kind, target="news"), ATTEMPT)

    assert {name: body(api).get(name) for name in ("token", "topic", "condition")} == {
        "token": None,
        "topic": None,
        "condition": None,
        kind: "news",
    }


async def test_a_data_message_shows_nothing(api: Vendor, fcm: Fcm) -> None:
    await fcm.send(replace(MESSAGE, title="", body="", priority=Priority.HIGH), ATTEMPT)

    message = body(api)
    assert "notification" not in message
    assert message["android"] == {"priority": "HIGH"}
    assert message["apns"]["headers"]["apns-push-type"] == "background"
    assert message["apns"]["headers"]["apns-priority"] == "5"
    assert message["apns"]["payload"] == {"aps": {"content-available": 1}}


def test_the_collapse_ids_are_within_each_platforms_limits() -> None:
    first, second = new_notification_id(), new_notification_id()

    assert len(first.encode()) <= 64  # apns-collapse-id
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", web_topic(first))
    assert web_topic(first) != web_topic(second)
    assert re.fullmatch(r"[A-Za-z0-9_-]{0,32}", web_topic("an id: " + "x" * 99))


@pytest.mark.parametrize(("kind", "limit"), [("token", 4096), ("topic", 2048)])
async def test_a_push_beyond_fcms_size_is_never_sent(
    kind: Any, limit: int, api: Vendor, google: Vendor, fcm: Fcm
) -> None:
    fits = replace(MESSAGE, kind=kind, body="x" * (limit - 200))
    await fcm.send(fits, ATTEMPT)

    with pytest.raises(BadMessage, match=f"of {limit}"):
        await fcm.send(replace(fits, body="\u00e9" * (limit // 2)), ATTEMPT)

    assert len(api.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [web.Response(), web.Response(text="<html>"), web.json_response({"name": 7})],
    ids=["empty", "html", "name of another type"],
)
async def test_accepted_is_accepted_whatever_else_it_says(
    answer: web.Response, api: Vendor, fcm: Fcm
) -> None:
    api.answers.append(answer)

    assert (await fcm.send(MESSAGE, ATTEMPT)).provider_message_id is None


@pytest.mark.parametrize(
    ("answer", "error", "reason", "code"),
    [
        (
            refusal(404, "NOT_FOUND", "UNREGISTERED"),
            BadRecipient,
            "token_unregistered",
            "UNREGISTERED",
        ),
        (refusal(404, "NOT_FOUND"), Misconfigured, "provider_auth", "NOT_FOUND"),
        (
            refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", violation("message.token")),
            BadRecipient,
            "invalid_recipient",
            "INVALID_ARGUMENT",
        ),
        (
            refusal(
                400,
                "INVALID_ARGUMENT",
                message="The registration token is not a valid FCM registration token",
            ),
            BadRecipient,
            "invalid_recipient",
            "INVALID_ARGUMENT",
        ),
        (
            refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", violation("message.data[0]")),
            BadMessage,
            "provider_rejected",
            "INVALID_ARGUMENT",
        ),
        (
            refusal(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
            BadRecipient,
            "invalid_recipient",
            "SENDER_ID_MISMATCH",
        ),
        (refusal(403, "PERMISSION_DENIED"), Misconfigured, "provider_auth", "PERMISSION_DENIED"),
        (refusal(401, "UNAUTHENTICATED"), Misconfigured, "provider_auth", "UNAUTHENTICATED"),
        (
            refusal(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
            PartlyMisconfigured,
            "provider_auth",
            "THIRD_PARTY_AUTH_ERROR",
        ),
        (
            refusal(401, "UNAUTHENTICATED", None, EXPIRED),
            Transient,
            "provider_down",
            "ACCESS_TOKEN_EXPIRED",
        ),
        (
            refusal(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
            Throttled,
            "rate_limited",
            "QUOTA_EXCEEDED",
        ),
        (refusal(500, "INTERNAL", "INTERNAL"), Transient, "provider_down", "INTERNAL"),
        (refusal(503, "UNAVAILABLE", "UNAVAILABLE"), Transient, "provider_down", "UNAVAILABLE"),
        (web.Response(status=502, text="<html>"), Transient, "provider_down", "502"),
        (web.Response(status=504), Transient, "provider_down", "504"),
        (web.Response(status=404, text="<html>"), Misconfigured, "provider_auth", "404"),
        (refusal(400, "SOMETHING_NEW"), BadMessage, "provider_rejected", "SOMETHING_NEW"),
        (refusal(503, "X", "SOMETHING_NEW"), Transient, "provider_down", "SOMETHING_NEW"),
        (
            web.Response(status=400, text='{"error": "text"}'),
            BadMessage,
            "provider_rejected",
            "400",
        ),
        (
            web.json_response({"error": {"details": "x", "status": 7}}, status=400),
            BadMessage,
            "provider_rejected",
            "400",
        ),
        (
            web.json_response(
                {"error": {"details": [7, {"fieldViolations": 7, "errorCode": ["x"]}]}}, status=429
            ),
            Throttled,
            "rate_limited",
            "429",
        ),
    ],
)
async def test_each_answer_has_its_error(
    answer: web.Response,
    error: type[SendError],
    reason: str,
    code: str,
    api: Vendor,
    fcm: Fcm,
) -> None:
    api.answers.append(answer)

    with pytest.raises(SendError) as raised:
        await fcm.send(MESSAGE, ATTEMPT)

    assert type(raised.value) is error
    assert (raised.value.reason, raised.value.code) == (reason, code)
    assert raised.value.text
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, 60.0), ({"Retry-After": "30"}, 30.0), ({"Retry-After": "later"}, 60.0)],
)
async def test_a_quota_says_how_long_to_wait(
    headers: dict[str, str], seconds: float, api: Vendor, fcm: Fcm
) -> None:
    answer = refusal(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")
    answer.headers.update(headers)
    api.answers.append(answer)

    with pytest.raises(Throttled) as raised:
        await fcm.send(MESSAGE, ATTEMPT)

    assert raised.value.retry_after == seconds


async def test_an_unavailable_fcm_may_ask_for_a_pause(api: Vendor, fcm: Fcm) -> None:
    answer = refusal(503, "UNAVAILABLE", "UNAVAILABLE")
    answer.headers["Retry-After"] = "20"
    api.answers.append(answer)

    with pytest.raises(Transient) as raised:
        await fcm.send(MESSAGE, ATTEMPT)

    assert raised.value.retry_after == 20.0


async def test_fifty_sends_at_once_fetch_one_token(api: Vendor, google: Vendor, fcm: Fcm) -> None:
    await asyncio.gather(*(fcm.send(MESSAGE, ATTEMPT) for _ in range(50)))

    assert len(google.requests) == 1
    assert {request.headers["Authorization"] for request in api.requests} == {"Bearer token-1"}


async def test_the_try_after_an_expired_token_has_another(
    api: Vendor, google: Vendor, fcm: Fcm
) -> None:
    api.answers.append(refusal(401, "UNAUTHENTICATED", None, EXPIRED))
    with pytest.raises(Transient):
        await fcm.send(MESSAGE, ATTEMPT)

    await fcm.send(MESSAGE, ATTEMPT)

    assert [request.headers["Authorization"] for request in api.requests] == [
        "Bearer token-1",
        "Bearer token-2",
    ]


async def test_without_a_token_nothing_is_sent(api: Vendor, google: Vendor, fcm: Fcm) -> None:
    google.answers.append(web.json_response({"error": "invalid_grant"}, status=400))

    with pytest.raises(Misconfigured):
        await fcm.send(MESSAGE, ATTEMPT)

    assert api.requests == []


async def test_an_error_never_holds_the_token(api: Vendor, fcm: Fcm) -> None:
    api.answers += [
        refusal(401, "UNAUTHENTICATED", message="bad token-1!"),
        web.Response(status=401, text="bad token-2!"),
    ]

    for _ in range(2):
        with pytest.raises(Misconfigured) as raised:
            await fcm.send(MESSAGE, ATTEMPT)

        assert raised.value.text == "bad ***!"


@pytest.mark.parametrize("fault", ["hang", "drop"])
async def test_silence_is_ambiguous_and_not_retried(fault: str, api: Vendor, fcm: Fcm) -> None:
    api.answers.append(fault)

    with pytest.raises(Ambiguous):
        await fcm.send(MESSAGE, ATTEMPT)

    assert len(api.requests) == 1


async def test_a_deadline_travels_to_each_kind_of_device(api: Vendor, fcm: Fcm) -> None:
    deadline = datetime.now(UTC) + timedelta(minutes=10)

    await fcm.send(replace(MESSAGE, expires_at=deadline), ATTEMPT)

    message = json.loads(api.requests[-1].body)["message"]
    ttl = int(message["android"]["ttl"].removesuffix("s"))
    assert 500 < ttl < 600
    assert int(message["webpush"]["headers"]["TTL"]) in (ttl - 1, ttl)
    assert message["apns"]["headers"]["apns-expiration"] == str(int(deadline.timestamp()))


@pytest.mark.parametrize(
    ("left", "ttl"), [(timedelta(days=300), 2_419_200), (timedelta(seconds=-5), 1)]
)
async def test_a_deadline_beyond_what_fcm_takes_is_the_nearest_that_it_does(
    api: Vendor, fcm: Fcm, left: timedelta, ttl: int
) -> None:
    await fcm.send(replace(MESSAGE, expires_at=datetime.now(UTC) + left), ATTEMPT)

    assert json.loads(api.requests[-1].body)["message"]["android"]["ttl"] == f"{ttl}s"


async def test_without_a_deadline_fcms_own_holds(api: Vendor, fcm: Fcm) -> None:
    await fcm.send(MESSAGE, ATTEMPT)

    message = json.loads(api.requests[-1].body)["message"]
    assert "ttl" not in message["android"]
    assert "TTL" not in message["webpush"]["headers"]
    assert "apns-expiration" not in message["apns"]["headers"]
