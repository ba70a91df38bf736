"""The store in PostgreSQL or SQLite: wires each verb to its statements and its batcher."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from loguru import logger
from sqlalchemy import text

from clarion.errors import ClarionError, RowRefused
from clarion.inbound import Inbound
from clarion.notification import Channel, Lane, Notification, Reason
from clarion.receipt import Receipt
from clarion.store import (
    cancelling,
    dead_letters,
    hearing,
    inquiring,
    listing,
    pruning,
    publishing,
    suppressing,
)
from clarion.store.base import (
    Accepted,
    Claim,
    Confirmed,
    Intake,
    NotificationHistory,
    NotificationRecord,
    Outcome,
    Page,
    Pruned,
    Query,
    ReceiptResult,
    Retention,
)
from clarion.store.batcher import Batcher
from clarion.store.claims import ClaimRequest, ClaimWriter, StartWriter
from clarion.store.database import Database
from clarion.store.dialogue import Silent
from clarion.store.intake import IntakeWriter, begun
from clarion.store.letters import DeadGroups, DeadQuery, Replay
from clarion.store.outcomes import OutcomeWriter, Surrender, SurrenderWriter, check
from clarion.store.publishing import QueuedWriter
from clarion.store.receipts import ReceiptWriter
from clarion.store.replaying import DiscardWriter, ReplayWriter
from clarion.store.sql_callbacks import SqlCallbacks
from clarion.store.statement import Session
from clarion.suppression import Kind, Suppression

Row = TypeVar("Row")
Result = TypeVar("Result")


RECEIPTS = 1000
"""How many receipts share one transaction."""

_GAP = 0.04  # seconds between batches of who is busy: at 2,000 messages a second, 80 rows each

_LINGER = 0.1
"""Seconds for which marks gather: by then a worker has most of those notifications, and there is
nothing left to mark. It is far less than the poll leaves a notification to its gateway."""

_ARRAYS = 2  # arrays of receipts under way at a time: the other writes need connections too


class SqlStore(SqlCallbacks):
    """Keeps notifications in one SQL database; `grace` is seconds, see `IntakeWriter`."""

    def __init__(self, database: Database, *, grace: float = 5.0) -> None:
        super().__init__(database)
        dialect = database.dialect
        self._accept = self._batcher("accept", IntakeWriter(dialect, grace=grace).write)
        self._queued = self._batcher("mark_queued", QueuedWriter(dialect).write, linger=_LINGER)
        self._start = self._batcher("start", StartWriter(dialect).write, gap=_GAP)
        self._claim = self._batcher("claim", ClaimWriter(dialect).write, gap=_GAP)
        self._record = self._batcher("record", OutcomeWriter(dialect).write, gap=_GAP)
        self._give_up = self._batcher("give_up", SurrenderWriter(dialect).write)
        self._receipts = ReceiptWriter(dialect)
        self._receipt = self._batcher("note_receipts", self._receipts.write)
        self._window: Batcher[hearing.Asked, bool] = Batcher("wrote_within", self._windows)
        self._arrays = asyncio.Semaphore(_ARRAYS)
        self._replay = ReplayWriter(dialect)
        self._discard = DiscardWriter(dialect)

    async def accept(self, intake: Intake) -> list[Accepted]:
        """See `Store`."""
        return await self._accept.submit(begun(intake))

    async def accept_all(self, intakes: Sequence[Intake]) -> list[list[Accepted] | ClarionError]:
        """See `Store`."""
        return await self._accept.submit_all(map(begun, intakes))

    async def mark_queued(self, confirmed: Sequence[Confirmed]) -> list[bool | ClarionError]:
        """See `Store`."""
        return await self._queued.submit_all(confirmed)

    async def take_due(
        self, limit: int, lease: float, *, without: Collection[Lane] = ()
    ) -> list[Notification]:
        """See `Store`."""
        async with self._database.write() as connection:
            return await publishing.take_due(connection, limit, lease, without)

    async def unfinished(self, after: str, limit: int) -> list[Notification]:
        """See `Store`."""
        async with self._database.read() as connection:
            return await publishing.unfinished(connection, after, limit)

    async def claim(
        self,
        notification_id: str,
        *,
        worker: str,
        lease: float,
        grace: float = 0.0,
        replay_no: int = 0,
        transactional: bool = False,
    ) -> Claim:
        """See `Store`."""
        request = ClaimRequest(notification_id, worker, lease, grace, replay_no, transactional)
        # nearly all of them are plain; what is not waits for a batch of its own, so that whatever
        # becomes of that takes no claim back
        return await self._start.submit(request) or await self._claim.submit(request)

    async def record(self, outcome: Outcome) -> bool:
        """See `Store`."""
        check(outcome)
        return await self._record.submit(outcome)

    async def give_up(
        self, notification_id: str, reason: Reason, text: str, *, replay_no: int | None = None
    ) -> bool:
        """See `Store`."""
        return await self._give_up.submit(Surrender(notification_id, reason, text, replay_no))

    async def cancel(self, notification_id: str, by: str) -> bool:
        """See `Store`."""
        async with self._database.write() as connection:
            return await cancelling.cancel(connection, notification_id, by)

    async def note_receipts(self, receipts: Sequence[Receipt]) -> list[ReceiptResult]:
        """See `Store`."""
        if len(receipts) == 1:
            # callbacks come one by one, and many at a time
            return [await _unless_refused(self._receipt.submit(receipts[0]))]
        results: list[ReceiptResult] = []
        for start in range(0, len(receipts), RECEIPTS):
            part = list(receipts[start : start + RECEIPTS])
            async with self._arrays:
                written = await self._database.write_rows(self._receipts.write, part)
            results += [_refused(one) if isinstance(one, ClarionError) else one for one in written]
        return results

    async def suppress(self, given: Suppression) -> bool:
        """See `Store`."""
        async with self._database.write() as connection:
            return await suppressing.suppress(connection, given)

    async def unsuppress(self, channel: Channel, address: str, kind: Kind | None = None) -> int:
        """See `Store`."""
        async with self._database.write() as connection:
            return await suppressing.unsuppress(connection, channel, address, kind)

    async def suppressions(
        self,
        *,
        channel: Channel | None = None,
        address: str | None = None,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Suppression], str | None]:
        """See `Store`."""
        async with self._database.read() as connection:
            return await suppressing.find(connection, channel, address, limit, cursor)

    async def note_inbound(self, inbound: Inbound) -> bool:
        """See `InboundStore`."""
        async with self._database.write() as connection:
            return await hearing.note(connection, inbound)

    async def wrote_within(self, channel: Channel, address: str, seconds: float) -> bool:
        """See `InboundStore`."""
        return await self._window.submit(hearing.Asked(channel, address, seconds))

    async def take_silent(
        self, channel: Channel, provider: str, *, after: float, until: float, limit: int
    ) -> list[Silent]:
        """See `InquiryStore`."""
        async with self._database.write() as connection:
            return await inquiring.take(connection, channel, provider, until, after, limit)

    async def ask_again(self, ids: Collection[str], seconds: float | None) -> None:
        """See `InquiryStore`."""
        async with self._database.write() as connection:
            await inquiring.ask_again(connection, ids, seconds)

    async def get(self, notification_id: str) -> NotificationHistory | None:
        """See `Store`."""
        try:
            async with self._database.read() as connection:
                return await listing.get(connection, notification_id)
        except RowRefused:
            return None  # what the database cannot hold, it does not hold

    async def find(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        """See `Store`."""
        try:
            async with self._database.read() as connection:
                return await listing.find(connection, query, limit, cursor)
        except RowRefused:
            return Page((), None)

    async def dead_groups(self, query: DeadQuery) -> DeadGroups:
        """See `Store`."""
        async with self._database.read() as connection:
            return await dead_letters.groups(connection, query)

    async def dead_by_channel(self) -> dict[Channel, int]:
        """See `Store`."""
        async with self._database.read() as connection:
            return await dead_letters.count_by_channel(connection)

    async def count_dead(self, query: DeadQuery, *, after: str = "") -> int:
        """See `Store`."""
        async with self._database.read() as connection:
            return await dead_letters.count(connection, query, after)

    async def find_dead(self, query: DeadQuery, *, limit: int, cursor: str | None = None) -> Page:
        """See `Store`."""
        async with self._database.read() as connection:
            return await dead_letters.page(connection, query, limit, cursor)

    async def next_dead(
        self, query: DeadQuery, *, after: str, limit: int
    ) -> list[NotificationRecord]:
        """See `Store`."""
        async with self._database.read() as connection:
            return await dead_letters.following(connection, query, after, limit)

    async def records(self, ids: Collection[str]) -> dict[str, NotificationRecord]:
        """See `Store`."""
        async with self._database.read() as connection:
            return await dead_letters.records(connection, ids)

    async def replay(
        self, replays: Sequence[Replay], *, by: str, rate: float | None = None
    ) -> list[datetime | None]:
        """See `Store`."""
        write = partial(self._replay.write, by=by, rate=rate)
        return await self._database.write_together(self._database.write, write, list(replays))

    async def replays_until(self) -> datetime | None:
        """See `Store`."""
        async with self._database.read() as connection:
            return await dead_letters.replays_until(connection)

    async def discard(self, letters: Sequence[NotificationRecord], *, by: str) -> list[bool]:
        """See `Store`."""
        write = partial(self._discard.write, by=by)
        return await self._database.write_together(self._database.write, write, list(letters))

    async def oldest_queued(self) -> dict[Lane, float]:
        """See `Store`."""
        async with self._database.read() as connection:
            return await publishing.oldest_queued(connection)

    async def unpublished(self) -> int:
        """See `Store`."""
        async with self._database.read() as connection:
            return await publishing.unpublished(connection)

    async def prune(self, start: str, keep: Retention, limit: int) -> Pruned:
        """See `Store`."""
        async with self._database.write() as connection:
            return await pruning.prune(connection, self._database.dialect, start, keep, limit)

    async def ping(self) -> None:
        """See `Store`."""
        async with self._database.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """See `Store`."""
        for batcher in (
            self._accept,
            self._queued,
            self._start,
            self._claim,
            self._record,
            self._give_up,
            self._receipt,
            self._window,
        ):
            await batcher.close()
        await super().close()

    async def _windows(self, asked: list[hearing.Asked]) -> list[bool]:
        async with self._database.read() as connection:
            return await hearing.open_windows(connection, asked)

    def _batcher(
        self,
        operation: str,
        write: Callable[[Session, list[Row]], Awaitable[Sequence[Result | ClarionError]]],
        *,
        gap: float = 0.0,
        linger: float = 0.0,
    ) -> Batcher[Row, Result]:
        write_rows = partial(self._database.write_rows, write)
        return Batcher(operation, write_rows, gap=gap, linger=linger)


async def _unless_refused(written: Awaitable[ReceiptResult]) -> ReceiptResult:
    try:
        return await written
    except RowRefused as error:
        return _refused(error)


def _refused(error: ClarionError) -> ReceiptResult:
    logger.bind(error=str(error)).warning("a receipt cannot be held")
    return ReceiptResult.REFUSED
