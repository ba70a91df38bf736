"""Forgetting what is finished and old, a page of ids at a time.

Ids are in the order of creation, so the old rows are one end of the primary key: a page is a range
of it, and finding what to delete needs no index of its own, which every write would pay for. What
must stay is passed by, and the next page begins after it.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, delete, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningDelete
from sqlalchemy.sql.expression import ColumnElement

from clarion.notification import FINAL, id_at
from clarion.store.base import Pruned, Retention
from clarion.store.clock import after
from clarion.store.hearing import forget_statement
from clarion.store.incoming import DOUBLE, TEXT, in_order, incoming
from clarion.store.schema import (
    attempts,
    callbacks,
    events,
    inquiries,
    notifications,
    receipts,
)

_n = notifications.c


async def prune(
    connection: AsyncConnection, dialect: str, start: str, keep: Retention, limit: int
) -> Pruned:
    """Delete what is old of the first `limit` rows beyond the id `start`, with its history.

    With the first page goes what is old of who wrote to us.
    """
    if not start:
        await connection.execute(forget_statement())
    before = id_at(time.time() - min(keep.finished, keep.dead))
    page = [row.id for row in await connection.execute(page_statement(start, before, limit))]
    if not page:
        return Pruned(0, None)
    rows = in_order([{"id": notification_id} for notification_id in page], "id")
    gone = [row.id for row in await connection.execute(_delete(dialect, keep), rows)]
    if gone:
        rows = in_order([{"id": notification_id} for notification_id in gone], "id")
        for history in (attempts, events, receipts, inquiries, callbacks):
            of_them = select(incoming(dialect, {"id": TEXT}).c.id)
            await connection.execute(
                delete(history).where(history.c.notification_id.in_(of_them)), rows
            )
    return Pruned(len(gone), page[-1] if len(page) == limit else None)


def page_statement(start: str, before: str, limit: int) -> Select[tuple[str]]:
    """Return the query for the ids of a page."""
    return select(_n.id).where(_n.id > start, _n.id < before).order_by(_n.id).limit(limit)


def _delete(dialect: str, keep: Retention) -> ReturningDelete[Any]:
    page = select(incoming(dialect, {"id": TEXT}).c.id)
    # asked of the row as it is now: since the page was read it may have been replayed
    return (
        delete(notifications)
        .where(_n.id.in_(page), _n.status.in_(FINAL), _old(keep))
        .returning(_n.id)
    )


def _old(keep: Retention) -> ColumnElement[bool]:
    """Return the test for a row that nobody needs to see any more, by the database's clock."""
    return or_(
        and_(_n.dead_at.is_(None), _n.updated_at < _ago(keep.finished)),
        # a dead letter that nobody has replayed or discarded waits for people, so much longer
        _n.dead_at < _ago(keep.dead),
    )


def _ago(seconds: float) -> ColumnElement[datetime]:
    return after(literal(-seconds, DOUBLE))
