"""What the parts of a template become as a push."""

from __future__ import annotations

import json

import pytest

from clarion.errors import BadMessage, BadRecipient
from clarion.notification import Channel, Notification, Priority
from clarion_push.content import compose

PARTS = {"title": "Welcome", "body": "Hello"}


def notification(**payload: object) -> Notification:
    return Notification(
        notification_id="notif_1",
        message_id="m1",
        target_user_id="u1",
        channel=Channel.PUSH,
        template_id="welcome",
        recipient="x",
        payload=payload,
        priority=Priority.HIGH,
    )


@pytest.mark.parametrize(
    ("payload", "kind", "target"),
    [
        ({"device_token": "topic:of-a-kind"}, "token", "topic:of-a-kind"),
        ({"topic": "news"}, "topic", "news"),
        ({"condition": "'a' in topics"}, "condition", "'a' in topics"),
    ],
)
def test_the_parts_become_a_push(payload: dict[str, str], kind: str, target: str) -> None:
    message = compose(notification(**payload), PARTS | {"data.json": '{"link": "/"}'})

    assert (message.kind, message.target) == (kind, target)
    assert (message.title, message.body, message.data) == ("Welcome", "Hello", {"link": "/"})
    assert message.priority is Priority.HIGH


def test_data_alone_is_a_push() -> None:
    message = compose(notification(device_token="d"), {"data.json": '{"sync": "1"}'})

    assert (message.title, message.body, message.data) == ("", "", {"sync": "1"})


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"device_token": "d", "topic": "news"},
        {"device_token": 7},
        {"device_token": ""},
        {"topic": "a\nb"},
    ],
)
def test_a_push_needs_exactly_one_target(payload: dict[str, object]) -> None:
    with pytest.raises(BadRecipient):
        compose(notification(**payload), PARTS)


@pytest.mark.parametrize("parts", [{}, {"title": " ", "body": "\n"}, {"data.json": "{}"}])
def test_an_empty_push_is_refused(parts: dict[str, str]) -> None:
    with pytest.raises(BadMessage):
        compose(notification(device_token="d"), parts)


@pytest.mark.parametrize(
    "data", ["", "[]", "7", '{"a": 1}', '{"a": null}', '{"a": {}}', "[" * 100_000]
)
def test_data_that_is_no_map_of_strings_is_refused(data: str) -> None:
    with pytest.raises(BadMessage):
        compose(notification(device_token="d"), PARTS | {"data.json": data})


@pytest.mark.parametrize(
    "key", ["from", "message_type", "google.x", "gcm.notification.title", "nid", "att"]
)
def test_a_reserved_key_is_refused(key: str) -> None:
    with pytest.raises(BadMessage, match="reserved"):
        compose(notification(device_token="d"), PARTS | {"data.json": json.dumps({key: "x"})})


@pytest.mark.parametrize("key", ["fromage", "googled", "gcm", "nids"])
def test_a_key_that_is_only_like_a_reserved_one_goes(key: str) -> None:
    parts = PARTS | {"data.json": json.dumps({key: "x"})}

    assert compose(notification(device_token="d"), parts).data == {key: "x"}


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(BadMessage, match="surrogate"):
        compose(notification(device_token="d"), {"title": "\ud800", "body": "x"})
    with pytest.raises(BadMessage, match="surrogate"):
        compose(notification(device_token="d"), {"data.json": '{"a": "\\ud800"}'})
