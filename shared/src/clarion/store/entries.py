"""Entries of the timeline that no outcome writes: attempts that crashed, and ends without one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from clarion.notification import Reason, Status
from clarion.store.incoming import insert_rows, moment
from clarion.store.schema import attempts, events
from clarion.store.statement import Session, Statement

_ATTEMPT = (
    "notification_id",
    "attempt",
    "started_at",
    "finished_at",
    "status",
    "reason",
    "worker",
)
_EVENT = ("notification_id", "at", "status", "detail")


class EntryWriter:
    """Writes attempts and events of rows that a statement has just changed."""

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._attempts = Statement(dialect, insert_rows(dialect, attempts, _ATTEMPT))
        self._events = Statement(dialect, insert_rows(dialect, events, _EVENT))

    async def crashed(self, session: Session, found: Iterable[tuple[Any, int, datetime]]) -> None:
        """Keep the attempt of each row whose lease ran out, and when somebody found that.

        The row is one that `remember_claim` has kept.
        """
        rows = [
            {
                "notification_id": row.id,
                "attempt": attempt,
                "started_at": moment(self._dialect, row.previous_claimed_at),
                "finished_at": moment(self._dialect, at),
                "status": Status.IN_DOUBT,
                "reason": Reason.CRASHED,
                "worker": row.previous_worker,
            }
            for row, attempt, at in found
        ]
        if rows:
            await self._attempts.run(session, rows, "notification_id", "attempt")

    async def ended(self, session: Session, told: Iterable[tuple[Any, dict[str, Any]]]) -> None:
        """Keep as what each row ended just now, and the details of it."""
        rows = [
            {
                "notification_id": row.id,
                "at": moment(self._dialect, row.updated_at),
                "status": row.status,
                "detail": detail,
            }
            for row, detail in told
        ]
        if rows:
            await self._events.run(session, rows, "notification_id")
