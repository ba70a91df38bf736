"""Noting receipts, each once, and what they make of their notifications' statuses.

A batch is one transaction: the receipts that are new, the statuses that they move, and the
addresses that they suppress. Whoever tells them again finds all of it done, or none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Insert, Select, Update, and_, case, func, or_, select, update
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.types import TypeEngine

from clarion.notification import Status
from clarion.receipt import RANKS, Fact, Receipt, standing, waves
from clarion.store.base import ReceiptResult
from clarion.store.clock import clock
from clarion.store.incoming import (
    INTEGER,
    MOMENT,
    TEXT,
    firsts,
    incoming,
    insert_into,
    moment,
)
from clarion.store.schema import notifications, receipts
from clarion.store.statement import Session, Statement
from clarion.store.suppressing import Suppressor

_n = notifications.c


class ReceiptWriter:
    """Writes receipts, many in one transaction."""

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._note = Statement(dialect, _note(dialect))
        self._known = Statement(dialect, _known(dialect))
        self._move = Statement(dialect, _move(dialect))
        self._suppressor = Suppressor(dialect)

    async def write(self, session: Session, told: list[Receipt]) -> list[ReceiptResult]:
        """Return what became of each; of two with one key in a batch, the first counts."""
        async with session.transaction():
            return await self._write(session, told)

    async def _write(self, session: Session, told: list[Receipt]) -> list[ReceiptResult]:
        first = firsts(told, lambda receipt: receipt.key)
        new = await self._noted(session, [told[index] for index in first.values()])
        moved: set[str] = set()
        for wave in waves(new):
            moved |= await self._moved(session, wave)
        await self._address(session, new)
        fresh = {receipt.key for receipt in new}
        known = await self._existing(
            session, {receipt.notification_id for receipt in told if receipt.key not in fresh}
        )
        return [
            _result(receipt, first[receipt.key] == index, receipt.key in fresh, moved, known)
            for index, receipt in enumerate(told)
        ]

    async def _noted(self, session: Session, told: list[Receipt]) -> list[Receipt]:
        """Keep the receipts that are new, and return those."""
        rows = [self._row(receipt) for receipt in told]
        keys = {row.key for row in await self._note.run(session, rows, "key")}
        return [receipt for receipt in told if receipt.key in keys]

    async def _moved(self, session: Session, wave: dict[str, Receipt]) -> set[str]:
        """Apply one receipt for each notification; return the keys of those that counted."""
        rows = [self._change(receipt) for receipt in wave.values()]
        moved = await self._move.run(session, rows, "id")
        return {wave[row.id].key for row in moved if row.previous != row.status}

    async def _address(self, session: Session, new: list[Receipt]) -> None:
        suppressing = [
            {
                "id": one.notification_id,
                "kind": one.suppresses,
                "reason": one.reason,
                "source": f"{one.provider} {one.fact}",
            }
            for one in new
            if one.suppresses is not None
        ]
        await self._suppressor.add(session, suppressing)
        lifting = [one.notification_id for one in new if one.fact is Fact.RESUBSCRIBED]
        await self._suppressor.lift(session, lifting)

    async def _existing(self, session: Session, ids: set[str]) -> set[str]:
        if not ids:
            return set()
        rows = [{"id": notification_id} for notification_id in ids]
        return {row.id for row in await self._known.run(session, rows, "id")}

    def _row(self, receipt: Receipt) -> dict[str, Any]:
        return {
            "key": receipt.key,
            "notification_id": receipt.notification_id,
            "attempt": receipt.attempt,
            "provider": receipt.provider,
            "fact": receipt.fact,
            "at": moment(self._dialect, receipt.at),
            "provider_message_id": receipt.provider_message_id,
            "reason": receipt.reason,
            "code": receipt.code,
            "text": receipt.text,
        }

    def _change(self, receipt: Receipt) -> dict[str, Any]:
        told = standing(receipt)
        if told is None:
            raise ValueError(f"{receipt.fact} leaves the status alone")
        return {
            "id": receipt.notification_id,
            "attempt": receipt.attempt,
            "status": told.status,
            "rank": told.rank,
            "at": moment(self._dialect, told.at),
            "reason": receipt.reason,
            "provider": receipt.provider,
            "provider_message_id": receipt.provider_message_id,
            "code": receipt.code,
            "text": receipt.text,
        }


def _result(
    receipt: Receipt, first: bool, new: bool, moved: Iterable[str], known: Iterable[str]
) -> ReceiptResult:
    if new and first:
        return ReceiptResult.MOVED if receipt.key in moved else ReceiptResult.NOTED
    told_before = new or receipt.notification_id in known
    return ReceiptResult.DUPLICATE if told_before else ReceiptResult.UNKNOWN


_TOLD: dict[str, TypeEngine[Any]] = {
    "key": TEXT,
    "notification_id": TEXT,
    "attempt": INTEGER,
    "provider": TEXT,
    "fact": TEXT,
    "at": MOMENT,
    "provider_message_id": TEXT,
    "reason": TEXT,
    "code": TEXT,
    "text": TEXT,
}


def _note(dialect: str) -> Insert:
    told = incoming(dialect, _TOLD)
    names = list(_TOLD)
    rows = (
        select(*(told.c[name] for name in names), clock())
        .join_from(told, notifications, _n.id == told.c.notification_id)
        # in the order of their keys, whatever the join does: two batches never deadlock
        .order_by(told.c.key)
    )
    statement: Insert = (
        insert_into(dialect, receipts)
        .from_select([*names, "received_at"], rows)
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(receipts.c.key)
    )
    return statement


def _known(dialect: str) -> Select[Any]:
    asked = incoming(dialect, {"id": TEXT})
    return select(_n.id).join_from(asked, notifications, _n.id == asked.c.id)


def _move(dialect: str) -> Update:
    told = incoming(
        dialect,
        {
            "id": TEXT,
            "attempt": INTEGER,
            "status": TEXT,
            "rank": INTEGER,
            "at": MOMENT,
            "reason": TEXT,
            "provider": TEXT,
            "provider_message_id": TEXT,
            "code": TEXT,
            "text": TEXT,
        },
    )
    return (
        update(notifications)
        .values(
            previous=_n.status,
            status=told.c.status,
            receipt_at=told.c.at,
            reason=told.c.reason,
            provider=func.coalesce(_n.provider, told.c.provider),
            provider_message_id=func.coalesce(_n.provider_message_id, told.c.provider_message_id),
            provider_code=told.c.code,
            provider_text=told.c.text,
            # its worker may still come to record the attempt, however many receipts were faster: by
            # this it finds its row; what waited for another attempt waits no more
            lease_until=case(
                (_n.status.in_([Status.RETRYING, Status.IN_DOUBT]), None), else_=_n.lease_until
            ),
            # what was settled is nobody's to look after, and nobody's to send again
            dead_at=None,
            updated_at=clock(),
        )
        .where(_n.id == told.c.id, _counts(told.c), _beats(told.c))
        .returning(_n.id, _n.status, _n.previous)
    )


def _counts(told: Any) -> ColumnElement[bool]:
    """Return whether the row's attempt is the one that the receipt is about, or that is all one."""
    return or_(
        # it arrived: whichever attempt it was, another must not follow
        told.status == Status.DELIVERED,
        and_(
            _n.attempt == told.attempt,
            # a replay that waits to be sent is no more about that attempt
            _n.status.not_in([Status.ACCEPTED, Status.QUEUED]),
            or_(
                told.status != Status.SENT,
                _n.status.in_([Status.SENDING, Status.RETRYING, Status.IN_DOUBT]),
            ),
        ),
    )


def _beats(told: Any) -> ColumnElement[bool]:
    """Return `Standing.beats` in SQL."""
    held = case(
        *(
            (_n.status.in_([status for status in Status if RANKS[status] == rank]), rank)
            for rank in sorted(set(RANKS.values()), reverse=True)
            if rank
        ),
        else_=0,
    )
    return or_(
        held < told.rank,
        and_(
            held == told.rank,
            or_(
                and_(_n.receipt_at.is_(None), told.at.is_not(None)),
                _n.receipt_at < told.at,
                and_(
                    _n.receipt_at == told.at,
                    told.status == Status.BOUNCED,
                    _n.status == Status.DELIVERED,
                ),
            ),
        ),
    )
