"""The event: what it takes, what it refuses, and how it is split."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clarion.errors import InvalidEvent
from clarion.event import MAX_DEPTH, content_problems, parse_event
from clarion.notification import Channel, Priority

EVENT: dict[str, Any] = {
    "message_id": "m1",
    "target_user_id": "u1",
    "channel": "email",
    "template_id": "welcome",
    "payload": {"user_name": "Ann", "email": "ann@example.com"},
}


def email(address: object) -> dict[str, Any]:
    return EVENT | {"payload": {"email": address}}


def whatsapp(phone: object) -> dict[str, Any]:
    return EVENT | {"channel": "whatsapp", "payload": {"phone": phone}}


def push(**payload: object) -> dict[str, Any]:
    return EVENT | {"channel": "push", "payload": payload}


def recipients(event: dict[str, Any]) -> list[str]:
    return [notification.recipient for notification in parse_event(event).split()]


def refused(event: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidEvent) as caught:
        parse_event(event).split()
    return [problem.path for problem in caught.value.problems]


def test_an_event_becomes_a_notification() -> None:
    event = EVENT | {"priority": "high", "locale": "pt-BR", "metadata": {"source": "test"}}

    [notification] = parse_event(json.dumps(event).encode()).split()

    assert notification.notification_id.startswith("notif_")
    assert notification.channel is Channel.EMAIL
    assert notification.priority is Priority.HIGH
    assert notification.recipient == "ann@example.com"
    assert notification.locale == "pt-BR"
    assert notification.payload == EVENT["payload"]
    assert notification.metadata == {"source": "test"}


def test_channels_are_split_in_order_and_once() -> None:
    payload = {"email": "a@b.de", "phone": "+14155550123", "device_token": "t"}
    event = {k: v for k, v in EVENT.items() if k != "channel"}

    notifications = parse_event(
        event | {"payload": payload, "channels": ["push", "email", "push", "whatsapp"][:3]}
    ).split()

    assert [each.channel for each in notifications] == [Channel.PUSH, Channel.EMAIL]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"message_id": ""}, "message_id"),
        ({"message_id": "x" * 201}, "message_id"),
        ({"message_id": "a\r\nb"}, "message_id"),
        ({"message_id": "\x7f"}, "message_id"),
        ({"message_id": 1}, "message_id"),
        ({"target_user_id": ""}, "target_user_id"),
        ({"channel": "sms"}, "channel"),
        ({"channels": ["email", "sms"]}, "channels.1"),
        ({"channels": []}, "channels"),
        ({"channels": ["push"] * 4}, "channels"),
        ({"channels": ["email"]}, "channels"),
        ({"channel": None}, "channel"),
        ({"template_id": "Welcome"}, "template_id"),
        ({"template_id": ".."}, "template_id"),
        ({"template_id": "x" * 65}, "template_id"),
        ({"template_id": "welcome\n"}, "template_id"),
        ({"payload": None}, "payload"),
        ({"payload": "text"}, "payload"),
        ({"priority": "HIGH"}, "priority"),
        ({"locale": "english"}, "locale"),
        ({"locale": "en" + "-abcdefgh" * 5}, "locale"),
        ({"metadata": {"n": 1}}, "metadata.n"),
        ({"metadata": {"n": "x" * 1001}}, "metadata.n"),
        ({"metadata": {str(n): "" for n in range(51)}}, "metadata"),
        ({"metadata": {"n": "\x00"}}, "metadata.n"),
        ({"notification_id": "notif_1"}, "notification_id"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], path: str) -> None:
    assert refused(EVENT | changes) == [path]


@pytest.mark.parametrize("field", ["message_id", "target_user_id", "template_id", "payload"])
def test_a_missing_field_is_named(field: str) -> None:
    assert refused({k: v for k, v in EVENT.items() if k != field}) == [field]


def test_every_wrong_field_is_named_at_once() -> None:
    assert refused(EVENT | {"priority": 1, "more": 1, "message_id": ""}) == [
        "message_id",
        "priority",
        "more",
    ]


@pytest.mark.parametrize(
    "address",
    ["ann@example.com", "a.b+c@sub.example.co.uk", "fail@sandbox.test", "x@münchen.de", "A@B.DE"],
)
def test_an_address_is_kept_as_written(address: str) -> None:
    assert recipients(email(address)) == [address]


@pytest.mark.parametrize(
    "address",
    [
        None,
        7,
        ["a@b.de"],
        "",
        "nobody",
        "a@",
        "@b.de",
        "a b@c.de",
        "a@b",
        "Ann <a@b.de>",
        "a@b.de, c@d.de",
        "a@b.de\n",
        "a@b.de\r\nBcc: c@d.de",
        "josé@example.com",
        "a@[127.0.0.1]",
    ],
)
def test_what_is_no_address_is_refused(address: object) -> None:
    assert refused(email(address)) == ["payload.email"]


@pytest.mark.parametrize("phone", ["+1415555", "+14155550123", "+999999999999999"])
def test_an_e164_number_is_taken(phone: str) -> None:
    assert recipients(whatsapp(phone)) == [phone]


@pytest.mark.parametrize(
    "phone",
    [
        None,
        14155550123,
        "",
        "14155550123",
        "+0415555012",
        "+1 415 555 0123",
        "+141555",
        "+1" + "4" * 15,
        "+1415555012x",
        "+14155550123\n",
        "+١٤١٥٥٥٥٠١٢٣",
        "whatsapp:+14155550123",
    ],
)
def test_what_is_no_e164_number_is_refused(phone: object) -> None:
    assert refused(whatsapp(phone)) == ["payload.phone"]


def test_a_push_goes_to_a_token_a_topic_or_a_condition() -> None:
    assert recipients(push(device_token="t:1")) == ["t:1"]
    assert recipients(push(topic="news")) == ["topic:news"]
    assert recipients(push(condition="'a' in topics")) == ["condition:'a' in topics"]


def test_device_tokens_make_one_notification_each_with_its_token_only() -> None:
    notifications = parse_event(push(device_tokens=["a", "b", "a"], user_name="Ann")).split()

    assert [each.recipient for each in notifications] == ["a", "b"]
    assert [each.payload for each in notifications] == [
        {"user_name": "Ann", "device_token": "a"},
        {"user_name": "Ann", "device_token": "b"},
    ]
    assert len({each.notification_id for each in notifications}) == 2


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({}, "payload.device_token"),
        ({"device_token": "a", "topic": "b"}, "payload.device_token"),
        ({"device_token": ""}, "payload.device_token"),
        ({"device_token": "a\nb"}, "payload.device_token"),
        ({"device_token": 1}, "payload.device_token"),
        ({"device_token": "x" * 4097}, "payload.device_token"),
        ({"topic": "a b"}, "payload.topic"),
        ({"topic": "/topics/a"}, "payload.topic"),
        ({"condition": ""}, "payload.condition"),
        ({"device_tokens": "a"}, "payload.device_tokens"),
        ({"device_tokens": []}, "payload.device_tokens"),
        ({"device_tokens": ["a"] * 501}, "payload.device_tokens"),
        ({"device_tokens": ["a", ""]}, "payload.device_tokens.1"),
        ({"device_tokens": ["a", None]}, "payload.device_tokens.1"),
    ],
)
def test_a_wrong_push_recipient_is_named(payload: dict[str, Any], path: str) -> None:
    assert refused(push(**payload)) == [path]


def test_a_large_payload_is_not_repeated_for_many_devices() -> None:
    tokens = [f"t{number}" for number in range(500)]

    assert refused(push(device_tokens=tokens, text="x" * 10_000)) == ["payload.device_tokens"]
    assert len(recipients(push(device_tokens=tokens[:10], text="x" * 10_000))) == 10


def test_every_missing_recipient_of_a_fan_out_is_named() -> None:
    event = {k: v for k, v in EVENT.items() if k != "channel"} | {"payload": {}}

    assert refused(event | {"channels": ["email", "whatsapp", "push"]}) == [
        "payload.email",
        "payload.phone",
        "payload.device_token",
    ]


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ({"a": "fine", "b": [1, 2.5, None, True, "é", "😀"]}, []),
        ({"a": "\x00"}, ["p.a"]),
        ({"a": {"b": ["x", "\x00"]}}, ["p.a.b.1"]),
        ({"\x00": 1}, ["p"]),
        ({"a": float("nan")}, ["p.a"]),
        ({"a": [float("inf")]}, ["p.a.0"]),
        ({"a": "\ud800"}, ["p.a"]),
        ({"\udfff": {"b": "\x00"}}, ["p", "p.b"]),
    ],
)
def test_what_cannot_be_stored_is_found_at_its_path(value: object, paths: list[str]) -> None:
    assert [problem.path for problem in content_problems("p", value)] == paths


def test_nesting_ends_at_its_limit() -> None:
    def nested(depth: int) -> object:
        return [] if depth == 1 else [nested(depth - 1)]

    assert content_problems("p", nested(MAX_DEPTH)) == []
    assert len(content_problems("p", nested(MAX_DEPTH + 1))) == 1
    assert len(content_problems("p", nested(200))) == 1


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_cannot_hold_are_refused(number: str) -> None:
    raw = json.dumps(EVENT).replace('"Ann"', number)

    with pytest.raises(InvalidEvent) as caught:
        parse_event(raw).split()

    assert [problem.path for problem in caught.value.problems] == ["payload.user_name"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"1", b"\xff", "text", b'{"a": "\\ud800"}'])
def test_what_is_no_json_object_is_refused(raw: bytes | str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        parse_event(raw)

    assert [problem.path for problem in caught.value.problems] == ["body"]


def test_an_error_does_not_repeat_the_value() -> None:
    with pytest.raises(InvalidEvent) as caught:
        parse_event(EVENT | {"message_id": "secret\n", "priority": "secret"})

    assert "secret" not in str(caught.value)


def test_the_digest_tells_events_apart_but_not_their_spelling() -> None:
    base = parse_event(EVENT).digest()

    assert parse_event(dict(reversed(EVENT.items()))).digest() == base
    assert parse_event(EVENT | {"priority": "normal"}).digest() == base
    assert parse_event(EVENT | {"metadata": {}, "locale": None}).digest() == base
    assert parse_event(EVENT | {"priority": "low"}).digest() != base
    assert parse_event(EVENT | {"metadata": {"a": "b"}}).digest() != base
    assert parse_event(email("bob@example.com")).digest() != base


def test_the_digest_stays_the_same_between_releases() -> None:
    # a stored digest is compared with that of a later release: this one must never change
    assert parse_event(EVENT).digest() == (
        "2148e9b6658966e0190fa922da015e529328f8ce387d0fc82dea622d9ff5c31b"
    )
