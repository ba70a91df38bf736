"""The bodies of requests and answers, as `/openapi.json` describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from clarion.event import Event, Identifier, Locale, Moment, TemplateId
from clarion.notification import Channel, OnDoubt, Priority, Reason, Status
from clarion.receipt import Fact
from clarion.store.base import NotificationHistory, NotificationRecord
from clarion_gateway.problems import ProblemBody


class AcceptedNotification(BaseModel):
    """One notification of an accepted event; `duplicate` where it was accepted before."""

    notification_id: str = Field(examples=["notif_019ab1d2c3e47f0a8b1c2d3e4f506172"])
    channel: Channel
    status: Status
    duplicate: bool


class AcceptedEvent(BaseModel):
    """The notifications that an event asks for, one per channel and recipient."""

    notifications: list[AcceptedNotification]


class Batch(BaseModel):
    """Several events in one request; each is accepted or refused by itself."""

    model_config = ConfigDict(extra="forbid")

    # an item that is no event is answered in its own result, so the request as a whole is valid
    notifications: Annotated[list[Event | Any], Field(min_length=1, max_length=1000)]


class BatchResult(BaseModel):
    """What became of one event of a batch: `notifications` where accepted, else `problem`."""

    index: int
    status: int = Field(description="The HTTP status that the event alone would have got.")
    notifications: list[AcceptedNotification] | None = None
    problem: ProblemBody | None = None


class BatchResults(BaseModel):
    """One result per event, in the order of the request."""

    results: list[BatchResult]


class NotificationView(BaseModel):
    """A notification and where it stands."""

    notification_id: str
    message_id: str
    producer: str = Field(description="The name of the API key that sent it.")
    target_user_id: str
    channel: Channel
    template_id: str
    recipient: str
    priority: Priority
    locale: str | None
    metadata: dict[str, str]
    status: Status
    reason: Reason | None = Field(description="Why it is not sent, or not yet.")
    attempts_made: int
    send_at: datetime | None
    expires_at: datetime | None
    on_doubt: OnDoubt
    replay: int = Field(description="How often an operator has had it sent again.")
    provider: str | None
    provider_message_id: str | None
    provider_code: str | None
    provider_text: str | None
    created_at: datetime
    queued_at: datetime | None
    updated_at: datetime

    @classmethod
    def of(cls, record: NotificationRecord) -> NotificationView:
        """Return the view of a stored notification."""
        return cls(**_view(record))


class AttemptView(BaseModel):
    """One call to a provider; times in milliseconds and seconds as named."""

    attempt: int
    started_at: datetime
    finished_at: datetime
    status: Status
    reason: Reason | None
    provider: str | None
    provider_message_id: str | None
    provider_code: str | None
    provider_text: str | None
    duration_ms: float | None
    retry_in: float | None = Field(description="Seconds until the next attempt.")


class TimelineView(BaseModel):
    """One thing that happened to the notification: it got a status, or a receipt came."""

    at: datetime
    status: Status | Fact
    detail: dict[str, Any]


class NotificationDetail(NotificationView):
    """A notification with its payload, its attempts and its timeline, oldest first."""

    payload: dict[str, Any]
    attempts: list[AttemptView]
    timeline: list[TimelineView]
    engagement: dict[Fact, datetime] = Field(
        description="What the recipient did, and when first: opened, clicked, read, complained, "
        "unsubscribed."
    )

    @classmethod
    def of_history(cls, history: NotificationHistory) -> NotificationDetail:
        """Return the view of a stored notification and all that happened to it."""
        return cls(
            **_view(history.record),
            payload=history.record.notification.payload,
            attempts=[
                AttemptView.model_validate(attempt, from_attributes=True)
                for attempt in history.attempts
            ],
            timeline=[
                TimelineView(at=entry.at, status=entry.status, detail=entry.detail)
                for entry in history.timeline
            ],
            engagement=history.engagement,
        )


class NotificationPage(BaseModel):
    """One page of notifications, newest first."""

    notifications: list[NotificationView]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page.")


def _digits(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("expected a whole number")
    return value


Limit = Annotated[int, BeforeValidator(_digits), Field(ge=1, le=200)]
"""How many entries a page has at most, as a query string has it."""


class Listing(BaseModel):
    """Which notifications to list; each parameter narrows it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    status: Status | None = None
    channel: Channel | None = None
    priority: Priority | None = None
    user: Identifier | None = Field(None, description="The event's target_user_id.")
    template: TemplateId | None = None
    message_id: Identifier | None = None
    since: Moment | None = Field(
        None, description="Accepted at this time or later (RFC 3339, with offset)."
    )
    limit: Limit = 50
    cursor: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        None, description="`next_cursor` of the page before."
    )


class TemplateView(BaseModel):
    """A template: by channel and part, the payload keys it needs and those it can use."""

    template_id: str
    channels: dict[Channel, dict[str, list[str]]]
    optional: dict[Channel, dict[str, list[str]]]
    locales: list[str]


class TemplateList(BaseModel):
    """Every template there is."""

    templates: list[TemplateView]


class PreviewRequest(BaseModel):
    """What to render a template with."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={
            "example": {
                "channel": "email",
                "payload": {"user_name": "John Doe", "email": "john@example.com"},
            }
        },
    )

    channel: Channel
    payload: dict[str, Any]
    locale: Locale | None = None


class Preview(BaseModel):
    """A template's parts, rendered and not sent."""

    template_id: str
    channel: Channel
    locale: str | None
    parts: dict[str, str]


class ServiceInfo(BaseModel):
    """What answers here, and where to go on."""

    name: str
    version: str
    links: dict[str, str]


class State(BaseModel):
    """Whether the gateway lives, or takes events."""

    status: Literal["ok", "down"]
    detail: str | None = None


def _view(record: NotificationRecord) -> dict[str, Any]:
    notification = record.notification
    return {
        "notification_id": notification.notification_id,
        "message_id": notification.message_id,
        "producer": record.producer,
        "target_user_id": notification.target_user_id,
        "channel": notification.channel,
        "template_id": notification.template_id,
        "recipient": notification.recipient,
        "priority": notification.priority,
        "locale": notification.locale,
        "metadata": notification.metadata,
        "status": record.status,
        "reason": record.reason,
        "attempts_made": record.attempt,
        "send_at": notification.send_at,
        "expires_at": notification.expires_at,
        "on_doubt": notification.on_doubt,
        "replay": record.replay_no,
        "provider": record.provider,
        "provider_message_id": record.provider_message_id,
        "provider_code": record.provider_code,
        "provider_text": record.provider_text,
        "created_at": record.created_at,
        "queued_at": record.queued_at,
        "updated_at": record.updated_at,
    }
