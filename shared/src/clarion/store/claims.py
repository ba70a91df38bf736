"""Claiming a notification for one attempt, fenced by the attempt's number and a lease."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Update, and_, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import ColumnElement

from clarion.notification import Reason, Status, sources
from clarion.store.base import Claim, Verdict
from clarion.store.clock import after, clock, now, seconds_between
from clarion.store.incoming import DOUBLE, TEXT, firsts, in_order, incoming
from clarion.store.schema import attempts, notifications

_n = notifications.c

# from these no attempt can start any more
_FINISHED = frozenset(
    {Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.UNDELIVERED, Status.FAILED}
)


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Who wants to attempt which notification, and for how many seconds."""

    notification_id: str
    worker: str
    lease: float


def lease_is_over() -> ColumnElement[bool]:
    """Return the test for a row whose worker was not heard of in time."""
    return and_(_n.status == Status.SENDING, _n.lease_until < now())


def remember_claim() -> dict[str, Any]:
    """Return the values that keep what a claim or a give-up found, for `crashed_attempt`."""
    return {
        "previous": _n.status,
        "previous_worker": _n.worker,
        "previous_claimed_at": _n.claimed_at,
        # an attempt that was never answered is spent: the provider may have been called
        "failures": _n.failures + case((_n.status == Status.SENDING, 1), else_=0),
    }


def crashed_attempt(row: Any, attempt: int, found: datetime) -> dict[str, Any]:
    """Return the record of the attempt whose lease ran out, and when somebody found that."""
    return {
        "notification_id": row.id,
        "attempt": attempt,
        "started_at": row.previous_claimed_at,
        "finished_at": found,
        "status": Status.IN_DOUBT,
        "reason": Reason.CRASHED,
        "worker": row.previous_worker,
    }


class ClaimWriter:
    """Claims rows, many in one statement."""

    def __init__(self, dialect: str) -> None:
        self._claim = _claim(dialect)
        self._refused = _refused(dialect)

    async def write(self, connection: AsyncConnection, requests: list[ClaimRequest]) -> list[Claim]:
        """Return each request's verdict; of two for one row in a batch, the first wins."""
        first = firsts(requests, lambda request: request.notification_id)
        claimed = await self._take(connection, [requests[index] for index in first.values()])
        won = {first[notification_id]: claim for notification_id, claim in claimed.items()}
        refused = await self._explain(
            connection,
            {request.notification_id for index, request in enumerate(requests) if index not in won},
        )
        return [
            won.get(index) or refused.get(request.notification_id, Claim(Verdict.UNKNOWN))
            for index, request in enumerate(requests)
        ]

    async def _take(
        self, connection: AsyncConnection, requests: list[ClaimRequest]
    ) -> dict[str, Claim]:
        rows = [
            {"id": request.notification_id, "worker": request.worker, "lease": request.lease}
            for request in requests
        ]
        taken = (await connection.execute(self._claim, in_order(rows, "id"))).all()
        crashed = [
            crashed_attempt(row, row.attempt - 1, row.claimed_at)
            for row in taken
            if row.previous == Status.SENDING
        ]
        if crashed:
            await connection.execute(attempts.insert(), crashed)
        return {
            row.id: Claim(
                Verdict.CLAIMED,
                attempt=row.attempt,
                failures=row.failures,
                doubted=row.previous == Status.SENDING,
                status=Status.SENDING,
            )
            for row in taken
        }

    async def _explain(self, connection: AsyncConnection, ids: set[str]) -> dict[str, Claim]:
        if not ids:
            return {}
        rows = [{"id": notification_id} for notification_id in ids]
        found = await connection.execute(self._refused, in_order(rows, "id"))
        return {row.id: _refusal(row) for row in found}


def _refusal(row: Any) -> Claim:
    status = Status(row.status)
    return Claim(
        Verdict.FINISHED if status in _FINISHED else Verdict.LEASED,
        attempt=row.attempt,
        failures=row.failures,
        lease_left=max(row.lease_left or 0.0, 0.0),
        status=status,
    )


def _claim(dialect: str) -> Update:
    wanted = incoming(dialect, {"id": TEXT, "worker": TEXT, "lease": DOUBLE})
    return (
        update(notifications)
        .values(
            **remember_claim(),
            status=Status.SENDING,
            attempt=_n.attempt + 1,
            worker=wanted.c.worker,
            claimed_at=clock(),
            lease_until=after(wanted.c.lease),
            updated_at=clock(),
        )
        .where(
            _n.id == wanted.c.id,
            _n.status.in_([*sources(Status.SENDING), Status.SENDING]),
            # a running attempt's lease, or the wait that its outcome ordered
            or_(_n.lease_until.is_(None), _n.lease_until <= now()),
        )
        .returning(
            _n.id,
            _n.attempt,
            _n.failures,
            _n.previous,
            _n.previous_worker,
            _n.previous_claimed_at,
            _n.claimed_at,
        )
    )


def _refused(dialect: str) -> Select[Any]:
    asked = incoming(dialect, {"id": TEXT})
    return select(
        _n.id,
        _n.status,
        _n.attempt,
        _n.failures,
        func.coalesce(seconds_between(clock(), _n.lease_until), 0.0).label("lease_left"),
    ).join_from(asked, notifications, _n.id == asked.c.id)
