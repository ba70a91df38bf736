"""Which messages a provider is to be asked about: sent, and not heard of since.

When a message is asked about next stands in a table of its own, so that nothing of this costs a
send anything but its entry in a partial index. Taking is one upsert: of two that take the same, the
second finds that it is not due any more.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Insert, Select, and_, literal, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from clarion.notification import Channel, Status
from clarion.store.clock import after, ago, clock, now, seconds_between
from clarion.store.dialogue import Silent
from clarion.store.incoming import DOUBLE, TEXT, in_order, incoming, insert_into
from clarion.store.schema import constant, inquiries, notifications

_n = notifications.c
_i = inquiries.c

_COLUMNS = ("notification_id", "attempt", "provider_message_id", "next_at")


async def take(
    connection: AsyncConnection,
    channel: Channel,
    provider: str,
    oldest: float,
    youngest: float,
    limit: int,
) -> list[Silent]:
    """Return messages that are due, the oldest first, and put off their next inquiry.

    They are between `youngest` and `oldest` seconds old.
    """
    found = silent_statement(channel, provider, oldest, youngest, limit)
    order = {row.id: number for number, row in enumerate(await connection.execute(found))}
    if not order:
        return []
    rows = in_order([{"id": notification_id} for notification_id in order], "id")
    taken = await connection.execute(_take(connection.dialect.name), rows)
    silent = [Silent(row.notification_id, row.attempt, row.provider_message_id) for row in taken]
    return sorted(silent, key=lambda one: order[one.notification_id])


async def ask_again(
    connection: AsyncConnection, ids: Collection[str], seconds: float | None
) -> None:
    """Move the next inquiry about these; None: there is none."""
    told = incoming(connection.dialect.name, {"id": TEXT})
    next_at = null() if seconds is None else after(literal(seconds, DOUBLE))
    statement = (
        update(inquiries).values(next_at=next_at).where(_i.notification_id.in_(select(told.c.id)))
    )
    await connection.execute(statement, in_order([{"id": one} for one in ids], "id"))


def silent_statement(
    channel: Channel, provider: str, oldest: float, youngest: float, limit: int
) -> Select[tuple[str]]:
    """Return the query for what is due: a range of the partial index."""
    return (
        select(_n.id)
        .outerjoin(inquiries, and_(_i.notification_id == _n.id, _i.attempt == _n.attempt))
        .where(
            _n.status == constant(Status.SENT),
            _n.channel == constant(channel),
            _n.provider == provider,
            _n.provider_message_id.is_not(None),
            _n.updated_at > ago(literal(oldest, DOUBLE)),
            _n.updated_at <= ago(literal(youngest, DOUBLE)),
            or_(_i.notification_id.is_(None), _i.next_at <= now()),
        )
        .order_by(_n.updated_at)
        .limit(limit)
    )


def _take(dialect: str) -> Insert:
    due = incoming(dialect, {"id": TEXT})
    rows = (
        select(
            _n.id,
            _n.attempt,
            _n.provider_message_id,
            # when it is twice as old
            after(seconds_between(_n.updated_at, clock())),
        )
        .join_from(due, notifications, _n.id == due.c.id)
        .where(_n.status == Status.SENT, _n.provider_message_id.is_not(None))
        .order_by(_n.id)
    )
    insert = insert_into(dialect, inquiries).from_select(list(_COLUMNS), rows)
    statement: Insert = insert.on_conflict_do_update(
        index_elements=["notification_id"],
        set_={name: insert.excluded[name] for name in _COLUMNS[1:]},
        where=or_(_i.attempt != insert.excluded.attempt, _i.next_at <= now()),
    ).returning(_i.notification_id, _i.attempt, _i.provider_message_id)
    return statement
