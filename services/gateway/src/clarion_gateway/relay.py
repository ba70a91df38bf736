"""Telling applications what became of their notifications, through the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from loguru import logger

from clarion.brokers.base import Broker, Change
from clarion.errors import BrokerError, QueueFull, StoreUnavailable
from clarion.metrics import EVENTS_HELD, EVENTS_PUBLISHED
from clarion.store.outbox import OutboxStore, StatusEvent, Telling
from clarion_gateway.callback_urls import CallbackUrls

BATCH = 256
POLL_SECONDS = 0.25
AT_ONCE = 16
"""Events that are published together, or a quarter of them all: notifications come in between."""
BACKOFF_SECONDS = (0.5, 10.0)
"""The first and the longest pause while the broker or the store is away."""


class Relay:
    """Tells each status event at least once, repeats under the same id; several may share the work.

    Without `publishing` nobody is told, and what was written down all the same is deleted. The
    events of the applications in `urls` become callbacks besides; `called` hears that there are new
    ones.
    """

    def __init__(
        self,
        store: OutboxStore,
        broker: Broker,
        *,
        publishing: bool = True,
        urls: CallbackUrls | None = None,
        called: Callable[[], None] = lambda: None,
        batch: int = BATCH,
        poll: float = POLL_SECONDS,
    ) -> None:
        self._store = store
        self._broker = broker
        self._publishing = publishing
        self._urls = urls or CallbackUrls()
        self._called = called
        self._batch = batch
        self._poll = poll
        self._pause = 0.0
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start telling; the broker may come later."""
        self._stopping.clear()
        self._task = asyncio.create_task(self._follow())

    async def stop(self, grace: float = 2.0) -> None:
        """Finish what is in hand if that takes less than `grace` seconds, then stop."""
        self._stopping.set()
        if self._task is not None:
            with suppress(TimeoutError):
                # what is cut off stays in the store, and is told again
                await asyncio.wait_for(asyncio.gather(self._task, return_exceptions=True), grace)
            self._task = None

    async def tell(self) -> int:
        """Tell one batch; return how many events that were. Raises `BrokerError`,
        `StoreUnavailable`; all of the batch is then told again."""
        async with self._store.telling(self._batch, calling=self._urls.names) as telling:
            if self._publishing:
                await self._publish(telling)
        if any(event.producer in self._urls for event in telling.events):
            self._called()
        return len(telling.events)

    async def _publish(self, telling: Telling) -> None:
        many = max(AT_ONCE, len(telling.events) // 4)
        for start in range(0, len(telling.events), many):
            await self._publish_together(telling, telling.events[start : start + many])
        if telling.held:
            logger.bind(events=len(telling.held)).warning(
                "a queue bound to notifications.events has no room: its events are told later"
            )

    async def _publish_together(self, telling: Telling, events: Sequence[StatusEvent]) -> None:
        results = await self._broker.tell_all(
            [Change(event.channel, event.status, event.to_bytes()) for event in events]
        )
        for event, error in zip(events, results, strict=True):
            if isinstance(error, QueueFull):
                # one application's full queue holds up what it has no room for, and no more
                telling.held.add(event.row)
                EVENTS_HELD.inc()
            elif error is not None:
                raise error
            else:
                EVENTS_PUBLISHED.labels(event.channel, event.status).inc()

    async def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                wait = await self._round()
            except (BrokerError, StoreUnavailable) as error:
                if not self._pause:
                    logger.bind(error=str(error)).warning("status events cannot be told at present")
                wait = self._back_off()
            except Exception:  # noqa: BLE001  without this task no application would hear of anything
                logger.exception("telling status events failed unexpectedly")
                wait = self._back_off()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)

    async def _round(self) -> float:
        """Tell a batch, and return the seconds until the next look."""
        if self._publishing and (not self._broker.connected or self._broker.blocked):
            return self._back_off()
        told = await self.tell()
        self._pause = 0.0
        return 0.0 if told == self._batch else self._poll

    def _back_off(self) -> float:
        shortest, longest = BACKOFF_SECONDS
        self._pause = min(max(self._pause * 2, shortest), longest)
        return self._pause
