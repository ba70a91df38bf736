"""Accepting events: validate, commit, hand over to the publisher."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from clarion.errors import (
    BrokerUnavailable,
    ClarionError,
    FieldProblem,
    InvalidEvent,
    StoreUnavailable,
)
from clarion.event import Event
from clarion.metrics import ACCEPTED
from clarion.notification import Channel, Notification, OnDoubt, Status
from clarion.store.base import Accepted, Intake, Query, Store
from clarion.templates import TemplateRepository
from clarion_gateway.publisher import Publisher


@dataclass(frozen=True, slots=True)
class Checked:
    """An event that may be accepted, and the notifications that it becomes."""

    producer: str
    event: Event
    notifications: tuple[Notification, ...]


Answer = list[Accepted] | ClarionError
"""What became of an event: its notifications, or why it was not accepted."""


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

    def check(self, producer: str, event: Event) -> Checked:
        """Return the event with its notifications, each of which its template can render.

        Raises `InvalidEvent` with every field that is wrong.
        """
        on_doubt = self._templates.on_doubt(event.template_id, self._on_doubt)
        notifications = event.split(on_doubt)
        problems: dict[FieldProblem, None] = {}
        # those of one channel differ in the recipient only, so the first stands for all
        for notification in _first_of_each_channel(notifications):
            problems.update(dict.fromkeys(self._templates.check(notification)))
        if problems:
            raise InvalidEvent(list(problems))
        return Checked(producer, event, notifications)

    async def accept_all(self, events: Sequence[Checked]) -> list[Answer]:
        """Return once each event is committed, or was before, or is refused; the new are published.

        It is refused with `InvalidEvent`, `MessageIdConflict`, `RowRefused`, `StoreUnavailable`, or
        `BrokerUnavailable` while an alarm holds publishers back: what is full is not filled more.
        """
        try:
            self._refuse_if_blocked()
            async with asyncio.timeout(self._seconds):
                answers = await self._store_all(events)
        except TimeoutError:
            return [StoreUnavailable("the database did not answer in time")] * len(events)
        except (StoreUnavailable, BrokerUnavailable) as error:
            return [error] * len(events)
        accepted: Counter[tuple[Channel, bool]] = Counter()
        for each, answer in zip(events, answers, strict=True):
            if not isinstance(answer, ClarionError):
                self._publish(each.notifications, answer)
                accepted.update((item.channel, item.duplicate) for item in answer)
        for (channel, duplicate), count in accepted.items():
            ACCEPTED.labels(channel.value, "true" if duplicate else "false").inc(count)
        return answers

    def _refuse_if_blocked(self) -> None:
        blocked = self._publisher.blocked
        if blocked is not None:
            raise BrokerUnavailable(f"RabbitMQ holds publishers back: {blocked}")

    async def _store_all(self, events: Sequence[Checked]) -> list[Answer]:
        now = datetime.now(UTC)
        late = [await self._late(each, now) for each in events]
        stored = iter(
            await self._store.accept_all(
                [
                    self._intake(each, now)
                    for each, refusal in zip(events, late, strict=True)
                    if refusal is None
                ]
            )
        )
        return [next(stored) if refusal is None else refusal for refusal in late]

    async def _late(self, checked: Checked, now: datetime) -> ClarionError | None:
        """Return the refusal of an event whose times do not fit `now`, if it is not a repeat."""
        problems = checked.event.time_problems(now)
        if not problems:
            return None
        # a repeat of what was accepted in time is a duplicate, whatever the time is now
        query = Query(producer=checked.producer, message_id=checked.event.message_id)
        try:
            known = (await self._store.find(query, limit=1)).records
        except StoreUnavailable as error:
            return error
        return None if known else InvalidEvent(problems)

    def _intake(self, checked: Checked, now: datetime) -> Intake:
        event = checked.event
        waits = event.send_at is not None and event.send_at > now
        status = Status.SCHEDULED if waits else Status.ACCEPTED
        return Intake(
            checked.producer,
            event.message_id,
            event.digest(),
            checked.notifications,
            status,
            told=self._told(checked.producer),
        )

    def _publish(self, notifications: tuple[Notification, ...], accepted: list[Accepted]) -> None:
        """Hand over to the publisher what is new and due."""
        new = {
            item.notification_id
            for item in accepted
            if not item.duplicate and item.status is Status.ACCEPTED
        }
        for notification in notifications:
            if notification.notification_id in new:
                self._publisher.offer(notification)


def _first_of_each_channel(notifications: tuple[Notification, ...]) -> list[Notification]:
    first: dict[Channel, Notification] = {}
    for notification in notifications:
        first.setdefault(notification.channel, notification)
    return list(first.values())
