"""Accepting events: validate, commit, hand over to the publisher."""

from __future__ import annotations

import asyncio

from clarion.errors import FieldProblem, InvalidEvent, StoreUnavailable, TemplateNotFound
from clarion.event import Event
from clarion.metrics import ACCEPTED
from clarion.notification import Channel, Notification
from clarion.store.base import Accepted, Intake, Store
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
    ) -> None:
        self._store = store
        self._templates = templates
        self._publisher = publisher
        self._seconds = seconds

    def check(self, event: Event) -> tuple[Notification, ...]:
        """Return the event's notifications, each of which its template can render.

        Raises `InvalidEvent` with every field that is wrong.
        """
        notifications = event.split()
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

        Raises `MessageIdConflict`, `RowRefused` or `StoreUnavailable`.
        """
        intake = Intake(producer, event.message_id, event.digest(), notifications)
        try:
            async with asyncio.timeout(self._seconds):
                accepted = await self._store.accept(intake)
        except TimeoutError as error:
            raise StoreUnavailable("the database did not answer in time") from error
        new = {item.notification_id for item in accepted if not item.duplicate}
        for notification in notifications:
            if notification.notification_id in new:
                self._publisher.offer(notification)
        for item in accepted:
            ACCEPTED.labels(item.channel.value, "true" if item.duplicate else "false").inc()
        return accepted

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
