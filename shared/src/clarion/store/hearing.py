"""Who wrote to us and when, and what they said of further messages.

A row for each message: told again it is refused by its key, and no order in which they are written
moves the latest one back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Delete, Select, delete, exists, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from clarion.inbound import Inbound, Wish
from clarion.notification import Channel, Reason
from clarion.store.clock import ago, clock
from clarion.store.incoming import DOUBLE, INTEGER, ROWS, TEXT, incoming, insert_into
from clarion.store.schema import inbound
from clarion.store.suppressing import suppress, unsuppress
from clarion.suppression import KINDS, Kind, Suppression, normal

KEPT_SECONDS = 3 * 86_400.0
"""How long it is remembered that somebody wrote: longer than a window, and than Twilio repeats."""

_PAGE = 200

_THEIRS = [
    reason
    for reason, kind in KINDS.items()
    if kind is Kind.WISH and reason is not Reason.SUPPRESSED
]
"""What a person may take back; `suppressed` is an operator's word."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked about, and within how many seconds they must have written."""

    channel: Channel
    address: str
    seconds: float


async def note(connection: AsyncConnection, given: Inbound) -> bool:
    """Keep one message and what it wishes, and forget some that are old; False when known."""
    if not await _wrote(connection, given.key, given.channel, given.address):
        return False
    for other in given.also:
        await _wrote(connection, f"{given.key} {other}", given.channel, other)
    # in one order, whichever form was told: two messages at once never deadlock
    for address in sorted({given.address, *given.also}):
        if given.wish is Wish.STOP:
            await suppress(connection, _suppression(given, address))
        elif given.wish is Wish.START:
            await unsuppress(connection, given.channel, address, Kind.WISH, _THEIRS)
    await connection.execute(forget_statement())
    return True


async def _wrote(connection: AsyncConnection, key: str, channel: Channel, address: str) -> bool:
    statement = (
        insert_into(connection.dialect.name, inbound)
        .values(key=key, channel=channel, address=normal(channel, address), at=clock())
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(inbound.c.key)
    )
    return (await connection.execute(statement)).one_or_none() is not None


async def open_windows(connection: AsyncConnection, asked: Sequence[Asked]) -> list[bool]:
    """Return of each whether they wrote in time."""
    rows = [
        {
            "number": number,
            "channel": one.channel,
            "address": normal(one.channel, one.address),
            "seconds": one.seconds,
        }
        for number, one in enumerate(asked)
    ]
    statement = windows_statement(connection.dialect.name)
    found = set((await connection.execute(statement, {ROWS: rows})).scalars())
    return [number in found for number in range(len(asked))]


def windows_statement(dialect: str) -> Select[Any]:
    """Return the query for those who wrote in time: one probe of an index for each."""
    columns: dict[str, TypeEngine[Any]] = {
        "number": INTEGER,
        "channel": TEXT,
        "address": TEXT,
        "seconds": DOUBLE,
    }
    asked = incoming(dialect, columns)
    return select(asked.c.number).where(
        exists(
            select(1)
            .select_from(inbound)
            .where(
                inbound.c.channel == asked.c.channel,
                inbound.c.address == asked.c.address,
                inbound.c.at > ago(asked.c.seconds),
            )
        )
    )


def forget_statement() -> Delete:
    """Return what deletes a page of what is old; another's page is passed by."""
    old = (
        select(inbound.c.key)
        .where(inbound.c.at < ago(literal(KEPT_SECONDS, DOUBLE)))
        .order_by(inbound.c.at)
        .limit(_PAGE)
        .with_for_update(skip_locked=True)
    )
    return delete(inbound).where(inbound.c.key.in_(old))


def _suppression(given: Inbound, address: str) -> Suppression:
    return Suppression(
        given.channel,
        address,
        Kind.WISH,
        Reason.UNSUBSCRIBED,
        given.source,
        datetime.now(UTC),
    )
