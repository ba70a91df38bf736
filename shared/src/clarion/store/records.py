"""Between a row and the types that callers know: the one place where columns become fields."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from clarion.notification import Channel, Notification, OnDoubt, Priority, Reason, Status
from clarion.receipt import Fact
from clarion.store.base import AttemptRecord, Intake, NotificationRecord, TimelineEntry
from clarion.store.incoming import moment
from clarion.store.schema import attempts, notifications, receipts

_n = notifications.c

NOTIFICATION = (
    _n.id,
    _n.message_id,
    _n.target_user_id,
    _n.channel,
    _n.template_id,
    _n.recipient,
    _n.payload,
    _n.priority,
    _n.locale,
    _n.metadata,
    _n.send_at,
    _n.expires_at,
    _n.on_doubt,
    _n.replay_no,
)
"""The columns of a Notification."""

RECORD = (
    *NOTIFICATION,
    _n.producer,
    _n.status,
    _n.reason,
    _n.attempt,
    _n.failures,
    _n.provider,
    _n.provider_message_id,
    _n.provider_code,
    _n.provider_text,
    _n.created_at,
    _n.queued_at,
    _n.updated_at,
    _n.dead_at,
)
"""The columns of a NotificationRecord."""

ATTEMPT = tuple(attempts.c)
"""The columns of an AttemptRecord."""


RECEIPT = tuple(receipts.c)
"""The columns of a receipt on the timeline."""


DECIDED = (
    "id",
    "producer",
    "message_id",
    "ordinal",
    "body_hash",
    "channel",
    "priority",
    "status",
    "template_id",
    "locale",
    "target_user_id",
    "recipient",
    "payload",
    "metadata",
    "send_at",
    "expires_at",
    "on_doubt",
    "sequence",
)
"""The columns of a new notification that its producer decides."""


def to_rows(dialect: str, intake: Intake) -> list[dict[str, Any]]:
    """Return the columns DECIDED and `publish_at` of an event's notifications."""
    return [
        {
            "id": notification.notification_id,
            "producer": intake.producer,
            "message_id": intake.message_id,
            "ordinal": ordinal,
            "body_hash": intake.body_hash,
            "channel": notification.channel,
            "priority": notification.priority,
            "status": intake.status,
            "template_id": notification.template_id,
            "locale": notification.locale,
            "target_user_id": notification.target_user_id,
            "recipient": notification.recipient,
            "payload": notification.payload,
            "metadata": notification.metadata,
            "send_at": moment(dialect, notification.send_at),
            "expires_at": moment(dialect, notification.expires_at),
            "publish_at": moment(dialect, notification.send_at),
            "on_doubt": notification.on_doubt or OnDoubt.RESEND,
            "sequence": 0 if intake.told else None,
        }
        for ordinal, notification in enumerate(intake.notifications)
    ]


def to_notification(row: Row[*tuple[Any, ...]]) -> Notification:
    """Return the notification of a row of NOTIFICATION; it was checked when it was accepted."""
    columns = row._mapping
    return Notification.model_construct(
        notification_id=columns[_n.id],
        message_id=columns[_n.message_id],
        target_user_id=columns[_n.target_user_id],
        channel=Channel(columns[_n.channel]),
        template_id=columns[_n.template_id],
        recipient=columns[_n.recipient],
        payload=columns[_n.payload],
        priority=Priority(columns[_n.priority]),
        locale=columns[_n.locale],
        metadata=columns[_n.metadata],
        send_at=columns[_n.send_at],
        expires_at=columns[_n.expires_at],
        on_doubt=OnDoubt(columns[_n.on_doubt]),
        replay_no=columns[_n.replay_no],
    )


def to_record(row: Row[*tuple[Any, ...]]) -> NotificationRecord:
    """Return the record of a row of RECORD."""
    columns = row._mapping
    return NotificationRecord(
        notification=to_notification(row),
        producer=columns[_n.producer],
        status=Status(columns[_n.status]),
        reason=_reason(columns[_n.reason]),
        attempt=columns[_n.attempt],
        failures=columns[_n.failures],
        provider=columns[_n.provider],
        provider_message_id=columns[_n.provider_message_id],
        provider_code=columns[_n.provider_code],
        provider_text=columns[_n.provider_text],
        created_at=columns[_n.created_at],
        queued_at=columns[_n.queued_at],
        updated_at=columns[_n.updated_at],
        replay_no=columns[_n.replay_no],
        dead_at=columns[_n.dead_at],
    )


def to_attempt(row: Row[*tuple[Any, ...]]) -> AttemptRecord:
    """Return the record of a row of ATTEMPT."""
    return AttemptRecord(
        attempt=row.attempt,
        started_at=row.started_at,
        finished_at=row.finished_at,
        status=Status(row.status),
        reason=_reason(row.reason),
        provider=row.provider,
        provider_message_id=row.provider_message_id,
        provider_code=row.provider_code,
        provider_text=row.provider_text,
        duration_ms=row.duration_ms,
        retry_in=row.retry_in,
    )


def to_receipt_entry(row: Row[*tuple[Any, ...]]) -> TimelineEntry:
    """Return a receipt as the timeline shows it, at the moment that the provider told."""
    detail = {
        "receipt": row.key,
        "attempt": row.attempt,
        "reason": row.reason,
        "provider": row.provider,
        "provider_message_id": row.provider_message_id,
        "code": row.code,
        "text": row.text,
        "received_at": row.received_at.isoformat(),
    }
    known = {name: value for name, value in detail.items() if value is not None}
    return TimelineEntry(row.at, Fact(row.fact), known)


def _reason(value: str | None) -> Reason | None:
    return None if value is None else Reason(value)
