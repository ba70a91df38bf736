"""What happened to a notification, in order: derived from its row, its attempts and its events."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from clarion.notification import Status
from clarion.receipt import ENGAGEMENT, Fact
from clarion.store.base import (
    AttemptRecord,
    NotificationHistory,
    NotificationRecord,
    TimelineEntry,
)


def history(
    record: NotificationRecord,
    claimed_at: datetime | None,
    attempts: list[AttemptRecord],
    events: list[TimelineEntry],
    receipts: list[TimelineEntry],
) -> NotificationHistory:
    """Return all that happened to a notification; `receipts` are in the order of their moments."""
    engagement: dict[Fact, datetime] = {}
    for entry in receipts:
        if isinstance(entry.status, Fact) and entry.status in ENGAGEMENT:
            engagement.setdefault(entry.status, entry.at)
    entries = timeline(record, claimed_at, attempts, [*events, *receipts])
    return NotificationHistory(record, tuple(attempts), entries, engagement)


def timeline(
    record: NotificationRecord,
    claimed_at: datetime | None,
    attempts: Collection[AttemptRecord],
    events: Collection[TimelineEntry],
) -> tuple[TimelineEntry, ...]:
    """Return the entries by time; those of one moment stay in the order of cause and effect."""
    send_at = record.notification.send_at
    began = (
        TimelineEntry(record.created_at, Status.ACCEPTED)
        if send_at is None
        else TimelineEntry(record.created_at, Status.SCHEDULED, {"send_at": send_at.isoformat()})
    )
    entries = [began]
    # when it was published before a replay
    entries += [entry for entry in events if entry.status is Status.QUEUED]
    if record.queued_at is not None:
        entries.append(TimelineEntry(record.queued_at, Status.QUEUED))
    for attempt in attempts:
        entries.append(_started(attempt.started_at, attempt.attempt))
        entries.append(_finished(attempt))
    # under way; or a receipt settled an attempt whose worker never came to record it
    recorded = any(attempt.attempt == record.attempt for attempt in attempts)
    if record.attempt and not recorded and claimed_at is not None:
        entries.append(_started(claimed_at, record.attempt))
    entries += [entry for entry in events if entry.status is not Status.QUEUED]
    return tuple(sorted(entries, key=lambda entry: entry.at))


def _started(at: datetime, attempt: int) -> TimelineEntry:
    return TimelineEntry(at, Status.SENDING, {"attempt": attempt})


def _finished(attempt: AttemptRecord) -> TimelineEntry:
    detail: dict[str, Any] = {
        "attempt": attempt.attempt,
        "reason": attempt.reason,
        "provider": attempt.provider,
        "provider_message_id": attempt.provider_message_id,
        "code": attempt.provider_code,
        "text": attempt.provider_text,
        "duration_ms": attempt.duration_ms,
        "retry_in": attempt.retry_in,
    }
    known = {key: value for key, value in detail.items() if value is not None}
    return TimelineEntry(attempt.finished_at, attempt.status, known)
