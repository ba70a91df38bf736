"""Sending dead letters again, or letting them rest; of two who order it, one has his way."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Select,
    Update,
    bindparam,
    case,
    cast,
    func,
    select,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import ColumnElement, FromClause

from clarion.notification import Status
from clarion.store.base import NotificationRecord
from clarion.store.clock import after, clock, seconds_between
from clarion.store.dead_letters import LAST_REPLAY
from clarion.store.incoming import DOUBLE, INTEGER, TEXT, firsts, in_order, incoming
from clarion.store.letters import DEAD, Replay
from clarion.store.schema import events, guarded_status, notifications

_n = notifications.c

_ONE_AT_A_TIME = select(func.pg_advisory_xact_lock(bindparam("key", 0x434C4152)))
"""Two replays at a rate take turns: each goes on where the other's last one is due."""


class ReplayWriter:
    """Makes dead letters accepted again; the publisher takes each when it is due."""

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._lock = _lock(dialect)
        self._replay = _replay(dialect)

    async def write(
        self, connection: AsyncConnection, replays: list[Replay], *, by: str, rate: float | None
    ) -> list[datetime | None]:
        """Return for each when it is due; None for what is no more the letter that was meant."""
        first = firsts(replays, lambda replay: replay.notification_id)
        wanted = [replays[index] for index in first.values()]
        start = await self._start(connection) if rate is not None else 0.0
        rows = [{"id": each.notification_id, "replay_no": each.replay_no} for each in wanted]
        found = (await connection.execute(self._lock, in_order(rows, "id"))).all()
        turns = {
            row.id: start + turn / rate if rate is not None else 0.0
            for turn, row in enumerate(found, start=1 if start else 0)
        }
        rows = [_columns(replays[first[each]], delay) for each, delay in turns.items()]
        if not rows:
            return [None] * len(replays)
        done = (await connection.execute(self._replay, in_order(rows, "id"))).all()
        await connection.execute(
            events.insert(),
            [
                # the next publication overwrites when it was published first
                *(_event(row.id, row.queued_at, Status.QUEUED) for row in found if row.queued_at),
                *(_accepted(row, replays[first[row.id]], by, rate) for row in done),
            ],
        )
        due = {first[row.id]: row.publish_at for row in done}
        return [due.get(index) for index in range(len(replays))]

    async def _start(self, connection: AsyncConnection) -> float:
        """Return in how many seconds the last replay that waits is due; 0 when none does."""
        if self._dialect == "postgresql":
            await connection.execute(_ONE_AT_A_TIME)
        return max((await connection.execute(_LAST_REPLAY_IN)).scalar_one() or 0.0, 0.0)


class DiscardWriter:
    """Takes letters off the list; one held in doubt ends as failed."""

    def __init__(self, dialect: str) -> None:
        self._discard = _discard(dialect)

    async def write(
        self, connection: AsyncConnection, letters: list[NotificationRecord], *, by: str
    ) -> list[bool]:
        """Return for each whether it was still the letter that was meant, and no longer is."""
        first = firsts(letters, lambda letter: letter.notification.notification_id)
        rows = [
            {"id": notification_id, "replay_no": letters[index].replay_no}
            for notification_id, index in first.items()
        ]
        done = (await connection.execute(self._discard, in_order(rows, "id"))).all()
        if done:
            detail = {"discarded": True, "by": by}
            await connection.execute(
                events.insert(),
                [_event(row.id, row.updated_at, Status.FAILED, detail) for row in done],
            )
        won = {first[row.id] for row in done}
        return [index in won for index in range(len(letters))]


def _columns(replay: Replay, delay: float) -> dict[str, Any]:
    return {
        "id": replay.notification_id,
        "delay": delay,
        "template_id": replay.template_id,
        "recipient": replay.recipient,
        "payload": replay.payload,
    }


def _event(
    notification_id: str, at: datetime, status: Status, detail: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "notification_id": notification_id,
        "at": at,
        "status": status,
        "detail": detail or {},
    }


def _accepted(row: Any, replay: Replay, by: str, rate: float | None) -> dict[str, Any]:
    detail: dict[str, Any] = {"replay": row.replay_no, "by": by}
    if replay.changed:
        detail["changed"] = list(replay.changed)
    if rate is not None:
        detail["due"] = row.publish_at.isoformat()
    return _event(row.id, row.updated_at, Status.ACCEPTED, detail)


def _still_meant(wanted: FromClause) -> list[ColumnElement[bool]]:
    return [
        _n.id == wanted.c.id,
        _n.replay_no == wanted.c.replay_no,
        # in a form that no index has, as the status is: the ids find the rows (`guarded_status`)
        case((_n.dead_at.is_(None), 0), else_=1) == 1,
        guarded_status().in_(DEAD),
    ]


def _lock(dialect: str) -> Select[Any]:
    wanted = incoming(dialect, {"id": TEXT, "replay_no": INTEGER})
    return (
        select(_n.id, _n.queued_at)
        .join_from(wanted, notifications, _n.id == wanted.c.id)
        .where(*_still_meant(wanted))
        .order_by(_n.id)
        .with_for_update(of=notifications)
    )


def _replay(dialect: str) -> Update:
    item = incoming(
        dialect,
        {"id": TEXT, "delay": DOUBLE, "template_id": TEXT, "recipient": TEXT, "payload": TEXT},
    )
    # SQLite's JSON is text, and a cast to a type that it does not know makes a number of it
    payload: ColumnElement[Any] = (
        cast(item.c.payload, JSON) if dialect == "postgresql" else type_coerce(item.c.payload, JSON)
    )
    return (
        update(notifications)
        .values(
            status=Status.ACCEPTED,
            replay_no=_n.replay_no + 1,
            failures=0,
            reason=None,
            provider_code=None,
            provider_text=None,
            template_id=func.coalesce(item.c.template_id, _n.template_id),
            recipient=func.coalesce(item.c.recipient, _n.recipient),
            payload=func.coalesce(payload, _n.payload),
            lease_until=None,
            receipt_at=None,
            queued_at=None,
            publish_at=after(item.c.delay),
            updated_at=clock(),
            dead_at=None,
        )
        .where(_n.id == item.c.id)
        .returning(_n.id, _n.replay_no, _n.publish_at, _n.updated_at)
    )


def _discard(dialect: str) -> Update:
    wanted = incoming(dialect, {"id": TEXT, "replay_no": INTEGER})
    return (
        update(notifications)
        .values(status=Status.FAILED, lease_until=None, updated_at=clock(), dead_at=None)
        .where(*_still_meant(wanted))
        .returning(_n.id, _n.updated_at)
    )


_LAST_REPLAY_IN = select(seconds_between(clock(), LAST_REPLAY.scalar_subquery()))
