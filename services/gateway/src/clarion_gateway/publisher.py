"""The one path from the store to the broker: what was just accepted, and what was left behind."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from loguru import logger

from clarion.brokers.base import Broker, Message
from clarion.errors import BrokerError, ClarionError, QueueFull, StoreUnavailable, Unroutable
from clarion.metrics import PUBLISHED
from clarion.notification import Lane, Notification
from clarion.store.base import Confirmed, Store
from clarion_gateway.closed_lanes import ClosedLanes

BATCH = 32
"""Notifications that are published together: enough to share what a publish costs by itself."""
BACKOFF_SECONDS = (0.1, 5.0)
"""The first and the longest pause while the broker takes nothing."""


@dataclass(frozen=True, slots=True)
class PublisherState:
    """How publishing goes: `error` is why the broker takes nothing, None while it does; `blocked`
    names the alarm that holds publishers back; `unroutable` and `full` are lanes."""

    connected: bool
    error: str | None
    blocked: str | None
    waiting: int
    unroutable: tuple[str, ...]
    full: tuple[str, ...]


class Publisher:
    """Publishes accepted notifications and marks them queued.

    New ones are handed over in memory. Those that did not fit, those that a crash or an outage
    left behind, and those whose time has come, are taken from the store every `poll` seconds: at
    most `rate` a second, so that a backlog does not crowd out what comes in. `window` is how many
    batches may wait for the broker; `lease` is how many seconds other publishers leave alone what
    this one took.
    """

    def __init__(
        self,
        store: Store,
        broker: Broker,
        *,
        capacity: int = 10_000,
        window: int = 32,
        poll: float = 1.0,
        rate: float = 2000.0,
        lease: float = 30.0,
    ) -> None:
        self._store = store
        self._broker = broker
        self._window = asyncio.Semaphore(window)
        self._poll = poll
        self._take = max(1, round(rate * poll))
        self._lease = lease
        self._waiting: asyncio.Queue[Notification] = asyncio.Queue(capacity)
        self._held: set[str] = set()
        self._error: str | None = None
        self._connected_once = False
        self._pause = 0.0
        self._resume_at = 0.0
        self._closed = ClosedLanes(time.monotonic)
        self._tasks: list[asyncio.Task[None]] = []
        self._batches: set[asyncio.Task[None]] = set()

    @property
    def state(self) -> PublisherState:
        """How publishing goes now."""
        return PublisherState(
            connected=self._broker.connected,
            error=self._error,
            blocked=self.blocked,
            waiting=self._waiting.qsize(),
            unroutable=self._closed.named(Unroutable),
            full=self._closed.named(QueueFull),
        )

    @property
    def blocked(self) -> str | None:
        """The alarm that makes the broker hold publishers back, None while there is none."""
        return self._broker.blocked if self._broker.connected else None

    def offer(self, notification: Notification) -> None:
        """Publish a committed notification soon; where there is no room the poll brings it."""
        if self._error is None and not self._waiting.full():
            self._hold(notification)

    async def start(self) -> None:
        """Start publishing; the broker may come later."""
        self._tasks = [
            asyncio.create_task(self._follow_waiting()),
            asyncio.create_task(self._follow_store()),
        ]

    async def stop(self, grace: float = 5.0) -> None:
        """Publish what is in hand if that takes less than `grace` seconds, then stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._waiting.join()
        tasks = {*self._tasks, *self._batches}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    def _hold(self, notification: Notification) -> None:
        self._held.add(notification.notification_id)
        self._waiting.put_nowait(notification)

    async def _follow_waiting(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            # what comes while others wait for the broker shares the next batch
            await self._window.acquire()
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            task = asyncio.create_task(self._bring(batch))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    async def _bring(self, batch: list[Notification]) -> None:
        """Publish a batch and mark it; what cannot go now is brought back by the poll."""
        try:
            try:
                confirmed = await self._publish(batch)
            finally:
                self._window.release()
            await self._mark(confirmed)
        except Exception:  # noqa: BLE001  one bad notification must not end publishing
            logger.bind(notification_ids=[each.notification_id for each in batch]).exception(
                "publishing failed unexpectedly"
            )
        finally:
            for each in batch:
                self._held.discard(each.notification_id)
                self._waiting.task_done()

    async def _publish(self, batch: list[Notification]) -> list[Notification]:
        """Return what the broker has confirmed."""
        closed = self._closed.now()
        sent = [
            (each, message)
            for each in batch
            if self._error is None and (message := _message(each)) and message.lane not in closed
        ]
        results = await self._broker.publish_all([message for _, message in sent])
        confirmed: list[Notification] = []
        worked: Counter[Lane] = Counter()
        failed: list[tuple[Lane, BrokerError]] = []
        for (each, message), error in zip(sent, results, strict=True):
            if error is None:
                confirmed.append(each)
                worked[message.lane] += 1
            else:
                failed.append((message.lane, error))
        self._broker_worked(worked)
        # last, so that a lane which took some of a batch and refused the rest counts as closed
        for lane, error in failed:
            if isinstance(error, QueueFull | Unroutable):
                self._lane_failed(lane, error)
            else:
                self._broker_failed(error)
        return confirmed

    async def _mark(self, confirmed: list[Notification]) -> None:
        marks = [Confirmed(each.notification_id, each.replay_no) for each in confirmed]
        for each, marked in zip(marks, await self._store.mark_queued(marks), strict=True):
            if isinstance(marked, ClarionError):
                # it will be published once more; the worker's claim absorbs the second copy
                logger.bind(notification_id=each.notification_id, error=str(marked)).warning(
                    "published, but not marked as queued"
                )

    async def _follow_store(self) -> None:
        while True:
            try:
                if await self._ready():
                    await self._take_due()
            except Exception:  # noqa: BLE001  without this task nothing left behind would be sent
                logger.exception("taking due notifications failed unexpectedly")
            await asyncio.sleep(self._next_look())

    def _next_look(self) -> float:
        if self._error is None:
            return self._poll
        return max(self._resume_at - time.monotonic(), 0.01)

    async def _ready(self) -> bool:
        """Whether to publish now; connects at first, and ends a pause when it is over."""
        if not self._connected_once:
            return await self._connect()
        if self._error is not None:
            if not self._broker.connected:
                self._pause_for(self._error)
                return False
            if time.monotonic() < self._resume_at:
                return False
            self._error = None
        return True

    async def _connect(self) -> bool:
        try:
            if not self._broker.connected:
                await self._broker.connect()
        except BrokerError as error:
            self._broker_failed(error)
            return False
        self._connected_once = True
        self._error = None
        logger.info("connected to the broker")
        return True

    async def _take_due(self) -> None:
        """Hold what is due in the store, if there is room for a look's worth."""
        room = min(self._take, self._waiting.maxsize)
        if self._waiting.maxsize - self._waiting.qsize() < room:
            return
        try:
            due = await self._store.take_due(room, self._lease, without=self._closed.now())
        except StoreUnavailable as error:
            logger.bind(error=str(error)).warning("the store gives no due notifications")
            return
        for notification in due:
            if notification.notification_id not in self._held and not self._waiting.full():
                self._hold(notification)

    def _broker_failed(self, error: BrokerError) -> None:
        if self._error is None:
            logger.bind(error=str(error)).warning("the broker takes no notifications")
            self._pause_for(str(error))
        elif not self._connected_once:
            self._pause_for(str(error))

    def _pause_for(self, error: str) -> None:
        shortest, longest = BACKOFF_SECONDS
        self._pause = min(max(self._pause * 2, shortest), longest)
        self._resume_at = time.monotonic() + self._pause
        self._error = error

    def _broker_worked(self, worked: Counter[Lane]) -> None:
        for lane, count in worked.items():
            self._pause = 0.0
            self._closed.open(lane)
            PUBLISHED.labels(lane.routing_key).inc(count)

    def _lane_failed(self, lane: Lane, error: QueueFull | Unroutable) -> None:
        if self._closed.close(lane, error):
            logger.bind(lane=lane.routing_key, error=str(error)).error(
                "this lane takes no notifications; they stay in the store"
            )


def _message(notification: Notification) -> Message | None:
    try:
        lane = Lane(notification.channel, notification.priority)
        return Message(lane, notification.to_bytes(), {})
    except ValueError:  # it must not keep its neighbours from being published
        logger.bind(notification_id=notification.notification_id).exception(
            "this notification cannot be written as a message"
        )
        return None
