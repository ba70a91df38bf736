"""What the record of every notification is to the gateway and the workers.

Each write takes one row, returns once that row is committed, and may share its statement and
transaction with its neighbours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from clarion.errors import ClarionError
from clarion.notification import Channel, Lane, Notification, OnDoubt, Priority, Reason, Status
from clarion.receipt import Fact, Receipt
from clarion.store.dialogue import InboundStore, InquiryStore
from clarion.suppression import Kind, Suppression


@dataclass(frozen=True, slots=True)
class Intake:
    """One event, split into its notifications, as its producer sent it.

    `(producer, message_id)` is unique; `body_hash` tells the same event from another. The status
    that it begins with is `scheduled` where it has a `send_at`, `accepted`, or `queued` where the
    broker has it already. `told` says whether anybody is to hear of its changes.
    """

    producer: str
    message_id: str
    body_hash: str
    notifications: tuple[Notification, ...]
    status: Status = Status.ACCEPTED
    told: bool = True


@dataclass(frozen=True, slots=True)
class Accepted:
    """One notification of an accepted event; `duplicate` where it was accepted before."""

    notification_id: str
    channel: Channel
    status: Status
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A notification whose message the broker has; `replay_no` is the message's, None whichever."""

    notification_id: str
    replay_no: int | None = None


class Verdict(StrEnum):
    """What a worker does with a message after it asked for the claim."""

    CLAIMED = "claimed"  # call the provider
    FINISHED = "finished"  # a duplicate: acknowledge it
    LEASED = "leased"  # another worker is at it, or its next attempt is not due: come back later
    ENDED = "ended"  # the claim ended it: past its deadline, held in doubt, or suppressed
    UNKNOWN = "unknown"  # no such row: store it first


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim. `attempt` is the fencing token of every later write; `failures` the
    attempts spent so far; `lease_left` is in seconds; `status` is what the row has now."""

    verdict: Verdict
    attempt: int = 0
    failures: int = 0
    lease_left: float = 0.0
    status: Status | None = None
    reason: Reason | None = None
    on_doubt: OnDoubt = OnDoubt.RESEND


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt. `spent` says whether it counts against the retry policy;
    `retry_in` is in seconds, None where no other attempt follows by itself."""

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

    @property
    def gives_up(self) -> bool:
        """Whether people must see to it: it failed, or is held in doubt."""
        held = self.status is Status.IN_DOUBT and self.retry_in is None
        return held or self.status is Status.FAILED


class ReceiptResult(StrEnum):
    """What became of a receipt."""

    MOVED = "moved"  # it changed the notification's status
    NOTED = "noted"  # new, and on the timeline; the status stands
    DUPLICATE = "duplicate"  # told before
    UNKNOWN = "unknown"  # there is no such notification
    REFUSED = "refused"  # the database cannot hold it


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One thing that happened to a notification: it got a status, or a receipt came."""

    at: datetime
    status: Status | Fact
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
    replay_no: int = 0
    dead_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NotificationHistory:
    """A notification, its attempts and its timeline, oldest first."""

    record: NotificationRecord
    attempts: tuple[AttemptRecord, ...]
    timeline: tuple[TimelineEntry, ...]
    engagement: dict[Fact, datetime] = field(default_factory=dict)
    """What the recipient did, and when first."""


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


@dataclass(frozen=True, slots=True)
class Retention:
    """How many seconds a notification is kept after it is finished; `dead` is for a dead letter
    that nobody has replayed or discarded."""

    finished: float
    dead: float


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many notifications a page lost; `next` continues after it, None at the end."""

    notifications: int
    next: str | None


class Store(InboundStore, InquiryStore, ABC):
    """Keeps every notification and its history; any method may raise `StoreUnavailable`."""

    @abstractmethod
    async def accept(self, intake: Intake) -> list[Accepted]:
        """Return once the event's notifications are committed, or were before.

        Raises `MessageIdConflict` when the producer used the message_id for another body, and
        `RowRefused` when the database cannot hold it.
        """

    @abstractmethod
    async def accept_all(self, intakes: Sequence[Intake]) -> list[list[Accepted] | ClarionError]:
        """Return for each event what `accept` returns or raises."""

    @abstractmethod
    async def mark_queued(self, confirmed: Sequence[Confirmed]) -> list[bool | ClarionError]:
        """Record what the broker confirmed. Returns False for each whose row had moved on already,
        or was replayed since the message, and `StoreUnavailable` for what is not recorded."""

    @abstractmethod
    async def take_due(
        self, limit: int, lease: float, *, without: Collection[Lane] = ()
    ) -> list[Notification]:
        """Return accepted notifications that nobody has published, and scheduled ones whose time
        has come, and keep them from other publishers for `lease` seconds.

        Those of a higher priority come first, then the oldest; the lanes `without` are left out.
        """

    @abstractmethod
    async def unfinished(self, after: str, limit: int) -> list[Notification]:
        """Return notifications that a broker should hold, by id from `after` on: what must be
        published again when the broker lost everything."""

    @abstractmethod
    async def claim(
        self,
        notification_id: str,
        *,
        worker: str,
        lease: float,
        grace: float = 0.0,
        replay_no: int = 0,
        transactional: bool = False,
    ) -> Claim:
        """Take the notification for one attempt, for `lease` seconds by the store's clock.

        `worker` is a name that no other claim has: asked for again under it, because no answer
        came, it is the same claim.

        An attempt that a worker died on is in doubt: for `grace` seconds a receipt may settle it,
        and one that is held is never attempted again by itself. A message that was published
        before a replay, which its lower `replay_no` tells, finds it `finished`. One whose recipient
        is suppressed ends here; `transactional` passes a wish of the person, never a fault of the
        address.
        """

    @abstractmethod
    async def record(self, outcome: Outcome) -> bool:
        """Write what became of an attempt; False when the claim had passed to another worker."""

    @abstractmethod
    async def give_up(
        self, notification_id: str, reason: Reason, text: str, *, replay_no: int | None = None
    ) -> bool:
        """Fail a notification that never reached a provider; False when it had moved on, or was
        replayed since the message with this `replay_no`."""

    @abstractmethod
    async def cancel(self, notification_id: str, by: str) -> bool:
        """Call a notification off that is not being sent; False when it had gone too far."""

    @abstractmethod
    async def note_receipts(self, receipts: Sequence[Receipt]) -> list[ReceiptResult]:
        """Note what a provider told, each once, and let it move the statuses that it may move.

        Up to 1,000 receipts are one transaction. One that cannot be held takes no other with it.
        """

    @abstractmethod
    async def suppress(self, given: Suppression) -> bool:
        """Write to an address no more; False when that was so for this kind already."""

    @abstractmethod
    async def unsuppress(self, channel: Channel, address: str, kind: Kind | None = None) -> int:
        """Write to an address again; return how many suppressions that ended."""

    @abstractmethod
    async def suppressions(
        self,
        *,
        channel: Channel | None = None,
        address: str | None = None,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Suppression], str | None]:
        """Return one page of suppressions and the cursor of the next. Raises `ValueError` for a
        bad cursor."""

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
    async def prune(self, start: str, keep: Retention, limit: int) -> Pruned:
        """Delete, with its history, what is finished and old of the `limit` notifications that
        come after the id `start`; what is not finished stays, however old."""

    @abstractmethod
    async def ping(self) -> None:
        """Return if the database answers."""

    @abstractmethod
    async def close(self) -> None:
        """Write what is under way and close."""
