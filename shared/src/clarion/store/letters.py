"""Dead letters: the notifications that people must see to, and what they order for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clarion.notification import Channel, Reason, Status
from clarion.store.base import NotificationRecord, Page, Store

DEAD = (Status.FAILED, Status.IN_DOUBT)
"""What a dead letter may stand at: it was given up, or is held in doubt."""


@dataclass(frozen=True, slots=True)
class DeadQuery:
    """Which dead letters are meant; every field narrows it. The times are those of `dead_at`."""

    producer: str | None = None
    channel: Channel | None = None
    status: Status | None = None
    reason: Reason | None = None
    template: str | None = None
    provider_code: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead letters that ended alike, and when the first and the last of them did."""

    channel: Channel
    status: Status
    reason: Reason | None
    template_id: str
    provider: str | None
    provider_code: str | None
    count: int
    oldest: datetime
    newest: datetime


@dataclass(frozen=True, slots=True)
class DeadGroups:
    """Groups, the largest first; not `complete` where there is more than is counted."""

    groups: tuple[DeadGroup, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """An order to send a dead letter again, if it is still the one that was looked at.

    That is told by `replay_no`. `changed` names the fields that differ from what failed, for the
    timeline; a field that is None stays as it is.
    """

    notification_id: str
    replay_no: int
    template_id: str | None = None
    recipient: str | None = None
    payload: dict[str, Any] | None = None
    changed: tuple[str, ...] = ()


class DeadLetterStore(Store, ABC):
    """The store as the gateway needs it: with what operators do about dead letters."""

    @abstractmethod
    async def dead_groups(self, query: DeadQuery) -> DeadGroups:
        """Return the dead letters that ended alike, counted among the newest 100,000."""

    @abstractmethod
    async def dead_by_channel(self) -> dict[Channel, int]:
        """Return how many dead letters each channel has, of the newest 100,000."""

    @abstractmethod
    async def count_dead(self, query: DeadQuery, *, after: str = "") -> int:
        """Return how many dead letters have an id beyond `after` (counted up to 100,000)."""

    @abstractmethod
    async def find_dead(self, query: DeadQuery, *, limit: int, cursor: str | None = None) -> Page:
        """Return one page of dead letters, newest first. Raises `ValueError` for a bad cursor."""

    @abstractmethod
    async def next_dead(
        self, query: DeadQuery, *, after: str, limit: int
    ) -> list[NotificationRecord]:
        """Return dead letters in the order of their ids, from beyond `after`."""

    @abstractmethod
    async def records(self, ids: Collection[str]) -> dict[str, NotificationRecord]:
        """Return the notifications with these ids, whatever their status."""

    @abstractmethod
    async def replay(
        self, replays: Sequence[Replay], *, by: str, rate: float | None = None
    ) -> list[datetime | None]:
        """Have dead letters sent again; return when each is due, None where it had moved on.

        All are written or none. `rate` is how many a second are due, beginning when the last
        replay that still waits is; None: all at once.
        """

    @abstractmethod
    async def replays_until(self) -> datetime | None:
        """Return when the last replay that still waits for its turn is due."""

    @abstractmethod
    async def discard(self, letters: Sequence[NotificationRecord], *, by: str) -> list[bool]:
        """Take dead letters off the list for good; False where one had moved on."""
