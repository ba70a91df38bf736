"""What a message on a lane holds: a stored notification, or an event of another producer."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from clarion.errors import FieldProblem, InvalidEvent
from clarion.event import Event, parse_event, problems_of
from clarion.notification import Channel, Notification


@dataclass(frozen=True, slots=True)
class Decoded:
    """The notification of a message. `digest` is set where the gateway has never seen its event."""

    notification: Notification
    digest: str | None = None


class _Identity(BaseModel):
    model_config = ConfigDict(extra="ignore")

    notification_id: str | None = None


def decode(body: bytes, channel: Channel) -> Decoded:
    """Return what the body of a message on one of `channel`'s lanes asks for.

    Raises `InvalidEvent` when no one can tell, or when it asks for more than one notification.
    """
    try:
        known = _Identity.model_validate_json(body).notification_id is not None
        if known:
            return Decoded(Notification.model_validate_json(body))
    except ValidationError as error:
        raise InvalidEvent(problems_of(error)) from error
    return _foreign(parse_event(body), channel)


def _foreign(event: Event, channel: Channel) -> Decoded:
    notifications = event.split()
    if len(notifications) != 1:
        raise InvalidEvent(
            [FieldProblem("channels", "a message on a queue is for one recipient on one channel")]
        )
    if notifications[0].channel is not channel:
        raise InvalidEvent([FieldProblem("channel", f"this queue carries {channel} only")])
    return Decoded(notifications[0], event.digest())
