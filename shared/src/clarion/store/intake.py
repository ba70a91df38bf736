"""Accepting events: each stored once, whole, however many gateways are asked at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Insert, Select, literal_column, select

from clarion.errors import MessageIdConflict
from clarion.notification import Channel, Status
from clarion.store.base import Accepted, Intake
from clarion.store.clock import after, clock
from clarion.store.incoming import TEXT, firsts, incoming, insert_rows
from clarion.store.records import DECIDED, to_rows
from clarion.store.schema import notifications
from clarion.store.statement import Session, Statement

_n = notifications.c
BEGINNINGS = (Status.SCHEDULED, Status.ACCEPTED, Status.QUEUED)
"""What a notification may begin as."""

_Key = tuple[str, str]
_KEY = ("message_id", "producer", "ordinal")


class IntakeWriter:
    """Stores events; `grace` is how long, in seconds, the poll leaves one to its own gateway."""

    def __init__(self, dialect: str, *, grace: float) -> None:
        self._dialect = dialect
        self._insert = {
            status: Statement(dialect, _insert(dialect, status, float(grace)))
            for status in BEGINNINGS
        }
        self._existing = Statement(dialect, _existing(dialect))

    async def write(
        self, session: Session, intakes: list[Intake]
    ) -> list[list[Accepted] | MessageIdConflict]:
        """Return for each event its notifications, new or known, or the conflict."""
        first = firsts(intakes, _key)
        asked = [intakes[first[key]] for key in sorted(first)]
        if _is_one_statement(asked):
            new = await self._insert_new(session, asked)
        else:
            async with session.transaction():
                new = await self._insert_new(session, asked)
        won = {first[key] for key in new}
        known = await self._read(
            session,
            {_key(intake) for index, intake in enumerate(intakes) if index not in won},
        )
        return [
            _accepted(intake) if index in won else _known(intake, known[_key(intake)])
            for index, intake in enumerate(intakes)
        ]

    async def _insert_new(self, session: Session, intakes: list[Intake]) -> set[_Key]:
        """Insert each event's first notification, then the rest of those that were new.

        The first one decides: whoever inserts it inserts them all, so that an event is never half
        of one request and half of another.
        """
        won: set[_Key] = set()
        for status, insert in self._insert.items():
            rows = {
                _key(intake): to_rows(self._dialect, intake)
                for intake in intakes
                if intake.status is status
            }
            if not rows:
                continue
            heads = await insert.run(session, [event[0] for event in rows.values()], *_KEY)
            new = {(row.message_id, row.producer) for row in heads}
            tails = [row for key in rows if key in new for row in rows[key][1:]]
            if tails:
                await insert.run(session, tails, *_KEY)
            won |= new
        return won

    async def _read(self, session: Session, keys: set[_Key]) -> dict[_Key, list[Any]]:
        known: dict[_Key, list[Any]] = {}
        if keys:
            rows = [
                {"message_id": message_id, "producer": producer} for message_id, producer in keys
            ]
            for row in await self._existing.run(session, rows, "message_id", "producer"):
                known.setdefault((row.message_id, row.producer), []).append(row)
        return known


def begun(intake: Intake) -> Intake:
    """Return an event that may be taken in; raise `ValueError` for any other."""
    if intake.status not in BEGINNINGS or not intake.notifications:
        raise ValueError(
            "an event is taken in as scheduled, accepted or queued, and notifies somebody"
        )
    return intake


def _is_one_statement(intakes: list[Intake]) -> bool:
    one_each = all(len(intake.notifications) == 1 for intake in intakes)
    return one_each and len({intake.status for intake in intakes}) == 1


def _key(intake: Intake) -> _Key:
    return intake.message_id, intake.producer


def _accepted(intake: Intake) -> list[Accepted]:
    return [
        Accepted(new.notification_id, new.channel, intake.status, duplicate=False)
        for new in intake.notifications
    ]


def _known(intake: Intake, rows: Sequence[Any]) -> list[Accepted] | MessageIdConflict:
    if any(row.body_hash != intake.body_hash for row in rows):
        return MessageIdConflict(intake.message_id)
    return [
        Accepted(row.id, Channel(row.channel), Status(row.status), duplicate=True) for row in rows
    ]


def _insert(dialect: str, status: Status, grace: float) -> Insert:
    names = [*DECIDED]
    computed = {
        "attempt": literal_column("0"),
        "failures": literal_column("0"),
        "created_at": clock(),
        "updated_at": clock(),
    }
    if status is Status.SCHEDULED:
        names.append("publish_at")
    else:
        computed["publish_at"] = after(literal_column(repr(grace)))
    if status is Status.QUEUED:
        computed["queued_at"] = clock()
    statement: Insert = (
        insert_rows(dialect, notifications, names, computed)
        # another transaction's uncommitted row is waited for, and then either known or gone
        .on_conflict_do_nothing(index_elements=[_n.message_id, _n.producer, _n.ordinal])
        .returning(_n.message_id, _n.producer)
    )
    return statement


def _existing(dialect: str) -> Select[Any]:
    keys = incoming(dialect, {"message_id": TEXT, "producer": TEXT})
    return (
        select(_n.id, _n.message_id, _n.producer, _n.body_hash, _n.channel, _n.status)
        .join_from(
            keys,
            notifications,
            (_n.message_id == keys.c.message_id) & (_n.producer == keys.c.producer),
        )
        .order_by(_n.message_id, _n.producer, _n.ordinal)
    )
