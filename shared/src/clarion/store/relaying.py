"""Handing status events to a relay, and forgetting those that it told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Delete,
    Select,
    Update,
    bindparam,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from clarion.notification import Channel, Status
from clarion.store.calling import add
from clarion.store.clock import after, clock, now, seconds_between
from clarion.store.database import Database
from clarion.store.incoming import DOUBLE, in_order, incoming
from clarion.store.outbox import StatusEvent, Telling
from clarion.store.publishing import BY_INDEX
from clarion.store.schema import notifications, status_events

_n = notifications.c
_e = status_events.c

HOLD_SECONDS = 30.0
TELLING_SECONDS = 20.0
"""How long a relay may take to tell what it has in hand; PostgreSQL cuts it off after 30."""


_ONE_AT_A_TIME = select(func.pg_try_advisory_xact_lock(bindparam("key", 0x434C4143)))
"""Callbacks are made in order, so they are written in order: of several relays one has its turn."""


@asynccontextmanager
async def telling(
    database: Database, limit: int, calling: Collection[str]
) -> AsyncIterator[Telling]:
    """See `OutboxStore.telling`."""
    dialect = database.dialect
    if dialect == "sqlite":
        # it has no locks on rows, and a transaction that waits for a broker would stop every
        # writer: of two relays on one file both may tell an event, under its one id
        async with database.read() as connection:
            rows = await _oldest(connection, limit)
        found = Telling(_events(rows))
        yield found
        async with database.write() as connection:
            await _settle(connection, dialect, rows, found.held, calling)
        return
    async with database.write(deadline=TELLING_SECONDS) as connection:
        if calling and not (await connection.execute(_ONE_AT_A_TIME)).scalar_one():
            yield Telling(())
            return
        await connection.execute(BY_INDEX)
        rows = await _oldest(connection, limit)
        found = Telling(_events(rows))
        yield found
        await _settle(connection, dialect, rows, found.held, calling)


async def oldest(connection: AsyncConnection) -> float | None:
    """Return the seconds that the oldest event has waited."""
    waited = (await connection.execute(OLDEST)).scalar_one_or_none()
    return None if waited is None else max(waited, 0.0)


async def _oldest(connection: AsyncConnection, limit: int) -> list[Any]:
    rows = await connection.execute(take_statement(limit))
    return sorted(rows, key=lambda row: row.id)


def _events(rows: list[Any]) -> tuple[StatusEvent, ...]:
    # of a notification that was deleted meanwhile there is nothing to tell
    return tuple(_event(row) for row in rows if row.producer is not None)


async def _settle(
    connection: AsyncConnection,
    dialect: str,
    rows: list[Any],
    held: set[int],
    calling: Collection[str],
) -> None:
    # when one is told again after it was held, its callback may be made and forgotten already
    new = [row for row in rows if row.producer in calling and row.not_before is None]
    await add(connection, dialect, _events(new))
    told = [row.id for row in rows if row.id not in held]
    if told:
        await connection.execute(_delete(dialect), _rows(told))
    if held:
        await connection.execute(_hold(dialect), _rows(held))


def _rows(rows: Any) -> dict[str, Any]:
    return in_order([{"row": row} for row in rows], "row")


@cache  # asked for at every look, and building one takes longer than running it
def take_statement(limit: int) -> Select[Any]:
    """Return the query for the oldest events, each with what its notification says."""
    due = (
        select(status_events)
        .where(or_(_e.not_before.is_(None), _e.not_before <= now()))
        .order_by(_e.id)
        .limit(limit)
        # what another relay is telling is not ours to wait for
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    return select(
        due, _n.producer, _n.message_id, _n.channel, _n.template_id, _n.recipient, _n.metadata
    ).outerjoin_from(due, notifications, _n.id == due.c.notification_id)


@cache
def _delete(dialect: str) -> Delete:
    told = incoming(dialect, {"row": BigInteger()})
    return delete(status_events).where(_e.id.in_(select(told.c.row)))


def _hold(dialect: str) -> Update:
    held = incoming(dialect, {"row": BigInteger()})
    return (
        update(status_events)
        .values(not_before=after(literal(HOLD_SECONDS, DOUBLE)))
        .where(_e.id.in_(select(held.c.row)))
    )


def _event(row: Any) -> StatusEvent:
    return StatusEvent(
        row=row.id,
        notification_id=row.notification_id,
        sequence=row.sequence,
        status=Status(row.status),
        at=row.at,
        attempt=row.attempt,
        reason=row.reason,
        provider=row.provider,
        provider_code=row.provider_code,
        provider_text=row.provider_text,
        producer=row.producer,
        message_id=row.message_id,
        channel=Channel(row.channel),
        template_id=row.template_id,
        recipient=row.recipient,
        metadata=row.metadata or {},
    )


OLDEST = select(seconds_between(_e.at, clock())).order_by(_e.id).limit(1)
