"""Recording what became of an attempt, and giving up what never had one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Insert, Select, Update, and_, case, func, or_, select, update
from sqlalchemy.sql.expression import FromClause
from sqlalchemy.types import TypeEngine

from clarion.notification import TRANSITIONS, OnDoubt, Reason, Status, sources
from clarion.store.base import Outcome
from clarion.store.claim_statements import lease_is_over, remember_claim
from clarion.store.clock import after, clock
from clarion.store.entries import EntryWriter
from clarion.store.incoming import DOUBLE, INTEGER, TEXT, firsts, incoming
from clarion.store.schema import attempts, guarded_status, notifications
from clarion.store.statement import Session, Statement
from clarion.store.suppressing import Suppressor
from clarion.suppression import AT_ONCE, KINDS

_n = notifications.c

_Key = tuple[str, int]

_BY_RECEIPT = (Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.UNDELIVERED)


def check(outcome: Outcome) -> None:
    """Raise `ValueError` for an outcome that no attempt can have."""
    if outcome.status not in TRANSITIONS[Status.SENDING]:
        raise ValueError(f"an attempt cannot end as {outcome.status}")


class OutcomeWriter:
    """Records outcomes: the row and the attempt, or neither when another worker has the claim."""

    def __init__(self, dialect: str) -> None:
        self._steps = [Statement(dialect, step) for step in _steps(dialect)]
        self._written = Statement(dialect, _written(dialect))
        self._suppressor = Suppressor(dialect)

    async def write(self, session: Session, outcomes: list[Outcome]) -> list[bool]:
        """Return for each outcome whether it stands."""
        first = firsts(outcomes, _key)
        rows = {index: _columns(outcomes[index]) for index in first.values()}
        refusals = {index: row for index in rows if (row := _suppression(outcomes[index]))}
        if refusals or len(self._steps) > 1:
            async with session.transaction():
                won = await self._write(session, rows, first)
                refused = [refusals[index] for index in won if index in refusals]
                await self._suppressor.add(session, refused)
        else:
            won = await self._write(session, rows, first)
        # a commit whose answer was lost is written again by its worker: that is no other's claim
        written = await self._read(
            session,
            {_key(outcome) for index, outcome in enumerate(outcomes) if index not in won},
        )
        return [
            index in won or written.get(_key(outcome)) == (outcome.status, outcome.reason)
            for index, outcome in enumerate(outcomes)
        ]

    async def _write(
        self, session: Session, rows: dict[int, dict[str, Any]], first: dict[_Key, int]
    ) -> set[int]:
        for step in self._steps:
            if not rows:
                break
            done = await step.run(session, rows.values(), "id", "attempt")
            rows = {index: rows[index] for index in (first[row.id, row.attempt] for row in done)}
        return set(rows)

    async def _read(self, session: Session, keys: set[_Key]) -> dict[_Key, tuple[str, str | None]]:
        if not keys:
            return {}
        rows = [{"id": notification_id, "attempt": attempt} for notification_id, attempt in keys]
        found = await self._written.run(session, rows, "id", "attempt")
        return {(row.notification_id, row.attempt): (row.status, row.reason) for row in found}


@dataclass(frozen=True, slots=True)
class Surrender:
    """A notification to give up without an attempt, and why; `replay_no` as in ClaimRequest, None
    whichever it has."""

    notification_id: str
    reason: Reason
    text: str
    replay_no: int | None = None


class SurrenderWriter:
    """Gives up rows that no live worker holds."""

    def __init__(self, dialect: str) -> None:
        self._give_up = Statement(dialect, _give_up(dialect))
        self._entries = EntryWriter(dialect)

    async def write(self, session: Session, surrenders: list[Surrender]) -> list[bool]:
        """Return for each whether it was given up; of two for one row, the first."""
        async with session.transaction():
            return await self._write(session, surrenders)

    async def _write(self, session: Session, surrenders: list[Surrender]) -> list[bool]:
        first = firsts(surrenders, lambda item: item.notification_id)
        rows = [
            {
                "id": notification_id,
                "reason": surrenders[index].reason,
                "replay_no": surrenders[index].replay_no,
            }
            for notification_id, index in first.items()
        ]
        failed = await self._give_up.run(session, rows, "id")
        crashed = [row for row in failed if row.previous == Status.SENDING]
        await self._entries.crashed(
            session, [(row, row.attempt, row.updated_at) for row in crashed]
        )
        await self._entries.ended(
            session, [(row, _detail(surrenders[first[row.id]])) for row in failed]
        )
        won = {first[row.id] for row in failed}
        return [index in won for index in range(len(surrenders))]


def _key(outcome: Outcome) -> _Key:
    return outcome.notification_id, outcome.attempt


def _columns(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.notification_id,
        "attempt": outcome.attempt,
        "status": outcome.status,
        "spent": int(outcome.spent and outcome.status is not Status.SENT),
        "reason": outcome.reason,
        "provider": outcome.provider,
        "provider_message_id": outcome.provider_message_id,
        "provider_code": outcome.provider_code,
        "provider_text": outcome.provider_text,
        "duration_ms": outcome.duration_ms,
        "retry_in": outcome.retry_in,
        "gives_up": int(outcome.gives_up),
    }


def _suppression(outcome: Outcome) -> dict[str, Any] | None:
    """Return what a refusal says of its recipient for good, if it does."""
    reason = outcome.reason
    if outcome.status is not Status.FAILED or reason not in AT_ONCE:
        return None
    return {
        "id": outcome.notification_id,
        "kind": KINDS[reason],
        "reason": reason,
        "source": f"{outcome.provider} {outcome.provider_code or 'refused'}",
    }


def _detail(surrender: Surrender) -> dict[str, Any]:
    return {"reason": surrender.reason, "text": surrender.text}


_TOLD: dict[str, TypeEngine[Any]] = {
    "id": TEXT,
    "attempt": INTEGER,
    "status": TEXT,
    "spent": INTEGER,
    "reason": TEXT,
    "provider": TEXT,
    "provider_message_id": TEXT,
    "provider_code": TEXT,
    "provider_text": TEXT,
    "duration_ms": DOUBLE,
    "retry_in": DOUBLE,
    "gives_up": INTEGER,
}
_OWN = (_n.id, _n.attempt, _n.claimed_at, _n.updated_at, _n.worker)
_AS_TOLD = (
    *("status", "reason", "provider", "provider_message_id", "provider_code", "provider_text"),
    *("duration_ms", "retry_in"),
)


def _steps(dialect: str) -> list[Insert | Update]:
    if dialect == "postgresql":
        return [record_and_finish()]
    recorded = _record(incoming(dialect, _TOLD)).returning(_n.id, _n.attempt)
    return [recorded, _finish()]


def _record(outcome: FromClause) -> Update:
    # a receipt was faster than its worker: the lease is still there, and the receipt's word stands
    early = and_(guarded_status().in_(_BY_RECEIPT), _n.lease_until.is_not(None))
    return (
        update(notifications)
        .values(
            status=case((early, _n.status), else_=outcome.c.status),
            failures=_n.failures + outcome.c.spent,
            reason=case((early, _n.reason), else_=outcome.c.reason),
            provider=outcome.c.provider,
            provider_message_id=func.coalesce(
                outcome.c.provider_message_id, case((early, _n.provider_message_id))
            ),
            provider_code=case((early, _n.provider_code), else_=outcome.c.provider_code),
            provider_text=case((early, _n.provider_text), else_=outcome.c.provider_text),
            # no copy of the message starts the next attempt early, however it comes back
            lease_until=case((early, None), else_=after(outcome.c.retry_in)),
            updated_at=clock(),
            dead_at=case((early, None), (outcome.c.gives_up == 1, clock())),
        )
        # only the holder of the claim writes its outcome, and `check` knows what may follow
        .where(
            _n.id == outcome.c.id,
            _n.attempt == outcome.c.attempt,
            or_(guarded_status() == Status.SENDING, early),
        )
    )


def _finish() -> Insert:
    """Return SQLite's second statement: it keeps the attempts whose outcomes were just written."""
    outcome = incoming("sqlite", _TOLD)
    told = (outcome.c[name] for name in _AS_TOLD)
    rows = select(*_OWN, *told).join_from(outcome, notifications, _n.id == outcome.c.id)
    return _keep(rows)


def record_and_finish() -> Insert:
    """Return PostgreSQL's one statement: no transaction around it, no way back in between."""
    outcome = incoming("postgresql", _TOLD)
    told = (outcome.c[name].label(f"told_{name}") for name in _AS_TOLD)
    recorded = _record(outcome).returning(*_OWN, *told).cte("recorded")
    return _keep(select(recorded))


def _keep(rows: Select[Any]) -> Insert:
    columns = ("notification_id", "attempt", "started_at", "finished_at", "worker", *_AS_TOLD)
    return (
        attempts.insert()
        .from_select(columns, rows)
        .returning(attempts.c.notification_id.label("id"), attempts.c.attempt)
    )


def _written(dialect: str) -> Select[Any]:
    asked = incoming(dialect, {"id": TEXT, "attempt": INTEGER})
    columns = attempts.c
    return select(
        columns.notification_id, columns.attempt, columns.status, columns.reason
    ).join_from(
        asked,
        attempts,
        and_(columns.notification_id == asked.c.id, columns.attempt == asked.c.attempt),
    )


def _give_up(dialect: str) -> Update:
    given_up = incoming(dialect, {"id": TEXT, "reason": TEXT, "replay_no": INTEGER})
    idle = [status for status in sources(Status.FAILED) if status is not Status.SENDING]
    return (
        update(notifications)
        .values(
            **remember_claim(),
            status=Status.FAILED,
            reason=given_up.c.reason,
            lease_until=None,
            updated_at=clock(),
            dead_at=clock(),
        )
        .where(
            _n.id == given_up.c.id,
            or_(given_up.c.replay_no.is_(None), _n.replay_no <= given_up.c.replay_no),
            or_(guarded_status().in_(idle), lease_is_over()),
            # what is held in doubt may have been sent: a receipt or an operator says
            or_(_n.status != Status.IN_DOUBT, _n.on_doubt != OnDoubt.HOLD),
        )
        .returning(
            _n.id,
            _n.status,
            _n.attempt,
            _n.previous,
            _n.previous_worker,
            _n.previous_claimed_at,
            _n.updated_at,
        )
    )
