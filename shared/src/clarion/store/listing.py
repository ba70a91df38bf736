"""Reading: one notification with its history, and pages of many, newest first."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from sqlalchemy import Select, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import ColumnElement

from clarion.notification import Channel, Priority, Status
from clarion.store.base import (
    NotificationHistory,
    Page,
    Query,
    TimelineEntry,
)
from clarion.store.records import (
    ATTEMPT,
    RECEIPT,
    RECORD,
    to_attempt,
    to_receipt_entry,
    to_record,
)
from clarion.store.schema import attempts, events, notifications, receipts
from clarion.store.timeline import history

_n = notifications.c

_CURSOR = re.compile(r"notif_[0-9A-Za-z_-]{1,64}")

# An id tells when its gateway made it; the row, when the database stored it. The two clocks may
# differ by less than this.
_SKEW = timedelta(minutes=10)


async def find(connection: AsyncConnection, query: Query, limit: int, cursor: str | None) -> Page:
    """Return one page; raise `ValueError` for a cursor that no page gave."""
    check_cursor(limit, cursor)
    rows = (await connection.execute(page_of(query, limit + 1, cursor))).all()
    records = tuple(to_record(row) for row in rows[:limit])
    more = len(rows) > limit
    return Page(records, records[-1].notification.notification_id if more else None)


def check_cursor(limit: int, cursor: str | None) -> None:
    """Raise `ValueError` for a limit or a cursor that no page can have."""
    if limit < 1:
        raise ValueError("limit must be at least 1")
    if cursor is not None and not _CURSOR.fullmatch(cursor):
        raise ValueError("not a cursor of this listing")


async def get(connection: AsyncConnection, notification_id: str) -> NotificationHistory | None:
    """Return one notification with all that happened to it."""
    # what is read first is the oldest: an attempt that ends in between is then in both
    row = (
        await connection.execute(select(*RECORD, _n.claimed_at).where(_n.id == notification_id))
    ).one_or_none()
    if row is None:
        return None
    tried = await connection.execute(
        select(*ATTEMPT)
        .where(attempts.c.notification_id == notification_id)
        .order_by(attempts.c.attempt)
    )
    noted = await connection.execute(
        select(events.c.at, events.c.status, events.c.detail)
        .where(events.c.notification_id == notification_id)
        .order_by(events.c.id)
    )
    told = await connection.execute(
        select(*RECEIPT)
        .where(receipts.c.notification_id == notification_id)
        .order_by(receipts.c.at, receipts.c.received_at)
    )
    return history(
        to_record(row),
        row.claimed_at,
        [to_attempt(attempt) for attempt in tried],
        [TimelineEntry(event.at, Status(event.status), event.detail) for event in noted],
        [to_receipt_entry(receipt) for receipt in told],
    )


def page_of(query: Query, limit: int, cursor: str | None) -> Select[Any]:
    """Return the statement of a page.

    One index holds the ids in order within each status, channel and priority. A page is merged
    from the newest of each that the query admits: no sort of more than a few pages, no scan.
    """
    common = _common(query, cursor)
    lanes = _lanes(query)
    if len(lanes) == 1:
        return select(*RECORD).where(*common, *lanes[0]).order_by(_n.id.desc()).limit(limit)
    newest = union_all(
        *(
            select(
                select(_n.id).where(*common, *lane).order_by(_n.id.desc()).limit(limit).subquery()
            )
            for lane in lanes
        )
    ).subquery()
    return (
        select(*RECORD)
        .join_from(newest, notifications, newest.c.id == _n.id)
        .order_by(_n.id.desc())
        .limit(limit)
    )


def _common(query: Query, cursor: str | None) -> list[ColumnElement[bool]]:
    conditions = [
        column == value
        for column, value in (
            (_n.producer, query.producer),
            (_n.target_user_id, query.user),
            (_n.template_id, query.template),
            (_n.message_id, query.message_id),
        )
        if value is not None
    ]
    if query.since is not None:
        # the first bound ends the walk through the index, the second is what was asked for
        conditions += [_n.id >= _first_id(query.since - _SKEW), _n.created_at >= query.since]
    if cursor is not None:
        conditions.append(_n.id < cursor)
    return conditions


def _lanes(query: Query) -> list[list[ColumnElement[bool]]]:
    if not (query.status or query.channel or query.priority) or query.message_id is not None:
        return [_lane(query.status, query.channel, query.priority)]
    return [
        _lane(*lane)
        for lane in product(
            [query.status] if query.status else Status,
            [query.channel] if query.channel else Channel,
            [query.priority] if query.priority else Priority,
        )
    ]


def _lane(
    status: Status | None, channel: Channel | None, priority: Priority | None
) -> list[ColumnElement[bool]]:
    return [
        column == value
        for column, value in (
            (_n.status, status),
            (_n.channel, channel),
            (_n.priority, priority),
        )
        if value is not None
    ]


def _first_id(moment: datetime) -> str:
    """Return the lowest id of that millisecond (see `new_notification_id`)."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return f"notif_{milliseconds << 80:032x}"
