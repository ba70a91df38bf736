"""What the record of every notification is to the gateway and the workers.

Each write takes one row, returns once that row is committed, and may share its statement and
transaction with its neighbours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from clarion.notification import Channel, Lane, Notification, Priority, Reason, Status


@dataclass(frozen=True, slots=True)
class Intake:
    """One event, split into its notifications, as its producer sent it.

    `(producer, message_id)` is unique; `body_hash` tells the same event from another.
    """

    producer: str
    message_id: str
    body_hash: str
    notifications: tuple[Notification, ...]
    status: Status = Status.ACCEPTED


@dataclass(frozen=True, slots=True)
class Accepted:
    """One notification of an accepted event; `duplicate` where it was accepted before."""

    notification_id: str
    channel: Channel
    status: Status
    duplicate: bool


class Verdict(StrEnum):
    """What a worker does with a message after it asked for the claim."""

    CLAIMED = "claimed"  # call the provider
    FINISHED = "finished"  # a duplicate: acknowledge it
    LEASED = "leased"  # another worker is at it, or its retry is not due: come back later
    UNKNOWN = "unknown"  # no such row: store it first


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim. `attempt` is the fencing token of every later write; `failures` the
    attempts spent so far; `doubted` says that the previous attempt was never answered;
    `lease_left` is in seconds."""

    verdict: Verdict
    attempt: int = 0
    failures: int = 0
    doubted: bool = False
    lease_left: float = 0.0
    status: Status | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt. `spent` says whether it counts against the retry policy."""

    notification_id: str
    attempt: int
    status: Status
    provider: str
    duration_ms: float
    spent: bool = True
    reason: Reason | None = None
    retry_in: float | None = None
    provider_message_id: str | None = None
    provider_code: str | None = None
    provider_text: str | None = None


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One thing that happened to a notification."""

    at: datetime
    status: Status
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One finished call to a provider; a crashed one has no `duration_ms`."""

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
    retry_in: float | None


@dataclass(frozen=True, slots=True)
class NotificationRecord:
    """A notification with where it stands now."""

    notification: Notification
    producer: str
    status: Status
    reason: Reason | None
    attempt: int
    failures: int
    provider: str | None
    provider_message_id: str | None
    provider_code: str | None
    provider_text: str | None
    created_at: datetime
    queued_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NotificationHistory:
    """A notification, its attempts and its timeline, oldest first."""

    record: NotificationRecord
    attempts: tuple[AttemptRecord, ...]
    timeline: tuple[TimelineEntry, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """Which notifications to list; every field narrows it. `producer` None lists all."""

    producer: str | None = None
    status: Status | None = None
    channel: Channel | None = None
    priority: Priority | None = None
    user: str | None = None
    template: str | None = None
    message_id: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, newest first; `cursor` continues it, None at the end."""

    records: tuple[NotificationRecord, ...]
    cursor: str | None


class Store(ABC):
    """Keeps every notification and its history; any method may raise `StoreUnavailable`."""

    @abstractmethod
    async def accept(self, intake: Intake) -> list[Accepted]:
        """Return once the event's notifications are committed, or were before.

        Raises `MessageIdConflict` when the producer used the message_id for another body, and
        `RowRefused` when the database cannot hold it.
        """

    @abstractmethod
    async def mark_queued(self, notification_id: str) -> bool:
        """Record that the broker confirmed it; False when its row had moved on already."""

    @abstractmethod
    async def take_due(self, limit: int, lease: float) -> list[Notification]:
        """Return accepted notifications that nobody has published, oldest first, and keep them
        from other publishers for `lease` seconds."""

    @abstractmethod
    async def unfinished(self, after: str, limit: int) -> list[Notification]:
        """Return notifications that a broker should hold, by id from `after` on: what must be
        published again when the broker lost everything."""

    @abstractmethod
    async def claim(self, notification_id: str, *, worker: str, lease: float) -> Claim:
        """Take the notification for one attempt, for `lease` seconds by the store's clock."""

    @abstractmethod
    async def record(self, outcome: Outcome) -> bool:
        """Write what became of an attempt; False when the claim had passed to another worker."""

    @abstractmethod
    async def give_up(self, notification_id: str, reason: Reason, text: str) -> bool:
        """Fail a notification that never reached a provider; False when it had moved on."""

    @abstractmethod
    async def get(self, notification_id: str) -> NotificationHistory | None:
        """Return one notification with all that happened to it."""

    @abstractmethod
    async def find(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        """Return one page of notifications, newest first. Raises `ValueError` for a bad cursor."""

    @abstractmethod
    async def oldest_queued(self) -> dict[Lane, float]:
        """Return the seconds that the oldest queued notification of each lane has waited."""

    @abstractmethod
    async def unpublished(self) -> int:
        """Return how many accepted notifications wait for the publisher (counted up to 10,000)."""

    @abstractmethod
    async def ping(self) -> None:
        """Return if the database answers."""

    @abstractmethod
    async def close(self) -> None:
        """Write what is under way and close."""
