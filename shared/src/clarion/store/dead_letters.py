"""Looking through dead letters: counted in groups, by the page, or in the order of a replay."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import ColumnElement

from clarion.notification import Channel, Priority, Reason, Status
from clarion.store.base import NotificationRecord, Page
from clarion.store.clock import now
from clarion.store.incoming import TEXT, in_order, incoming
from clarion.store.letters import DeadGroup, DeadGroups, DeadQuery
from clarion.store.listing import check_cursor
from clarion.store.records import RECORD, to_record
from clarion.store.schema import constant, notifications

_n = notifications.c

MOST_COUNTED = 100_000
MOST_GROUPS = 1_000

_KIND = (_n.channel, _n.status, _n.reason, _n.template_id, _n.provider, _n.provider_code)


async def groups(connection: AsyncConnection, query: DeadQuery) -> DeadGroups:
    """Return the groups among the newest MOST_COUNTED letters, at most MOST_GROUPS."""
    rows = (await connection.execute(groups_of(query))).all()
    counted = sum(row.letters for row in rows)
    return DeadGroups(
        tuple(_group(row) for row in rows[:MOST_GROUPS]),
        complete=len(rows) <= MOST_GROUPS and counted <= MOST_COUNTED,
    )


async def count(connection: AsyncConnection, query: DeadQuery, after: str) -> int:
    """Return how many letters the query admits beyond the id `after`, at most MOST_COUNTED."""
    return (await connection.execute(count_of(query, after))).scalar_one()


async def count_by_channel(connection: AsyncConnection) -> dict[Channel, int]:
    """Return how many of the newest MOST_COUNTED letters are of each channel."""
    newest = _newest(DeadQuery(), _n.channel)
    rows = await connection.execute(
        select(newest.c.channel, func.count().label("letters")).group_by(newest.c.channel)
    )
    found = {row.channel: row.letters for row in rows}
    return {channel: found.get(channel, 0) for channel in Channel}


async def page(
    connection: AsyncConnection, query: DeadQuery, limit: int, cursor: str | None
) -> Page:
    """Return one page, newest first; raise `ValueError` for a cursor that no page gave."""
    check_cursor(limit, cursor)
    rows = (await connection.execute(page_of(query, limit + 1, cursor))).all()
    records = tuple(to_record(row) for row in rows[:limit])
    more = len(rows) > limit
    return Page(records, records[-1].notification.notification_id if more else None)


async def following(
    connection: AsyncConnection, query: DeadQuery, after: str, limit: int
) -> list[NotificationRecord]:
    """Return up to `limit` letters in the order of their ids, from beyond `after`."""
    return [to_record(row) for row in await connection.execute(following_of(query, after, limit))]


async def records(
    connection: AsyncConnection, ids: Collection[str]
) -> dict[str, NotificationRecord]:
    """Return those of the notifications that there are, dead or not, by their ids."""
    asked = incoming(connection.dialect.name, {"id": TEXT})
    statement = select(*RECORD).join_from(asked, notifications, _n.id == asked.c.id)
    rows = [{"id": notification_id} for notification_id in set(ids)]
    found = map(to_record, await connection.execute(statement, in_order(rows, "id")))
    return {record.notification.notification_id: record for record in found}


async def replays_until(connection: AsyncConnection) -> datetime | None:
    """Return when the last replay that still waits for its turn is due."""
    return (await connection.execute(LAST_REPLAY)).scalar_one_or_none()


def groups_of(query: DeadQuery) -> Select[Any]:
    """Return the statement of `groups`: one pass through the index of dead letters."""
    newest = _newest(query, *_KIND, _n.dead_at)
    kind = [newest.c[column.name] for column in _KIND]
    letters = func.count().label("letters")
    return (
        select(
            *kind,
            letters,
            func.min(newest.c.dead_at).label("oldest"),
            func.max(newest.c.dead_at).label("newest"),
        )
        .group_by(*kind)
        .order_by(letters.desc(), *kind)
        .limit(MOST_GROUPS + 1)
    )


def count_of(query: DeadQuery, after: str) -> Select[int]:
    """Return the statement of `count`."""
    found = select(_n.id).where(*conditions(query), _n.id > after).limit(MOST_COUNTED).subquery()
    return select(func.count()).select_from(found)


def page_of(query: DeadQuery, limit: int, cursor: str | None) -> Select[Any]:
    """Return the statement of `page`."""
    before = [_n.id < cursor] if cursor is not None else []
    return select(*RECORD).where(*conditions(query), *before).order_by(_n.id.desc()).limit(limit)


def following_of(query: DeadQuery, after: str, limit: int) -> Select[Any]:
    """Return the statement of `following`."""
    return select(*RECORD).where(*conditions(query), _n.id > after).order_by(_n.id).limit(limit)


def conditions(query: DeadQuery) -> list[ColumnElement[bool]]:
    """Return what a dead letter of the query is, beginning with what its index holds."""
    wanted: list[ColumnElement[bool]] = [_n.dead_at.is_not(None)]
    wanted += [
        column == value
        for column, value in (
            (_n.producer, query.producer),
            (_n.channel, query.channel),
            (_n.status, query.status),
            (_n.reason, query.reason),
            (_n.template_id, query.template),
            (_n.provider_code, query.provider_code),
        )
        if value is not None
    ]
    if query.since is not None:
        wanted.append(_n.dead_at >= query.since)
    if query.until is not None:
        wanted.append(_n.dead_at < query.until)
    return wanted


def _newest(query: DeadQuery, *columns: Any) -> Any:
    return (
        select(*columns)
        .where(*conditions(query))
        .order_by(_n.id.desc())
        .limit(MOST_COUNTED + 1)
        .subquery()
    )


def _group(row: Any) -> DeadGroup:
    return DeadGroup(
        channel=Channel(row.channel),
        status=Status(row.status),
        reason=Reason(row.reason) if row.reason else None,
        template_id=row.template_id,
        provider=row.provider,
        provider_code=row.provider_code,
        count=row.letters,
        oldest=row.oldest,
        newest=row.newest,
    )


def _last_replay() -> Select[datetime]:
    # what waits for its turn lies at the far end of each priority's index: a probe for each
    ends = union_all(
        *(
            select(
                select(_n.publish_at)
                .where(
                    _n.status == constant(Status.ACCEPTED),
                    _n.priority == priority,
                    _n.publish_at > now(),
                    _n.replay_no > 0,
                )
                .order_by(_n.publish_at.desc())
                .limit(1)
                .subquery()
            )
            for priority in Priority
        )
    ).subquery()
    return select(func.max(ends.c.publish_at))


LAST_REPLAY = _last_replay()
