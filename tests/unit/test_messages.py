"""What a message on a lane may hold."""

import json

import pytest

from clarion.errors import InvalidEvent
from clarion.messages import decode
from clarion.notification import Channel, Notification

EVENT = {
    "message_id": "m1",
    "target_user_id": "u1",
    "channel": "email",
    "template_id": "welcome",
    "payload": {"user_name": "Ann", "email": "ann@example.com"},
}


def test_a_stored_notification_is_read_back() -> None:
    notification = Notification(
        **EVENT,
        notification_id="notif_1",
        recipient="ann@example.com",
    )

    decoded = decode(notification.to_bytes(), Channel.EMAIL)

    assert decoded.notification.to_bytes() == notification.to_bytes()
    assert decoded.digest is None


def test_an_event_of_another_producer_gets_an_id() -> None:
    decoded = decode(json.dumps(EVENT).encode(), Channel.EMAIL)

    assert decoded.notification.notification_id.startswith("notif_")
    assert decoded.notification.recipient == "ann@example.com"
    assert decoded.digest is not None


def test_the_same_event_has_the_same_digest_whatever_its_order() -> None:
    reordered = dict(reversed(EVENT.items()))

    digests = {
        decode(json.dumps(event).encode(), Channel.EMAIL).digest for event in (EVENT, reordered)
    }

    assert len(digests) == 1


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "body"),
        (b"\x00\xff", "body"),
        (b"[]", "body"),
        (b"{}", "message_id"),
        (b'{"notification_id": "notif_1"}', "message_id"),
        (json.dumps(EVENT | {"channel": "push"}).encode(), "payload.device_token"),
        (json.dumps(EVENT | {"surprise": 1}).encode(), "surprise"),
    ],
)
def test_what_no_one_can_decode_is_refused_with_its_path(body: bytes, path: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        decode(body, Channel.EMAIL)

    assert path in [problem.path for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"notification_id": "notif_\x00"}, "notification_id"),
        ({"notification_id": "n" * 201}, "notification_id"),
        ({"message_id": ""}, "message_id"),
        ({"target_user_id": "u" * 201}, "target_user_id"),
        ({"template_id": "welcome\x00"}, "template_id"),
        ({"payload": {"user_name": "\x00"}}, "payload.user_name"),
        ({"channel": "push"}, "channel"),
    ],
)
def test_a_notification_that_could_never_be_recorded_is_refused_with_its_path(
    changed: dict[str, object], path: str
) -> None:
    body = EVENT | {"notification_id": "notif_1", "recipient": "ann@example.com"} | changed

    with pytest.raises(InvalidEvent) as refused:
        decode(json.dumps(body).encode(), Channel.EMAIL)

    assert [problem.path for problem in refused.value.problems] == [path]


def test_an_event_for_another_channel_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="whatsapp only"):
        decode(json.dumps(EVENT).encode(), Channel.WHATSAPP)


def test_an_event_for_several_recipients_is_refused() -> None:
    event = EVENT | {
        "channel": "push",
        "payload": {"user_name": "Ann", "device_tokens": ["a", "b"]},
    }

    with pytest.raises(InvalidEvent, match="one recipient"):
        decode(json.dumps(event).encode(), Channel.PUSH)
