"""What the publisher needs: which rows the broker still lacks, and that it has taken one."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache, lru_cache

from sqlalchemy import (
    CTE,
    Boolean,
    Integer,
    Select,
    Update,
    bindparam,
    func,
    literal,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.sql.selectable import CompoundSelect

from clarion.notification import LANES, Channel, Lane, Notification, Priority, Status, sources
from clarion.store.base import Confirmed
from clarion.store.clock import after, clock, now, seconds_between
from clarion.store.incoming import DOUBLE, INTEGER, TEXT, incoming
from clarion.store.records import NOTIFICATION, to_notification
from clarion.store.schema import constant, guarded_status, notifications
from clarion.store.statement import Session, Statement

_n = notifications.c

MOST_COUNTED = 10_000

BY_INDEX = select(
    *(
        func.set_config(name, "off", literal(True, Boolean))  # until the transaction ends
        for name in ("enable_sort", "enable_hashjoin", "enable_mergejoin")
    )
)
"""What is due is a few rows of many, and has its index. Until the statistics know of a sudden
backlog a plan that sorts looks cheap and reads it all, and one that joins in another way than row
by row reads a table of some thousand notifications from end to end for each look."""

_UNFINISHED = (Status.QUEUED, Status.RETRYING, Status.IN_DOUBT, Status.SENDING)


class QueuedWriter:
    """Records what the broker confirmed."""

    def __init__(self, dialect: str) -> None:
        self._mark = Statement(dialect, _mark(dialect))

    async def write(self, session: Session, confirmed: list[Confirmed]) -> list[bool]:
        """Return for each whether its row became `queued`; of two for one row, the newest run's."""
        by_run = sorted(range(len(confirmed)), key=lambda index: confirmed[index].replay_no or 0)
        last = {confirmed[index].notification_id: index for index in by_run}
        rows = [
            {"id": notification_id, "replay_no": confirmed[index].replay_no}
            for notification_id, index in last.items()
        ]
        won = {last[row.id] for row in await self._mark.run(session, rows, "id")}
        return [index in won for index in range(len(confirmed))]


async def take_due(
    connection: AsyncConnection, limit: int, lease: float, without: Collection[Lane] = ()
) -> list[Notification]:
    """Take up to `limit` rows that are due, for `lease` seconds: by priority, then by age."""
    if connection.dialect.name == "postgresql":
        await connection.execute(BY_INDEX)
    await connection.execute(promote_statement(limit))
    taken: list[Notification] = []
    for priority in Priority:
        left_out = tuple(each for each in Channel if Lane(each, priority) in without)
        room = limit - len(taken)
        if room and len(left_out) < len(Channel):
            statement = take_due_statement(priority, left_out, room, lease)
            due = map(to_notification, await connection.execute(statement))
            taken += sorted(due, key=lambda each: each.notification_id)
    return taken


async def unfinished(connection: AsyncConnection, start: str, limit: int) -> list[Notification]:
    """Return up to `limit` rows that a broker should hold, by id from beyond `start`."""
    rows = await connection.execute(_UNFINISHED_PAGE, {"start": start, "limit": limit})
    return [to_notification(row) for row in rows]


async def unpublished(connection: AsyncConnection) -> int:
    """Return the number of accepted rows, at most MOST_COUNTED; a replay only when it is due."""
    return (await connection.execute(_UNPUBLISHED)).scalar_one()


async def oldest_queued(connection: AsyncConnection) -> dict[Lane, float]:
    """Return the seconds that each lane's oldest queued row has waited."""
    rows = await connection.execute(OLDEST_QUEUED)
    return {
        Lane(Channel(row.channel), Priority(row.priority)): max(row.waited, 0.0) for row in rows
    }


def _mark(dialect: str) -> Update:
    confirmed = incoming(dialect, {"id": TEXT, "replay_no": INTEGER})
    return (
        update(notifications)
        .values(status=Status.QUEUED, queued_at=clock(), updated_at=clock())
        .where(
            _n.id == confirmed.c.id,
            # the row of a replay waits for a publication of its own
            or_(confirmed.c.replay_no.is_(None), _n.replay_no == confirmed.c.replay_no),
            guarded_status().in_(sources(Status.QUEUED)),
        )
        .returning(_n.id)
    )


@cache  # asked for at every look, and building one takes longer than running it
def promote_statement(limit: int) -> Update:
    """Return the statement that makes up to `limit` scheduled rows, whose time has come, due."""
    due = _due(Status.SCHEDULED, limit)
    return update(notifications).values(status=Status.ACCEPTED).where(_n.id == due.c.id)


@lru_cache(maxsize=64)
def take_due_statement(
    priority: Priority, left_out: tuple[Channel, ...], limit: int, lease: float
) -> Update:
    """Return the statement of `take_due` for one priority, of all channels but those left out."""
    lanes = [_n.channel.not_in(left_out)] if left_out else []
    due = _due(Status.ACCEPTED, limit, _n.priority == priority, *lanes)
    return (
        update(notifications)
        .values(publish_at=after(literal(lease, DOUBLE)))
        .where(_n.id == due.c.id)
        .returning(*NOTIFICATION)
    )


def _due(status: Status, limit: int, *conditions: ColumnElement[bool]) -> CTE:
    return (
        select(_n.id)
        .where(_n.status == constant(status), _n.publish_at <= now(), *conditions)
        .order_by(_n.publish_at, _n.id)
        .limit(limit)
        # what another publisher is taking is not ours to wait for
        .with_for_update(skip_locked=True)
        .cte("due")
    )


def _unfinished_page() -> Select[tuple[object, ...]]:
    # the index has the ids in order within each status and lane: take the first of each
    heads = union_all(
        *(
            select(
                select(_n.id)
                .where(
                    _n.status == constant(status),
                    _n.channel == lane.channel,
                    _n.priority == lane.priority,
                    _n.id > bindparam("start"),
                )
                .order_by(_n.id)
                .limit(bindparam("limit", type_=Integer()))
                .subquery()
            )
            for status in _UNFINISHED
            for lane in LANES
        )
    ).subquery()
    return (
        select(*NOTIFICATION)
        .join_from(heads, notifications, heads.c.id == _n.id)
        .order_by(_n.id)
        .limit(bindparam("limit", type_=Integer()))
    )


def _oldest_queued() -> CompoundSelect[tuple[str, str, float]]:
    # nine probes of a partial index, where an aggregate would read every queued row
    heads = (
        (
            lane,
            select(_n.queued_at)
            .where(
                _n.status == constant(Status.QUEUED),
                _n.channel == lane.channel,
                _n.priority == lane.priority,
            )
            .order_by(_n.queued_at)
            .limit(1)
            .subquery(),
        )
        for lane in LANES
    )
    return union_all(
        *(
            select(
                literal(lane.channel, TEXT).label("channel"),
                literal(lane.priority, TEXT).label("priority"),
                seconds_between(head.c.queued_at, clock()).label("waited"),
            )
            for lane, head in heads
        )
    )


OLDEST_QUEUED = _oldest_queued()
_UNFINISHED_PAGE = _unfinished_page()
_UNPUBLISHED = select(func.count()).select_from(
    select(_n.publish_at)
    .where(_n.status == constant(Status.ACCEPTED), or_(_n.replay_no == 0, _n.publish_at <= now()))
    .limit(MOST_COUNTED)
    .subquery()
)
