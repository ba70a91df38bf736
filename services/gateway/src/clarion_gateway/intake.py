"""Accepting events: validate, commit, hand over to the publisher."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from clarion.errors import (
    BrokerUnavailable,
    FieldProblem,
    InvalidEvent,
    StoreUnavailable,
    TemplateNotFound,
)
from clarion.event import Event
from clarion.metrics import ACCEPTED
from clarion.notification import Channel, Notification, OnDoubt, Status
from clarion.store.base import Accepted, Intake, Query, Store
from clarion.templates import TemplateRepository
from clarion_gateway.publisher import Publisher


class Acceptor:
    """Takes responsibility for events; `seconds` bounds the wait for the database."""

    def __init__(
        self,
        store: Store,
        templates: TemplateRepository,
        publisher: Publisher,
        seconds: float,
        on_doubt: OnDoubt = OnDoubt.RESEND,
        *,
        told: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._store = store
        self._templates = templates
        self._publisher = publisher
        self._seconds = seconds
        self._on_doubt = on_doubt
        self._told = told

    def check(self, event: Event) -> tuple[Notification, ...]:
        """Return the event's notifications, each of which its template can render.

        Raises `InvalidEvent` with every field that is wrong.
        """
        notifications = tuple(
            self._templates.with_policy(each, self._on_doubt) for each in event.split()
        )
        problems: dict[FieldProblem, None] = {}
        # those of one channel differ in the recipient only, so the first stands for all
        for notification in _first_of_each_channel(notifications):
            problems.update(dict.fromkeys(self._check_template(notification)))
        if problems:
            raise InvalidEvent(list(problems))
        return notifications

    async def accept(
        self, producer: str, event: Event, notifications: tuple[Notification, ...]
    ) -> list[Accepted]:
        """Return once the notifications are committed, or were before; then they are published.

        Raises `InvalidEvent`, `MessageIdConflict`, `RowRefused`, `StoreUnavailable`, or
        `BrokerUnavailable` while an alarm holds publishers back: what is full is not filled more.
        """
        blocked = self._publisher.blocked
        if blocked is not None:
            raise BrokerUnavailable(f"RabbitMQ holds publishers back: {blocked}")
        try:
            async with asyncio.timeout(self._seconds):
                await self._check_times(producer, event)
                accepted = await self._store.accept(self._intake(producer, event, notifications))
        except TimeoutError as error:
            raise StoreUnavailable("the database did not answer in time") from error
        new = {
            item.notification_id
            for item in accepted
            if not item.duplicate and item.status is Status.ACCEPTED
        }
        for notification in notifications:
            if notification.notification_id in new:
                self._publisher.offer(notification)
        for item in accepted:
            ACCEPTED.labels(item.channel.value, "true" if item.duplicate else "false").inc()
        return accepted

    def _intake(
        self, producer: str, event: Event, notifications: tuple[Notification, ...]
    ) -> Intake:
        waits = event.send_at is not None and event.send_at > datetime.now(UTC)
        status = Status.SCHEDULED if waits else Status.ACCEPTED
        return Intake(
            producer,
            event.message_id,
            event.digest(),
            notifications,
            status,
            told=self._told(producer),
        )

    async def _check_times(self, producer: str, event: Event) -> None:
        problems = event.time_problems(datetime.now(UTC))
        if not problems:
            return
        # a repeat of what was accepted in time is a duplicate, whatever the time is now
        query = Query(producer=producer, message_id=event.message_id)
        if not (await self._store.find(query, limit=1)).records:
            raise InvalidEvent(problems)

    def _check_template(self, notification: Notification) -> list[FieldProblem]:
        try:
            return self._templates.check(notification)
        except TemplateNotFound as error:
            return [FieldProblem("template_id", str(error))]


def _first_of_each_channel(notifications: tuple[Notification, ...]) -> list[Notification]:
    first: dict[Channel, Notification] = {}
    for notification in notifications:
        first.setdefault(notification.channel, notification)
    return list(first.values())
