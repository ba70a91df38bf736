"""Claiming a notification for one attempt, fenced by the attempt's number and a lease."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clarion.notification import FINAL, OnDoubt, Reason, Status
from clarion.store.base import Claim, Verdict
from clarion.store.claim_statements import again, claim, refused, start, suppress
from clarion.store.entries import EntryWriter
from clarion.store.incoming import firsts
from clarion.store.statement import Session, Statement


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Who wants to attempt which notification, and for how many seconds; see `Store.claim`."""

    notification_id: str
    worker: str
    lease: float
    grace: float = 0.0
    replay_no: int = 0
    transactional: bool = False


class StartWriter:
    """Claims rows that simply wait for their attempt: nearly all. One statement does it."""

    def __init__(self, dialect: str) -> None:
        self._start = Statement(dialect, start(dialect))

    async def write(self, session: Session, requests: list[ClaimRequest]) -> list[Claim | None]:
        """Return each request's claim; None for what `ClaimWriter` has to look at."""
        first = firsts(requests, lambda request: request.notification_id)
        rows = [_columns(requests[index]) for index in first.values()]
        won = {first[row.id]: row for row in await self._start.run(session, rows, "id")}
        return [_answer(won[index]) if index in won else None for index in range(len(requests))]


class ClaimWriter:
    """Claims rows, or says why not: many in one transaction."""

    def __init__(self, dialect: str) -> None:
        # the last is for what nobody may write to, the first for a claim whose answer was lost
        self._steps = [Statement(dialect, step(dialect)) for step in (again, claim, suppress)]
        self._refused = Statement(dialect, refused(dialect))
        self._entries = EntryWriter(dialect)

    async def write(self, session: Session, requests: list[ClaimRequest]) -> list[Claim]:
        """Return each request's verdict; of two for one row in a batch, the first wins."""
        async with session.transaction():
            return await self._write(session, requests)

    async def _write(self, session: Session, requests: list[ClaimRequest]) -> list[Claim]:
        first = firsts(requests, lambda request: request.notification_id)
        asked = [requests[index] for index in first.values()]
        taken: dict[str, Claim] = {}
        left = asked
        for step in self._steps:
            taken |= await self._take(session, step, left)
            left = [request for request in left if request.notification_id not in taken]
            if not left:
                break
        won = {first[notification_id]: claim for notification_id, claim in taken.items()}
        refused = await self._explain(
            session,
            {request.notification_id for index, request in enumerate(requests) if index not in won},
        )
        return [
            won.get(index) or _refusal(refused.get(request.notification_id), request)
            for index, request in enumerate(requests)
        ]

    async def _take(
        self, session: Session, statement: Statement, requests: list[ClaimRequest]
    ) -> dict[str, Claim]:
        taken = await statement.run(session, map(_columns, requests), "id")
        crashed = [
            # it ended when the next began: two readings of the clock might be out of order
            (row, row.attempt - 1, row.claimed_at)
            if row.status == Status.SENDING
            else (row, row.attempt, row.updated_at)
            for row in taken
            if row.previous == Status.SENDING
        ]
        await self._entries.crashed(session, crashed)
        # what ended here has no attempt that would tell it
        await self._entries.ended(
            session, [(row, {"reason": row.reason}) for row in taken if _ended(row)]
        )
        return {row.id: _answer(row) for row in taken}

    async def _explain(self, session: Session, ids: set[str]) -> dict[str, Any]:
        if not ids:
            return {}
        rows = [{"id": notification_id} for notification_id in ids]
        found = await self._refused.run(session, rows, "id")
        return {row.id: row for row in found}


def _columns(request: ClaimRequest) -> dict[str, Any]:
    return {
        "id": request.notification_id,
        "worker": request.worker,
        "lease": request.lease,
        "grace": request.grace,
        "replay_no": request.replay_no,
        "transactional": int(request.transactional),
    }


def _answer(row: Any) -> Claim:
    """Return the answer of a row that the claim has changed."""
    status = Status(row.status)
    if status is Status.SENDING:
        verdict = Verdict.CLAIMED
    elif row.lease_left is not None:
        verdict = Verdict.LEASED
    else:
        verdict = Verdict.ENDED
    return Claim(
        verdict,
        attempt=row.attempt,
        failures=row.failures,
        lease_left=row.lease_left or 0.0,
        status=status,
        reason=Reason(row.reason) if row.reason else None,
        on_doubt=OnDoubt(row.on_doubt),
    )


def _refusal(row: Any, request: ClaimRequest) -> Claim:
    if row is None:
        return Claim(Verdict.UNKNOWN)
    status = Status(row.status)
    held = status is Status.IN_DOUBT and row.on_doubt == OnDoubt.HOLD
    # a scheduled one comes by the publisher when it is due; this message is none of its own
    finished = held or status in FINAL or status is Status.SCHEDULED
    # and after a replay another message is on its way, with what was mended
    finished = finished or row.replay_no > request.replay_no
    return Claim(
        Verdict.FINISHED if finished else Verdict.LEASED,
        attempt=row.attempt,
        failures=row.failures,
        lease_left=max(row.lease_left or 0.0, 0.0),
        status=status,
        on_doubt=OnDoubt(row.on_doubt),
    )


def _ended(row: Any) -> bool:
    return row.reason == Reason.EXPIRED or row.status in (Status.SUPPRESSED, Status.FAILED)
