"""The notification event: what an application asks for, before it is split into notifications."""

from __future__ import annotations

import hashlib
import json
import math
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from clarion.addresses import email_problem
from clarion.errors import FieldProblem, InvalidEvent
from clarion.notification import Channel, Notification, OnDoubt, Priority, new_notification_id

MAX_DEVICE_TOKENS = 500
MAX_FAN_OUT_BYTES = 4 * 1024 * 1024
"""How much the payload may come to when each of many devices gets its own copy."""
MAX_DEPTH = 32
"""How deep `payload` may nest, itself included."""
MAX_AHEAD = timedelta(days=366)
"""How far ahead `send_at` may lie."""
CLOCK_SKEW = timedelta(minutes=5)
"""How far in the past `send_at` is still taken for "now", said by a clock that is behind."""

Identifier = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]
TemplateId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Locale = Annotated[
    str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
]
"""A BCP 47 language tag such as `pt-BR`."""
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=100)]
MetadataValue = Annotated[str, StringConstraints(max_length=1000)]


def _rfc3339(value: object) -> object:
    # pydantic would also take Unix times, which the documented format does not allow
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not re.match(r"\d{4}-\d{2}-\d{2}[Tt]", value):
        raise ValueError("expected RFC 3339 such as 2026-01-31T12:00:00Z")
    return value


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("out of range") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(_to_utc)]
"""A time in RFC 3339 with its offset, kept in UTC."""

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_TOPIC = re.compile(r"[a-zA-Z0-9-_.~%]{1,900}")


class Event(BaseModel):
    """A request to notify one user, on one channel or several."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={
            "example": {
                "message_id": "msg_unique_id",
                "target_user_id": "user_123",
                "channel": "email",
                "template_id": "welcome",
                "payload": {"user_name": "John Doe", "email": "john@example.com"},
                "priority": "normal",
                "metadata": {"source": "signup_flow"},
            }
        },
    )

    message_id: Identifier = Field(description="The caller's idempotency key.")
    target_user_id: Identifier
    channel: Channel | None = Field(None, description="Either this or `channels`.")
    channels: Annotated[list[Channel], Field(min_length=1, max_length=3)] | None = Field(
        None, description="A fan-out: one notification on each."
    )
    template_id: TemplateId
    payload: dict[str, Any] = Field(
        description="The template's variables and the recipient: `email`, `phone` (E.164), "
        "`device_token`, `device_tokens`, `topic` or `condition`."
    )
    priority: Priority = Priority.NORMAL
    locale: Locale | None = None
    metadata: dict[MetadataKey, MetadataValue] = Field(
        default_factory=dict, max_length=50, description="Kept and returned, never sent."
    )
    send_at: Moment | None = Field(
        None, description="When to send it, up to a year ahead; at once if left out."
    )
    expires_at: Moment | None = Field(
        None, description="After this no attempt starts, and its status is `expired`."
    )
    on_doubt: OnDoubt | None = Field(
        None,
        description="What follows when the provider was called and no answer came: `resend` (at "
        "least once) or `hold` (at most once). By default as its template says, else `resend`.",
    )

    def digest(self) -> str:
        """Return the SHA-256 of what was asked for, whatever the order of its keys.

        A field at its default counts as left out, so that a release with a new optional field
        still recognises the events of the one before.
        """
        asked = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(_CANONICAL.encode(asked).encode()).hexdigest()

    def time_problems(self, now: datetime) -> list[FieldProblem]:
        """Return what is wrong with the event's times at `now`, by the clock of who asks."""
        problems = []
        if self.send_at is not None:
            if self.send_at < now - CLOCK_SKEW:
                problems.append(FieldProblem("send_at", f"is past; {_now(now)}; leave it out"))
            elif self.send_at > now + MAX_AHEAD:
                problems.append(FieldProblem("send_at", "is more than a year ahead"))
        if self.expires_at is not None:
            if self.expires_at <= now:
                problems.append(FieldProblem("expires_at", f"is past; {_now(now)}"))
            elif self.send_at is not None and self.expires_at <= self.send_at:
                problems.append(FieldProblem("expires_at", "is not later than send_at"))
        return problems

    def split(self, on_doubt: OnDoubt | None = None) -> tuple[Notification, ...]:
        """Return one new notification per channel and recipient; `on_doubt` is for an event that
        leaves it open.

        Raises `InvalidEvent` naming each recipient that is missing or malformed.
        """
        problems = [*_channel_problems(self), *content_problems("payload", self.payload)]
        problems += content_problems("metadata", self.metadata)
        if problems:
            raise InvalidEvent(problems)
        notifications = []
        for channel in dict.fromkeys(self.channels or ([self.channel] if self.channel else [])):
            recipients, wrong = _RECIPIENTS[channel](self.payload)
            problems += wrong
            notifications += [
                self._notification(channel, recipient, payload, self.on_doubt or on_doubt)
                for recipient, payload in recipients
            ]
        if problems:
            raise InvalidEvent(problems)
        return tuple(notifications)

    def _notification(
        self, channel: Channel, recipient: str, payload: dict[str, Any], on_doubt: OnDoubt | None
    ) -> Notification:
        return Notification(
            notification_id=new_notification_id(),
            message_id=self.message_id,
            target_user_id=self.target_user_id,
            channel=channel,
            template_id=self.template_id,
            recipient=recipient,
            payload=payload,
            priority=self.priority,
            locale=self.locale,
            metadata=self.metadata,
            send_at=self.send_at,
            expires_at=self.expires_at,
            on_doubt=on_doubt,
        )


def parse_event(raw: bytes | str | dict[str, Any]) -> Event:
    """Return the event that `raw` holds, as JSON or already parsed.

    Raises `InvalidEvent` with the path of every field that is wrong.
    """
    try:
        if isinstance(raw, dict):
            return Event.model_validate(raw)
        return Event.model_validate_json(raw)
    except ValidationError as error:
        raise InvalidEvent(problems_of(error)) from error


def recipient_of(channel: Channel, payload: dict[str, Any]) -> str:
    """Return the one recipient that a payload names on a channel. Raises `InvalidEvent`."""
    recipients, wrong = _RECIPIENTS[channel](payload)
    if wrong:
        raise InvalidEvent(wrong)
    if len(recipients) != 1:
        raise InvalidEvent([FieldProblem("payload", "names more than one recipient")])
    return recipients[0][0]


def problems_of(error: ValidationError) -> list[FieldProblem]:
    """Return what a pydantic error says, field by field, without the values."""
    return [
        FieldProblem(
            ".".join(str(part) for part in item["loc"]) or "body",
            "unknown field" if item["type"] == "extra_forbidden" else item["msg"],
        )
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    ]


def _now(now: datetime) -> str:
    return f"now it is {now.isoformat(timespec='seconds')}"


def _channel_problems(event: Event) -> list[FieldProblem]:
    if event.channel and event.channels:
        return [FieldProblem("channels", "give either channel or channels, not both")]
    if not event.channel and not event.channels:
        return [FieldProblem("channel", "give a channel (email, whatsapp or push), or channels")]
    return []


def content_problems(path: str, value: object, depth: int = 1) -> list[FieldProblem]:
    """Find what no database, queue or provider can hold, in values that came from JSON.

    These are NUL characters, halves of surrogate pairs (RFC 8259, 8.2), numbers too large for a
    double, and nesting so deep that code which walks it might not return.
    """
    if isinstance(value, str):
        return _text_problems(path, value)
    if isinstance(value, float):
        return [] if math.isfinite(value) else [FieldProblem(path, "not a finite number")]
    if not isinstance(value, dict | list):
        return []
    if depth > MAX_DEPTH:
        return [FieldProblem(path, f"nested deeper than {MAX_DEPTH} levels")]
    problems = []
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        wrong = _text_problems(path, key) if isinstance(key, str) else []
        problems += [FieldProblem(path, f"a key {problem.message}") for problem in wrong]
        # a key that cannot be shown is not part of a path either
        problems += content_problems(path if wrong else f"{path}.{key}", item, depth + 1)
    return problems


def _text_problems(path: str, text: str) -> list[FieldProblem]:
    if "\x00" in text:
        return [FieldProblem(path, "contains a NUL character")]
    if not text.isascii() and _SURROGATE.search(text):
        return [FieldProblem(path, "contains half of a surrogate pair")]
    return []


_Recipients = tuple[list[tuple[str, dict[str, Any]]], list[FieldProblem]]


def _one(payload: dict[str, Any], recipient: str) -> _Recipients:
    return [(recipient, payload)], []


def _wrong(path: str, message: str) -> _Recipients:
    return [], [FieldProblem(f"payload.{path}", message)]


def _email_recipients(payload: dict[str, Any]) -> _Recipients:
    address = payload.get("email")
    if not isinstance(address, str):
        return _wrong("email", "an email needs its recipient's address here")
    problem = email_problem(address)
    if problem is not None:
        return _wrong("email", f"not an email address: {problem}")
    return _one(payload, address)


def _whatsapp_recipients(payload: dict[str, Any]) -> _Recipients:
    phone = payload.get("phone")
    if not isinstance(phone, str):
        return _wrong("phone", "a WhatsApp message needs its recipient's number here")
    if not _E164.fullmatch(phone):
        return _wrong("phone", "not an E.164 number: write it as +14155550123")
    return _one(payload, phone)


def _push_recipients(payload: dict[str, Any]) -> _Recipients:
    kinds = [
        kind for kind in ("device_token", "device_tokens", "topic", "condition") if kind in payload
    ]
    if len(kinds) != 1:
        return _wrong(
            "device_token",
            "a push needs exactly one of device_token, device_tokens, topic and condition",
        )
    kind = kinds[0]
    value = payload[kind]
    if kind == "device_tokens":
        return _device_recipients(payload, value)
    if not _is_text(value):
        return _wrong(kind, "expected text of 1 to 4096 characters, without control characters")
    if kind == "topic" and not _TOPIC.fullmatch(value):
        return _wrong(kind, "not a topic name: use letters, digits and -_.~%")
    return _one(payload, value if kind == "device_token" else f"{kind}:{value}")


def _device_recipients(payload: dict[str, Any], tokens: object) -> _Recipients:
    if not isinstance(tokens, list) or not 1 <= len(tokens) <= MAX_DEVICE_TOKENS:
        return _wrong("device_tokens", f"expected a list of 1 to {MAX_DEVICE_TOKENS} tokens")
    for index, token in enumerate(tokens):
        if not _is_text(token):
            return _wrong(f"device_tokens.{index}", "expected a device token")
    # each notification carries its own token only: a list in each of hundreds would be squared
    shared = {key: value for key, value in payload.items() if key != "device_tokens"}
    distinct = dict.fromkeys(tokens)
    if len(distinct) * len(json.dumps(shared)) > MAX_FAN_OUT_BYTES:
        return _wrong(
            "device_tokens",
            f"the payload is too large to be repeated for {len(distinct)} devices: "
            "send fewer tokens at a time, or a smaller payload",
        )
    return [(token, shared | {"device_token": token}) for token in distinct], []


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 4096 and value.isprintable()


_RECIPIENTS = {
    Channel.EMAIL: _email_recipients,
    Channel.WHATSAPP: _whatsapp_recipients,
    Channel.PUSH: _push_recipients,
}
