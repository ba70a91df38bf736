"""From a notification and its rendered parts to a push."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from clarion.errors import BadMessage, BadRecipient
from clarion.notification import Notification, Priority

TARGETS: dict[str, Literal["token", "topic", "condition"]] = {
    "device_token": "token",
    "topic": "topic",
    "condition": "condition",
}

OUR_KEYS = frozenset({"nid", "att"})
"""The keys of `data` that carry our notification id and attempt."""

# https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#Message, `data`
_RESERVED_KEY = re.compile(r"from|message_type|google\..*|gcm\.notification\..*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PushMessage:
    """One push to a device's token, a topic or a condition over topics.

    Without title and body it is a data message: the app gets it, the user sees nothing. After
    `expires_at` no device is to get it any more.
    """

    kind: Literal["token", "topic", "condition"]
    target: str
    title: str
    body: str
    data: Mapping[str, str]
    priority: Priority
    expires_at: datetime | None = None


def compose(notification: Notification, parts: Mapping[str, str]) -> PushMessage:
    """Return the push that the parts `title`, `body` and `data.json` make.

    Raises `BadRecipient` and `BadMessage` for what no provider would take.
    """
    kind, target = _target(notification)
    title, body = parts.get("title", "").strip(), parts.get("body", "").strip()
    data = _data(parts["data.json"]) if "data.json" in parts else {}
    if not title and not body and not data:
        raise BadMessage("the push has neither title, body nor data", code="empty")
    _check_encodable(target, title, body, *data.keys(), *data.values())
    return PushMessage(
        kind, target, title, body, data, notification.priority, notification.expires_at
    )


def _target(notification: Notification) -> tuple[Literal["token", "topic", "condition"], str]:
    payload = notification.payload
    given = [(kind, payload[key]) for key, kind in TARGETS.items() if key in payload]
    if len(given) != 1:
        raise BadRecipient(
            "expected exactly one of payload.device_token, topic and condition", code="recipient"
        )
    kind, target = given[0]
    if not isinstance(target, str) or not target or not target.isprintable():
        raise BadRecipient(f"the {kind} is no printable text", code="recipient")
    return kind, target


def _data(part: str) -> dict[str, str]:
    try:
        data = json.loads(part)
    except (ValueError, RecursionError) as error:
        raise BadMessage("data.json is not JSON", code="data") from error
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise BadMessage("data.json is not an object of strings", code="data")
    for key in data:
        if key in OUR_KEYS or _RESERVED_KEY.fullmatch(key):
            raise BadMessage(f"data.json: the key {key!r} is reserved", code="data")
    return data


def _check_encodable(*texts: str) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise BadMessage("a text has half a surrogate pair in it", code="text") from error
