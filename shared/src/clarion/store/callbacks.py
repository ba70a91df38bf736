"""Callbacks: the status events that an application has POSTed to it, one after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from clarion.store.outbox import OutboxStore, event_id


@dataclass(frozen=True, slots=True)
class Callback:
    """One event for one application, as it was first told.

    `attempts` counts its calls since it was made or replayed, the one under way included, and
    `failing` the seconds since the first of those. `dead_at` is when it was given up.
    """

    notification_id: str
    sequence: int
    producer: str
    body: str
    attempts: int
    failing: float
    created_at: datetime
    due_at: datetime
    last_error: str | None
    dead_at: datetime | None

    @property
    def event_id(self) -> str:
        """The id of its event, the same for every call."""
        return event_id(self.notification_id, self.sequence)


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that failed: why, and in how many seconds the next is due, None to give up."""

    callback: Callback
    error: str
    retry_in: float | None


class CallbackStore(OutboxStore, ABC):
    """The store with what is to be POSTed to applications, in order for each notification."""

    @abstractmethod
    async def take_callbacks(self, producer: str, limit: int, lease: float) -> list[Callback]:
        """Return callbacks that are due, and keep them from other callers for `lease` seconds.

        Of each notification it is the earliest that was neither made nor given up.
        """

    @abstractmethod
    async def callback_made(self, callback: Callback) -> None:
        """Forget it: the application has it. The next of its notification is due now."""

    @abstractmethod
    async def callback_failed(self, failure: Failure) -> None:
        """Let it and those after it wait, or give it up and let the next one go."""

    @abstractmethod
    async def find_callbacks(
        self, *, producer: str | None, dead: bool | None, limit: int, cursor: str | None = None
    ) -> tuple[list[Callback], str | None]:
        """Return one page, by notification and sequence, and the cursor of the next.

        Raises `ValueError` for a bad cursor.
        """

    @abstractmethod
    async def replay_callbacks(
        self, *, keys: Sequence[tuple[str, int]] | None, producer: str | None, limit: int
    ) -> int:
        """Make up to `limit` that were given up due again; return how many those were."""

    @abstractmethod
    async def count_callbacks(self, producers: Collection[str]) -> dict[tuple[str, bool], int]:
        """Return how many wait (False) and were given up (True), by producer, up to 10,000 each."""
