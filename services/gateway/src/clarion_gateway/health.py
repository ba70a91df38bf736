"""The health of the whole system: the gateway, the broker, the store and every worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from pydantic import BaseModel, Field

from clarion.brokers.base import Backlog, Broker
from clarion.errors import ClarionError
from clarion.metrics import (
    CALLBACKS_DEAD,
    CALLBACKS_WAITING,
    DEAD,
    DEAD_DEPTH,
    DELAYED,
    EVENTS_AGE,
    QUEUE_AGE,
    QUEUE_DEPTH,
    UNPUBLISHED,
)
from clarion.notification import LANES, Channel, Lane
from clarion.store.callbacks import CallbackStore
from clarion_gateway import VERSION
from clarion_gateway.callback_urls import CallbackUrls
from clarion_gateway.probes import HealthStatus, InstanceHealth, Probe
from clarion_gateway.publisher import Publisher

CHECK_SECONDS = 2.0
CACHE_SECONDS = 1.0
DEAD_SECONDS = 15.0
"""How long a count of dead letters is kept: up to 100,000 rows are read for it."""

T = TypeVar("T")


class Check(BaseModel):
    """Whether one thing that the gateway depends on answers."""

    status: HealthStatus
    latency_ms: float | None = None
    detail: str | None = None


class PublisherCheck(BaseModel):
    """How publishing goes."""

    status: HealthStatus
    waiting: int = Field(description="Accepted notifications in hand, not yet published.")
    unroutable: list[str] = Field(description="Lanes that the broker has no queue for.")
    full: list[str] = Field(description="Lanes whose queue has no room.")
    detail: str | None = None


class Checks(BaseModel):
    """The gateway's own checks."""

    broker: Check
    store: Check
    publisher: PublisherCheck


class WorkerHealth(BaseModel):
    """One channel's worker: the state of the channel, and of every instance."""

    status: HealthStatus
    instances: list[InstanceHealth]


class QueueHealth(BaseModel):
    """What waits in a lane; null where nobody could tell."""

    ready: int | None
    oldest_seconds: float | None


class HealthReport(BaseModel):
    """The state of the whole system."""

    status: HealthStatus
    service: str = "gateway"
    version: str = VERSION
    checks: Checks
    workers: dict[str, WorkerHealth]
    queues: dict[str, QueueHealth]
    dead_letters: dict[str, int] = Field(description="Messages parked for people, by channel.")
    dead: dict[str, int] | None = Field(
        description="Failed or held in doubt, neither replayed nor discarded, by channel: "
        "counted among the newest 100,000, at most 15 seconds ago."
    )
    delayed: int | None = Field(description="Messages that wait for a retry.")
    unpublished: int | None = Field(description="Accepted, and not yet with the broker.")


class Cached(Generic[T]):
    """Keeps an answer for `seconds`, and lets all who ask meanwhile wait for one question."""

    def __init__(self, ask: Callable[[], Awaitable[T]], seconds: float = CACHE_SECONDS) -> None:
        self._ask = ask
        self._seconds = seconds
        self._running: asyncio.Task[T] | None = None
        self._answered_at = 0.0

    async def get(self) -> T:
        """Return an answer that is at most `seconds` old."""
        expired = time.monotonic() - self._answered_at > self._seconds
        if self._running is None or (self._running.done() and expired):
            self._running = asyncio.create_task(self._fetch())
        # one caller's timeout must not take the answer from the others
        return await asyncio.shield(self._running)

    async def _fetch(self) -> T:
        try:
            return await self._ask()
        finally:
            self._answered_at = time.monotonic()


class Health:
    """Asks everyone at once, each with a time limit of its own, at most once a second."""

    def __init__(
        self,
        store: CallbackStore,
        broker: Broker,
        publisher: Publisher,
        probes: Mapping[Channel, Probe],
        urls: CallbackUrls | None = None,
    ) -> None:
        self._store = store
        self._broker = broker
        self._publisher = publisher
        self._probes = dict(probes)
        self._urls = urls or CallbackUrls()
        self._report = Cached(self._ask_everyone)
        self._store_check = Cached(self._ask_store)
        self._dead = Cached(store.dead_by_channel, DEAD_SECONDS)
        self.stopping = False

    async def report(self) -> HealthReport:
        """Return the state of the whole system, at most a second old."""
        return await self._report.get()

    async def ready(self) -> Check:
        """Return whether events can be taken in."""
        if self.stopping:
            return Check(status="down", detail="the gateway is stopping")
        return await self._store_check.get()

    async def refresh_metrics(self) -> None:
        """Set the gauges to what the report says; what nobody could tell keeps its last value."""
        report, (check, age), callbacks = await asyncio.gather(
            self.report(),
            _timed(self._store.oldest_event()),
            _answer(self._store.count_callbacks(self._urls.names)),
        )
        if check.status == "ok":
            EVENTS_AGE.set(age or 0.0)
        for (key, given_up), count in (callbacks or {}).items():
            (CALLBACKS_DEAD if given_up else CALLBACKS_WAITING).labels(key).set(count)
        for lane, queue in report.queues.items():
            if queue.ready is not None:
                QUEUE_DEPTH.labels(lane).set(queue.ready)
                QUEUE_AGE.labels(lane).set(queue.oldest_seconds or 0.0)
        for channel, count in report.dead_letters.items():
            DEAD_DEPTH.labels(channel).set(count)
        for channel, count in (report.dead or {}).items():
            DEAD.labels(channel).set(count)
        if report.delayed is not None:
            DELAYED.set(report.delayed)
        if report.unpublished is not None:
            UNPUBLISHED.set(report.unpublished)

    async def _ask_everyone(self) -> HealthReport:
        store, (broker, backlog), ages, unpublished, dead, instances = await asyncio.gather(
            self._store_check.get(),
            _timed(self._broker.backlog()),
            _answer(self._store.oldest_queued()),
            _answer(self._store.unpublished()),
            _answer(self._dead.get()),
            asyncio.gather(*map(_instances, self._probes.values())),
        )
        checks = Checks(broker=broker, store=store, publisher=self._publisher_check())
        workers = {
            channel.value: WorkerHealth(status=channel_status(found), instances=found)
            for channel, found in zip(self._probes, instances, strict=True)
        }
        return HealthReport(
            status=verdict(checks, workers),
            checks=checks,
            workers=workers,
            queues={lane.routing_key: _queue(lane, backlog, ages) for lane in LANES},
            dead_letters={c.value: n for c, n in backlog.dead.items()} if backlog else {},
            dead=None if dead is None else {c.value: n for c, n in dead.items()},
            delayed=backlog.delayed if backlog else None,
            unpublished=unpublished,
        )

    async def _ask_store(self) -> Check:
        check, _ = await _timed(self._store.ping())
        return check

    def _publisher_check(self) -> PublisherCheck:
        state = self._publisher.state
        why = f"RabbitMQ holds publishers back: {state.blocked}" if state.blocked else state.error
        bad = why is not None or state.unroutable or state.full
        return PublisherCheck(
            status="degraded" if bad else "ok",
            waiting=state.waiting,
            unroutable=list(state.unroutable),
            full=list(state.full),
            detail=why,
        )


def channel_status(instances: list[InstanceHealth]) -> HealthStatus:
    """Return the state of a channel: down without a live worker, degraded with one in trouble."""
    if all(instance.status == "down" for instance in instances):
        return "down"
    return "ok" if all(instance.status == "ok" for instance in instances) else "degraded"


def verdict(checks: Checks, workers: Mapping[str, WorkerHealth]) -> HealthStatus:
    """Return the overall state: down only when nothing can be accepted."""
    if checks.store.status == "down":
        return "down"
    statuses = [checks.broker.status, checks.publisher.status]
    statuses += [worker.status for worker in workers.values()]
    return "ok" if all(status == "ok" for status in statuses) else "degraded"


async def _timed(question: Awaitable[T]) -> tuple[Check, T | None]:
    started = time.perf_counter()
    try:
        answer = await asyncio.wait_for(question, CHECK_SECONDS)
    except TimeoutError:
        return Check(status="down", detail=f"no answer within {CHECK_SECONDS:g} seconds"), None
    except ClarionError as error:
        return Check(status="down", detail=str(error)), None
    latency = round((time.perf_counter() - started) * 1000, 1)
    return Check(status="ok", latency_ms=latency), answer


async def _answer(question: Awaitable[T]) -> T | None:
    _, answer = await _timed(question)
    return answer


async def _instances(probe: Probe) -> list[InstanceHealth]:
    return await _answer(probe()) or []


def _queue(lane: Lane, backlog: Backlog | None, ages: dict[Lane, float] | None) -> QueueHealth:
    depth = backlog.lanes.get(lane) if backlog else None
    oldest = ages.get(lane) if ages else None
    if oldest is None and depth is not None:
        oldest = depth.oldest
    return QueueHealth(
        ready=depth.ready if depth else None,
        oldest_seconds=None if oldest is None else round(oldest, 1),
    )
