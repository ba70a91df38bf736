"""What a message on a lane holds: a stored notification, or an event of another producer."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from clarion.errors import FieldProblem, InvalidEvent
from clarion.event import Event, Identifier, content_problems, parse_event, problems_of
from clarion.notification import Channel, Notification

_ESCAPE = b"\\u"
"""Without one of these no text in a JSON document is unfit (RFC 8259, 7). Numbers and depths may
be, and only the payload has any."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The notification of a message. `digest` is set where the gateway has never seen its event."""

    notification: Notification
    digest: str | None = None


class _Identity(BaseModel):
    model_config = ConfigDict(extra="ignore")

    notification_id: str | None = None


class _Named(Notification):
    """A notification whose names are what the gateway asks of them, and the database's indexes
    need."""

    model_config = ConfigDict(hide_input_in_errors=True)

    notification_id: Identifier
    message_id: Identifier
    target_user_id: Identifier


def decode(body: bytes, channel: Channel) -> Decoded:
    """Return what the body of a message on one of `channel`'s lanes asks for.

    Raises `InvalidEvent` when no one can tell, or when it asks for more than one notification.
    """
    try:
        # nearly every message is one of ours: parsed once, and asked afterwards what else it is
        return _stored(_Named.model_validate_json(body), body, channel)
    except ValidationError as error:
        if _is_stored(body):
            raise InvalidEvent(problems_of(error)) from error
    return _foreign(parse_event(body), channel)


def _is_stored(body: bytes) -> bool:
    try:
        return _Identity.model_validate_json(body).notification_id is not None
    except ValidationError as error:
        raise InvalidEvent(problems_of(error)) from error


def _stored(notification: Notification, body: bytes, channel: Channel) -> Decoded:
    # what no database can hold would come back for ever: nothing of it could be recorded
    fields = notification if _ESCAPE in body else [("payload", notification.payload)]
    problems = [problem for name, value in fields for problem in content_problems(name, value)]
    if notification.channel is not channel:
        problems.append(FieldProblem("channel", f"this queue carries {channel} only"))
    if problems:
        raise InvalidEvent(problems)
    return Decoded(notification)


def _foreign(event: Event, channel: Channel) -> Decoded:
    notifications = event.split()
    if len(notifications) != 1:
        raise InvalidEvent(
            [FieldProblem("channels", "a message on a queue is for one recipient on one channel")]
        )
    if notifications[0].channel is not channel:
        raise InvalidEvent([FieldProblem("channel", f"this queue carries {channel} only")])
    return Decoded(notifications[0], event.digest())
