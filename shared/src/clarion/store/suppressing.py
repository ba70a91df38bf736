"""The addresses that are not written to: kept by receipts, answers and people, asked by claims."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Delete,
    Insert,
    Select,
    and_,
    case,
    collate,
    delete,
    exists,
    func,
    or_,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import ColumnElement, literal

from clarion.notification import Channel, Reason
from clarion.store.clock import clock
from clarion.store.incoming import TEXT, incoming, insert_into
from clarion.store.schema import notifications, suppressions
from clarion.store.statement import Session, Statement
from clarion.suppression import Kind, Suppression, normal

_n = notifications.c
_s = suppressions.c

KEY = ("channel", "address", "kind")


class Suppressor:
    """Suppresses the recipients of notifications, and writes to them again."""

    def __init__(self, dialect: str) -> None:
        self._add = Statement(dialect, _add(dialect))
        self._lift = Statement(dialect, _lift(dialect))

    async def add(self, session: Session, rows: Sequence[dict[str, Any]]) -> None:
        """Suppress each row's recipient: `id`, `kind`, `reason`, `source`."""
        if rows:
            await self._add.run(session, rows, "id", "kind")

    async def lift(self, session: Session, ids: Sequence[str]) -> None:
        """Forget that the recipients of these notifications wished for no more."""
        if ids:
            rows = [{"id": notification_id} for notification_id in ids]
            await self._lift.run(session, rows, "id")


def suppressed(dialect: str, transactional: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return whether a row's recipient is not written to: one probe of the table's key."""
    return exists(select(1).select_from(suppressions).where(_applies(dialect, transactional)))


def why(dialect: str, transactional: ColumnElement[bool]) -> Any:
    """Return the reason for it, where there is one; a fault comes before a wish."""
    return (
        select(_s.reason)
        .where(_applies(dialect, transactional))
        .order_by(_s.kind)
        .limit(1)
        .correlate_except(suppressions)
        .scalar_subquery()
    )


async def suppress(connection: AsyncConnection, given: Suppression) -> bool:
    """Keep a suppression; False when it is there already."""
    statement = (
        insert_into(connection.dialect.name, suppressions)
        .values(
            channel=given.channel,
            address=normal(given.channel, given.address),
            kind=given.kind,
            reason=given.reason,
            source=given.source,
            created_at=clock(),
        )
        .on_conflict_do_nothing(index_elements=KEY)
        .returning(_s.kind)
    )
    return (await connection.execute(statement)).one_or_none() is not None


async def unsuppress(
    connection: AsyncConnection,
    channel: Channel,
    address: str,
    kind: Kind | None,
    reasons: Sequence[Reason] = tuple(Reason),
) -> int:
    """Forget what is kept of an address for one of these reasons; return how much that was."""
    statement = delete(suppressions).where(
        _s.channel == channel,
        _s.address == normal(channel, address),
        _s.reason.in_(reasons),
    )
    if kind is not None:
        statement = statement.where(_s.kind == kind)
    return len((await connection.execute(statement.returning(_s.kind))).all())


async def find(
    connection: AsyncConnection,
    channel: Channel | None,
    address: str | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[Suppression], str | None]:
    """Return a page in the order of the key. Raises `ValueError` for a cursor of no page."""
    statement = select(suppressions).order_by(*(_s[name] for name in KEY)).limit(limit + 1)
    if channel is not None:
        statement = statement.where(_s.channel == channel)
    if address is not None:
        # in either case: only of emails it does not count
        wanted = {normal(each, address) for each in ([channel] if channel else Channel)}
        statement = statement.where(_s.address.in_(sorted(wanted)))
    if cursor is not None:
        after = [literal(value) for value in _read_cursor(cursor)]
        statement = statement.where(tuple_(*(_s[name] for name in KEY)) > tuple_(*after))
    rows = (await connection.execute(statement)).all()
    page = [_suppression(row) for row in rows[:limit]]
    return page, _cursor(page[-1]) if len(rows) > limit else None


def _suppression(row: Any) -> Suppression:
    return Suppression(
        Channel(row.channel),
        row.address,
        Kind(row.kind),
        Reason(row.reason),
        row.source,
        row.created_at,
    )


def _cursor(last: Suppression) -> str:
    document = json.dumps([last.channel, last.address, last.kind])
    return base64.urlsafe_b64encode(document.encode()).decode()


def _read_cursor(cursor: str) -> list[str]:
    try:
        values = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise ValueError("not a cursor of this listing") from error
    if not isinstance(values, list) or [type(value) for value in values] != [str] * len(KEY):
        raise ValueError("not a cursor of this listing")
    return values


def _address(dialect: str) -> ColumnElement[str]:
    """Return a row's recipient as suppressions hold it (`clarion.suppression.normal`)."""
    recipient: ColumnElement[str] = _n.recipient
    if dialect == "postgresql":
        # as the key compares; it lowers ASCII alone, as `normal` does
        recipient = collate(recipient, "C")
    return case((_n.channel == Channel.EMAIL, func.lower(recipient)), else_=recipient)


def _applies(dialect: str, transactional: ColumnElement[bool]) -> ColumnElement[bool]:
    return and_(
        _s.channel == _n.channel,
        _s.address == _address(dialect),
        or_(_s.kind == Kind.FAULT, ~transactional),
    )


def _add(dialect: str) -> Insert:
    told = incoming(dialect, {"id": TEXT, "kind": TEXT, "reason": TEXT, "source": TEXT})
    columns = (*KEY, "reason", "source", "created_at")
    rows = (
        select(
            _n.channel.label("channel"),
            _address(dialect).label("address"),
            told.c.kind,
            told.c.reason,
            told.c.source,
            clock().label("created_at"),
        )
        .join_from(told, notifications, _n.id == told.c.id)
        .subquery("told")
    )
    # sorted, whatever the join does: two batches never deadlock
    ordered = select(*(rows.c[name] for name in columns)).order_by(*(rows.c[name] for name in KEY))
    statement: Insert = (
        insert_into(dialect, suppressions)
        .from_select(columns, ordered)
        .on_conflict_do_nothing(index_elements=KEY)
    )
    return statement


def _lift(dialect: str) -> Delete:
    told = incoming(dialect, {"id": TEXT})
    recipients: Select[Any] = (
        select(1)
        .select_from(told)
        .join(notifications, _n.id == told.c.id)
        .where(_n.channel == _s.channel, _address(dialect) == _s.address)
        .correlate(suppressions)
    )
    return delete(suppressions).where(_s.kind == Kind.WISH, recipients.exists())
