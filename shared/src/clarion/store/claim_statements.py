"""The statements that claim rows, or say why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, Update, and_, case, func, or_, select, update
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.types import TypeEngine

from clarion.notification import OnDoubt, Reason, Status, sources
from clarion.store.clock import after, clock, now, seconds_between
from clarion.store.incoming import DOUBLE, INTEGER, TEXT, incoming
from clarion.store.schema import guarded_status, notifications
from clarion.store.suppressing import suppressed, why

_n = notifications.c


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


def start(dialect: str) -> Update:
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


def again(dialect: str) -> Update:
    """Return the statement that finds, by their names, claims that were written before."""
    wanted = incoming(dialect, _WANTED)
    return (
        update(notifications)
        .values(previous=None, lease_until=after(wanted.c.lease))
        .where(
            _n.id == wanted.c.id,
            guarded_status() == Status.SENDING,
            _n.worker == wanted.c.worker,
        )
        .returning(*_CLAIMED)
    )


def claim(dialect: str) -> Update:
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


def suppress(dialect: str) -> Update:
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


def refused(dialect: str) -> Select[Any]:
    """Return the query for what a refusal is told by."""
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
