"""Claiming a notification for one attempt, fenced by the attempt's number and a lease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, Update, and_, case, func, or_, select, update
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.types import TypeEngine

from clarion.notification import FINAL, OnDoubt, Reason, Status, sources
from clarion.store.base import Claim, Verdict
from clarion.store.clock import after, clock, now, seconds_between
from clarion.store.entries import EntryWriter
from clarion.store.incoming import DOUBLE, INTEGER, TEXT, firsts, incoming
from clarion.store.schema import guarded_status, notifications
from clarion.store.statement import Session, Statement
from clarion.store.suppressing import suppressed, why

_n = notifications.c


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Who wants to attempt which notification, and for how many seconds; `grace` is how many an
    attempt stays in doubt before the next. `replay_no` is what the message says: one from before
    a replay is out of date. `transactional` passes what its recipient wished for."""

    notification_id: str
    worker: str
    lease: float
    grace: float = 0.0
    replay_no: int = 0
    transactional: bool = False


def lease_is_over() -> ColumnElement[bool]:
    """Return the test for a row whose worker was not heard of in time."""
    return and_(guarded_status() == Status.SENDING, _n.lease_until < now())


def remember_claim() -> dict[str, Any]:
    """Return the values that keep what a claim or a give-up found, for `EntryWriter.crashed`."""
    return {
        "previous": _n.status,
        "previous_worker": _n.worker,
        "previous_claimed_at": _n.claimed_at,
        # an attempt that was never answered is spent: the provider may have been called
        "failures": _n.failures + case((_n.status == Status.SENDING, 1), else_=0),
    }


class StartWriter:
    """Claims rows that simply wait for their attempt: nearly all. One statement does it."""

    def __init__(self, dialect: str) -> None:
        self._start = Statement(dialect, start_statement(dialect))

    async def write(self, session: Session, requests: list[ClaimRequest]) -> list[Claim | None]:
        """Return each request's claim; None for what `ClaimWriter` has to look at."""
        first = firsts(requests, lambda request: request.notification_id)
        rows = [_columns(requests[index]) for index in first.values()]
        won = {first[row.id]: row for row in await self._start.run(session, rows, "id")}
        return [_answer(won[index]) if index in won else None for index in range(len(requests))]


class ClaimWriter:
    """Claims rows, or says why not: many in one transaction."""

    def __init__(self, dialect: str) -> None:
        self._claim = Statement(dialect, claim_statement(dialect))
        self._suppress = Statement(dialect, _suppress(dialect))
        self._refused = Statement(dialect, _refused(dialect))
        self._entries = EntryWriter(dialect)

    async def write(self, session: Session, requests: list[ClaimRequest]) -> list[Claim]:
        """Return each request's verdict; of two for one row in a batch, the first wins."""
        async with session.transaction():
            return await self._write(session, requests)

    async def _write(self, session: Session, requests: list[ClaimRequest]) -> list[Claim]:
        first = firsts(requests, lambda request: request.notification_id)
        asked = [requests[index] for index in first.values()]
        taken = await self._take(session, self._claim, asked)
        left = [request for request in asked if request.notification_id not in taken]
        if left:
            # seldom: a duplicate, one that must wait, or one that must not be written to
            taken |= await self._take(session, self._suppress, left)
        won = {first[notification_id]: claim for notification_id, claim in taken.items()}
        refused = await self._explain(
            session,
            {request.notification_id for index, request in enumerate(requests) if index not in won},
        )
        return [
            won.get(index) or _refusal(refused.get(request.notification_id), request)
            for index, request in enumerate(requests)
        ]

    async def _take(
        self, session: Session, statement: Statement, requests: list[ClaimRequest]
    ) -> dict[str, Claim]:
        taken = await statement.run(session, map(_columns, requests), "id")
        crashed = [
            # it ended when the next began: two readings of the clock might be out of order
            (row, row.attempt - 1, row.claimed_at)
            if row.status == Status.SENDING
            else (row, row.attempt, row.updated_at)
            for row in taken
            if row.previous == Status.SENDING
        ]
        await self._entries.crashed(session, crashed)
        # what ended here has no attempt that would tell it
        await self._entries.ended(
            session, [(row, {"reason": row.reason}) for row in taken if _ended(row)]
        )
        return {row.id: _answer(row) for row in taken}

    async def _explain(self, session: Session, ids: set[str]) -> dict[str, Any]:
        if not ids:
            return {}
        rows = [{"id": notification_id} for notification_id in ids]
        found = await self._refused.run(session, rows, "id")
        return {row.id: row for row in found}


def _columns(request: ClaimRequest) -> dict[str, Any]:
    return {
        "id": request.notification_id,
        "worker": request.worker,
        "lease": request.lease,
        "grace": request.grace,
        "replay_no": request.replay_no,
        "transactional": int(request.transactional),
    }


def _answer(row: Any) -> Claim:
    """Return the answer of a row that the claim has changed."""
    status = Status(row.status)
    if status is Status.SENDING:
        verdict = Verdict.CLAIMED
    elif row.lease_left is not None:
        verdict = Verdict.LEASED
    else:
        verdict = Verdict.ENDED
    return Claim(
        verdict,
        attempt=row.attempt,
        failures=row.failures,
        lease_left=row.lease_left or 0.0,
        status=status,
        reason=Reason(row.reason) if row.reason else None,
        on_doubt=OnDoubt(row.on_doubt),
    )


def _refusal(row: Any, request: ClaimRequest) -> Claim:
    if row is None:
        return Claim(Verdict.UNKNOWN)
    status = Status(row.status)
    held = status is Status.IN_DOUBT and row.on_doubt == OnDoubt.HOLD
    # a scheduled one comes by the publisher when it is due; this message is none of its own
    finished = held or status in FINAL or status is Status.SCHEDULED
    # and after a replay another message is on its way, with what was mended
    finished = finished or row.replay_no > request.replay_no
    return Claim(
        Verdict.FINISHED if finished else Verdict.LEASED,
        attempt=row.attempt,
        failures=row.failures,
        lease_left=max(row.lease_left or 0.0, 0.0),
        status=status,
        on_doubt=OnDoubt(row.on_doubt),
    )


def _ended(row: Any) -> bool:
    return row.reason == Reason.EXPIRED or row.status in (Status.SUPPRESSED, Status.FAILED)


_CLAIMABLE = (*sources(Status.SENDING), Status.SENDING)
_WAITING = tuple(status for status in _CLAIMABLE if status not in (Status.SENDING, Status.IN_DOUBT))

_WANTED: dict[str, TypeEngine[Any]] = {
    "id": TEXT,
    "worker": TEXT,
    "lease": DOUBLE,
    "grace": DOUBLE,
    "replay_no": INTEGER,
    "transactional": INTEGER,
}


def start_statement(dialect: str) -> Update:
    """Return the statement that takes those that simply wait for their attempt."""
    wanted = incoming(dialect, _WANTED)
    return (
        update(notifications)
        .values(
            status=Status.SENDING,
            attempt=_n.attempt + 1,
            worker=wanted.c.worker,
            claimed_at=clock(),
            lease_until=after(wanted.c.lease),
            updated_at=clock(),
        )
        .where(
            *_may_start(wanted, _WAITING),
            or_(_n.expires_at.is_(None), _n.expires_at > now()),
            ~suppressed(dialect, wanted.c.transactional == 1),
        )
        .returning(*_CLAIMED)
    )


def claim_statement(dialect: str) -> Update:
    """Return the statement that takes a batch of claims, whatever has become of the rows."""
    wanted = incoming(dialect, _WANTED)
    crashed = _n.status == Status.SENDING  # its lease is over, by the guard below
    held = and_(crashed, _n.on_doubt == OnDoubt.HOLD)
    late = _n.expires_at <= now()
    # of what may have been sent nobody can say that it was not
    lapsed = and_(late, _n.status.in_([Status.SENDING, Status.IN_DOUBT]))
    doubted = and_(crashed, wanted.c.grace > 0)

    def decide(held_: Any, lapsed_: Any, late_: Any, doubted_: Any, sending: Any) -> Any:
        return case(
            (held, held_), (lapsed, lapsed_), (late, late_), (doubted, doubted_), else_=sending
        )

    return (
        update(notifications)
        .values(
            **remember_claim(),
            status=decide(
                Status.IN_DOUBT, Status.FAILED, Status.EXPIRED, Status.IN_DOUBT, Status.SENDING
            ),
            reason=decide(
                Reason.CRASHED, Reason.EXPIRED, Reason.EXPIRED, Reason.CRASHED, _n.reason
            ),
            attempt=_n.attempt + decide(0, 0, 0, 0, 1),
            worker=wanted.c.worker,
            claimed_at=clock(),
            lease_until=decide(None, None, None, after(wanted.c.grace), after(wanted.c.lease)),
            dead_at=decide(clock(), clock(), None, None, None),
            updated_at=clock(),
        )
        .where(*_may_start(wanted, _CLAIMABLE), ~suppressed(dialect, wanted.c.transactional == 1))
        .returning(*_CLAIMED)
    )


def _suppress(dialect: str) -> Update:
    """Return the statement that ends those whose recipients are not written to."""
    wanted = incoming(dialect, _WANTED)
    # of what may have been sent nobody can say that it was not
    doubtful = _n.status.in_([Status.SENDING, Status.IN_DOUBT])
    return (
        update(notifications)
        .values(
            **remember_claim(),
            status=case((doubtful, Status.FAILED), else_=Status.SUPPRESSED),
            reason=why(dialect, wanted.c.transactional == 1),
            lease_until=None,
            dead_at=case((doubtful, clock())),
            updated_at=clock(),
        )
        .where(*_may_start(wanted, _CLAIMABLE), suppressed(dialect, wanted.c.transactional == 1))
        .returning(*_CLAIMED)
    )


def _may_start(wanted: Any, statuses: Sequence[Status]) -> list[ColumnElement[bool]]:
    return [
        _n.id == wanted.c.id,
        _n.replay_no <= wanted.c.replay_no,
        guarded_status().in_(statuses),
        or_(_n.status != Status.IN_DOUBT, _n.on_doubt != OnDoubt.HOLD),
        # a running attempt's lease, or the wait that its outcome ordered
        or_(_n.lease_until.is_(None), _n.lease_until <= now()),
    ]


_CLAIMED = (
    _n.id,
    _n.status,
    _n.reason,
    _n.on_doubt,
    _n.attempt,
    _n.failures,
    _n.previous,
    _n.previous_worker,
    _n.previous_claimed_at,
    _n.claimed_at,
    _n.updated_at,
    seconds_between(clock(), _n.lease_until).label("lease_left"),
)


def _refused(dialect: str) -> Select[Any]:
    asked = incoming(dialect, {"id": TEXT})
    return select(
        _n.id,
        _n.status,
        _n.on_doubt,
        _n.attempt,
        _n.failures,
        _n.replay_no,
        func.coalesce(seconds_between(clock(), _n.lease_until), 0.0).label("lease_left"),
    ).join_from(asked, notifications, _n.id == asked.c.id)
