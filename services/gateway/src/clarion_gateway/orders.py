"""Carrying out an order on dead letters, a batch at a time, as far as one request may take."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from clarion.errors import StoreUnavailable
from clarion.metrics import REPLAYS
from clarion.store.base import NotificationRecord
from clarion.store.letters import DeadLetterStore, DeadQuery, Replay
from clarion.templates import TemplateRepository
from clarion_gateway.dead_letter_models import MOST_IDS, Skip
from clarion_gateway.mending import Mending, mend, skip

BATCH = 200
"""Letters in one transaction; each may carry a payload of up to 1 MiB."""
BUDGET_SECONDS = 5.0
"""After this no other batch is begun: the rest is for the next request."""

_MOVED_ON = "somebody replayed or discarded it meanwhile"


@dataclass(frozen=True, slots=True)
class Selection:
    """The letters that an order is for: those of `ids`, or of the query beyond the id `after`."""

    ids: tuple[str, ...] | None
    query: DeadQuery
    after: str = ""
    limit: int | None = None


@dataclass(slots=True)
class Tally:
    """What an order came to so far; `interrupted` where the database went away."""

    matched: int = 0
    looked_at: int = 0
    done: int = 0
    skipped: int = 0
    skips: list[Skip] = field(default_factory=list)
    last: str | None = None
    until: datetime | None = None
    interrupted: bool = False

    @property
    def remaining(self) -> int:
        """How many letters were matched and not looked at."""
        return max(self.matched - self.looked_at, 0)

    def leave(self, skips: Sequence[Skip]) -> None:
        """Count letters that are left as they are."""
        self.skipped += len(skips)
        self.skips += skips[: MOST_IDS - len(self.skips)]


class Action(ABC):
    """What is done to each batch of letters."""

    @abstractmethod
    async def carry_out(self, letters: list[NotificationRecord], tally: Tally) -> None:
        """Do it in one transaction, and count what became of the letters."""


class Replays(Action):
    """Sends letters again, `rate` a second; nothing is changed in a `dry_run`."""

    def __init__(
        self,
        store: DeadLetterStore,
        templates: TemplateRepository,
        mending: Mending,
        *,
        by: str,
        rate: float | None,
        dry_run: bool,
    ) -> None:
        self._store = store
        self._templates = templates
        self._mending = mending
        self._by = by
        self._rate = rate
        self._dry_run = dry_run

    async def carry_out(self, letters: list[NotificationRecord], tally: Tally) -> None:
        """See `Action`."""
        now = datetime.now(UTC)
        checked = [mend(each, self._mending, self._templates, now) for each in letters]
        tally.leave([each for each in checked if isinstance(each, Skip)])
        replays = [each for each in checked if isinstance(each, Replay)]
        if self._dry_run:
            await self._foresee(len(replays), tally)
            return
        due = await self._store.replay(replays, by=self._by, rate=self._rate)
        channels = {
            each.notification.notification_id: each.notification.channel for each in letters
        }
        for replay, at in zip(replays, due, strict=True):
            if at is None:
                tally.leave([skip(replay.notification_id, "moved_on", _MOVED_ON)])
                continue
            tally.done += 1
            REPLAYS.labels(channels[replay.notification_id]).inc()
            if self._rate is not None:
                tally.until = at if tally.until is None else max(tally.until, at)

    async def _foresee(self, count: int, tally: Tally) -> None:
        tally.done += count
        if self._rate is not None and count:
            if tally.until is None:
                last = await self._store.replays_until()
                # the first one's turn is now, or after the last one that waits
                tally.until = last or datetime.now(UTC) - timedelta(seconds=1 / self._rate)
            tally.until += timedelta(seconds=count / self._rate)


class Discards(Action):
    """Takes letters off the list."""

    def __init__(self, store: DeadLetterStore, *, by: str, dry_run: bool) -> None:
        self._store = store
        self._by = by
        self._dry_run = dry_run

    async def carry_out(self, letters: list[NotificationRecord], tally: Tally) -> None:
        """See `Action`."""
        if self._dry_run:
            tally.done += len(letters)
            return
        done = await self._store.discard(letters, by=self._by)
        tally.done += sum(done)
        tally.leave(
            [
                skip(letter.notification.notification_id, "moved_on", _MOVED_ON)
                for letter, discarded in zip(letters, done, strict=True)
                if not discarded
            ]
        )


async def fulfil(
    store: DeadLetterStore,
    selection: Selection,
    action: Action,
    *,
    patience: float,
    budget: float = BUDGET_SECONDS,
) -> Tally:
    """Carry an order out until it is done, or `budget` seconds are over; `patience` ends waiting.

    Raises `StoreUnavailable` where nothing could be done at all.
    """
    tally = Tally()
    begun = time.monotonic()
    try:
        async with (
            asyncio.timeout(patience),
            aclosing(_batches(store, selection, tally)) as batches,
        ):
            async for letters in batches:
                await action.carry_out(letters, tally)
                tally.looked_at += len(letters)
                tally.last = letters[-1].notification.notification_id
                if time.monotonic() - begun > budget:
                    break
    except (StoreUnavailable, TimeoutError) as error:
        if not tally.looked_at:
            raise StoreUnavailable("the database did not answer in time") from error
        tally.interrupted = True
    return tally


async def _batches(
    store: DeadLetterStore, selection: Selection, tally: Tally
) -> AsyncGenerator[list[NotificationRecord], None]:
    def room() -> int:
        left = BATCH if selection.limit is None else selection.limit - tally.done
        return min(BATCH, left)

    if selection.ids is not None:
        letters = await _named(store, selection.ids, tally)
        tally.matched = len(letters)
        while (size := room()) > 0 and (batch := letters[:size]):
            del letters[:size]
            yield batch
        return
    tally.matched = await store.count_dead(selection.query, after=selection.after)
    after = selection.after
    while (size := room()) > 0 and (
        batch := await store.next_dead(selection.query, after=after, limit=size)
    ):
        after = batch[-1].notification.notification_id
        yield batch


async def _named(
    store: DeadLetterStore, ids: tuple[str, ...], tally: Tally
) -> list[NotificationRecord]:
    """Return the dead letters among these, in their order; count why the others are none."""
    found = await store.records(ids)
    letters = []
    for each in dict.fromkeys(ids):
        record = found.get(each)
        if record is None:
            tally.leave([skip(each, "unknown", "there is no such notification")])
        elif record.dead_at is None:
            said = f"it is {record.status}, and not a dead letter"
            tally.leave([skip(each, "not_dead", said)])
        else:
            letters.append(record)
    return letters
