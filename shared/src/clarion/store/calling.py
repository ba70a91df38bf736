"""The statements of callbacks: which is due, that it was made, that it failed.

Those of one notification wait for its earliest. When that is put off, so are they: a look for what
is due then meets none that may not go.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Delete,
    Insert,
    Select,
    Update,
    and_,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import ColumnElement

from clarion.store.callbacks import Callback, Failure
from clarion.store.clock import after, clock, now, seconds_between
from clarion.store.incoming import DOUBLE, INTEGER, TEXT, in_order, incoming, insert_into
from clarion.store.outbox import StatusEvent
from clarion.store.publishing import BY_INDEX
from clarion.store.schema import callbacks
from clarion.store.statement import Session, Statement

_c = callbacks.c
KEY = ("notification_id", "sequence")
MOST_COUNTED = 10_000
_CURSOR = re.compile(r"(notif_[0-9A-Za-z_-]{1,64})\.([0-9]{1,9})")


async def add(connection: AsyncConnection, dialect: str, events: Sequence[StatusEvent]) -> None:
    """Keep these events for the applications that are called."""
    rows = [
        {
            "notification_id": event.notification_id,
            "sequence": event.sequence,
            "producer": event.producer,
            "body": event.to_bytes().decode(),
        }
        for event in events
    ]
    if rows:
        await connection.execute(_add(dialect), in_order(rows, *KEY))


async def take(
    connection: AsyncConnection, producer: str, limit: int, lease: float
) -> list[Callback]:
    """See `CallbackStore.take_callbacks`."""
    if connection.dialect.name == "postgresql":
        await connection.execute(BY_INDEX)
    taken = await connection.execute(take_statement(producer, limit, lease))
    return sorted(map(_callback, taken), key=lambda each: (each.notification_id, each.sequence))


class CallWriter:
    """Writes what became of calls, many in one transaction."""

    def __init__(self, dialect: str) -> None:
        self._forget = Statement(dialect, _forget(dialect))
        self._let_go = Statement(dialect, _let_go(dialect))
        self._put_off = Statement(dialect, _put_off(dialect))
        self._give_up = Statement(dialect, _give_up(dialect))

    async def made(self, session: Session, done: list[Callback]) -> list[None]:
        """Forget those that were made, and let the next ones go."""
        keys = [_key(each) for each in done]
        async with session.transaction():
            await self._forget.run(session, keys, *KEY)
            await self._let_go.run(session, keys, *KEY)
        return [None] * len(done)

    async def failed(self, session: Session, failures: list[Failure]) -> list[None]:
        """Put off or give up those whose calls failed."""
        put_off = [each for each in failures if each.retry_in is not None]
        given_up = [each for each in failures if each.retry_in is None]
        async with session.transaction():
            if put_off:
                await self._put_off.run(session, map(_failure, put_off), *KEY)
            if given_up:
                await self._give_up.run(session, map(_failure, given_up), *KEY)
                keys = [_key(each.callback) for each in given_up]
                await self._let_go.run(session, keys, *KEY)
        return [None] * len(failures)


async def find(
    connection: AsyncConnection,
    producer: str | None,
    dead: bool | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[Callback], str | None]:
    """See `CallbackStore.find_callbacks`."""
    statement = select(*_COLUMNS).order_by(_c.notification_id, _c.sequence).limit(limit + 1)
    statement = statement.where(*_conditions(producer, dead))
    if cursor is not None:
        match = _CURSOR.fullmatch(cursor)
        if match is None:
            raise ValueError("not a cursor of this listing")
        last = tuple_(literal(match[1], TEXT), literal(int(match[2]), INTEGER))
        statement = statement.where(tuple_(_c.notification_id, _c.sequence) > last)
    page = [_callback(row) for row in await connection.execute(statement)]
    more = len(page) > limit
    page = page[:limit]
    return page, f"{page[-1].notification_id}.{page[-1].sequence}" if more else None


async def replay(
    connection: AsyncConnection,
    keys: Sequence[tuple[str, int]] | None,
    producer: str | None,
    limit: int,
) -> int:
    """See `CallbackStore.replay_callbacks`."""
    wanted = select(_c.notification_id, _c.sequence).where(*_conditions(producer, dead=True))
    if keys is not None:
        wanted = wanted.where(tuple_(_c.notification_id, _c.sequence).in_(list(keys)))
    chosen = wanted.order_by(_c.notification_id, _c.sequence).limit(limit).cte("chosen")
    statement = (
        update(callbacks)
        .values(dead_at=None, due_at=clock(), first_at=None, attempts=0)
        .where(
            _c.notification_id == chosen.c.notification_id,
            _c.sequence == chosen.c.sequence,
            _c.dead_at.is_not(None),
        )
        .returning(_c.sequence)
    )
    return len((await connection.execute(statement)).all())


async def count(
    connection: AsyncConnection, producers: Collection[str]
) -> dict[tuple[str, bool], int]:
    """See `CallbackStore.count_callbacks`."""
    counts = {}
    for producer in producers:
        for dead in (False, True):
            some = select(_c.sequence).where(*_conditions(producer, dead)).limit(MOST_COUNTED)
            statement = select(func.count()).select_from(some.subquery())
            counts[producer, dead] = (await connection.execute(statement)).scalar_one()
    return counts


@lru_cache(maxsize=64)  # asked for at every look, as those of the publisher and the relay
def take_statement(producer: str, limit: int, lease: float) -> Update:
    """Return the statement of `take`."""
    earlier = callbacks.alias("earlier")
    due = (
        select(_c.notification_id, _c.sequence)
        .where(
            _c.producer == producer,
            _c.dead_at.is_(None),
            _c.due_at <= now(),
            ~select(1)
            .where(
                earlier.c.notification_id == _c.notification_id,
                earlier.c.sequence < _c.sequence,
                earlier.c.dead_at.is_(None),
            )
            .exists(),
        )
        .order_by(_c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True, of=callbacks)
        .cte("due")
    )
    return (
        update(callbacks)
        .values(
            due_at=after(literal(lease, DOUBLE)),
            attempts=_c.attempts + 1,
            first_at=func.coalesce(_c.first_at, clock()),
        )
        .where(
            _c.notification_id == due.c.notification_id,
            _c.sequence == due.c.sequence,
        )
        .returning(*_COLUMNS)
    )


_COLUMNS = (
    *(column for column in _c if column.name != "first_at"),
    seconds_between(_c.first_at, clock()).label("failing"),
)


def _callback(row: Any) -> Callback:
    return Callback(
        notification_id=row.notification_id,
        sequence=row.sequence,
        producer=row.producer,
        body=row.body,
        attempts=row.attempts,
        failing=max(row.failing or 0.0, 0.0),
        created_at=row.created_at,
        due_at=row.due_at,
        last_error=row.last_error,
        dead_at=row.dead_at,
    )


def _conditions(producer: str | None, dead: bool | None) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if producer is not None:
        wanted.append(_c.producer == producer)
    if dead is not None:
        wanted.append(_c.dead_at.is_not(None) if dead else _c.dead_at.is_(None))
    return wanted


def _key(callback: Callback) -> dict[str, Any]:
    return {"notification_id": callback.notification_id, "sequence": callback.sequence}


def _failure(failure: Failure) -> dict[str, Any]:
    attempts = failure.callback.attempts
    rest = {"attempts": attempts, "error": failure.error, "retry_in": failure.retry_in}
    return _key(failure.callback) | rest


def _named(dialect: str) -> Any:
    return incoming(dialect, {"notification_id": TEXT, "sequence": INTEGER})


def _failing(dialect: str) -> Any:
    return incoming(
        dialect,
        {
            "notification_id": TEXT,
            "sequence": INTEGER,
            "attempts": INTEGER,
            "error": TEXT,
            "retry_in": DOUBLE,
        },
    )


def _same(told: Any) -> ColumnElement[bool]:
    return and_(_c.notification_id == told.c.notification_id, _c.sequence == told.c.sequence)


def _add(dialect: str) -> Insert:
    told = incoming(
        dialect,
        {"notification_id": TEXT, "sequence": INTEGER, "producer": TEXT, "body": TEXT},
    )
    before = callbacks.alias("before")
    # while the earliest of a notification is put off, those after it are not looked at either
    waits = (
        select(func.max(before.c.due_at))
        .where(before.c.notification_id == told.c.notification_id, before.c.dead_at.is_(None))
        .scalar_subquery()
    )
    rows: Select[Any] = select(
        told.c.notification_id,
        told.c.sequence,
        told.c.producer,
        told.c.body,
        clock(),
        func.coalesce(waits, clock()),
        literal(0, INTEGER),
    ).order_by(told.c.notification_id, told.c.sequence)
    names = [*KEY, "producer", "body", "created_at", "due_at", "attempts"]
    statement: Insert = (
        insert_into(dialect, callbacks)
        .from_select(names, rows)
        .on_conflict_do_nothing(index_elements=list(KEY))
    )
    return statement


def _forget(dialect: str) -> Delete:
    told = _named(dialect)
    return delete(callbacks).where(
        tuple_(_c.notification_id, _c.sequence).in_(select(told.c.notification_id, told.c.sequence))
    )


def _let_go(dialect: str) -> Update:
    told = _named(dialect)
    return (
        update(callbacks)
        .values(due_at=clock())
        .where(
            _c.notification_id == told.c.notification_id,
            _c.sequence > told.c.sequence,
            _c.dead_at.is_(None),
            _c.attempts == 0,
        )
    )


def _put_off(dialect: str) -> Update:
    told = _failing(dialect)
    mine = and_(_c.sequence == told.c.sequence, _c.attempts == told.c.attempts)
    return (
        update(callbacks)
        .values(
            due_at=after(told.c.retry_in),
            last_error=case((mine, told.c.error), else_=_c.last_error),
        )
        .where(
            _c.notification_id == told.c.notification_id,
            _c.sequence >= told.c.sequence,
            _c.dead_at.is_(None),
            # a lease that ran out is another caller's by now: what that finds counts
            or_(_c.sequence > told.c.sequence, mine),
        )
    )


def _give_up(dialect: str) -> Update:
    told = _failing(dialect)
    return (
        update(callbacks)
        .values(dead_at=clock(), last_error=told.c.error)
        .where(_same(told), _c.attempts == told.c.attempts, _c.dead_at.is_(None))
    )
