"""Brings to the record what the broker itself gave up, so that it is not left without an answer."""

from __future__ import annotations

import asyncio

from loguru import logger

from clarion import metrics
from clarion.brokers.base import Broker, Consumer, DeadLetter
from clarion.claiming import adopt
from clarion.errors import (
    BrokerError,
    InvalidEvent,
    MessageIdConflict,
    RowRefused,
    StoreUnavailable,
)
from clarion.messages import decode
from clarion.notification import FINAL, Notification, Reason, Status
from clarion.patience import patiently
from clarion.store.base import Store

PREFETCH = 100
LOOK_SECONDS = 2.0
"""How often a notification that a worker still holds is looked at again."""

_SETTLED = FINAL | {Status.IN_DOUBT, Status.SCHEDULED}
"""What has an end, or is brought to one by a receipt, an operator or the publisher."""

_REASONS = {"expired": Reason.EXPIRED}


class Recorder:
    """Fails the notification of each message that no worker could bring to an end.

    What a worker parked is on record already. A message that kills its workers is given up by
    RabbitMQ's delivery limit, and only its dead letter tells of it.
    """

    def __init__(self, store: Store, broker: Broker) -> None:
        self._store = store
        self._broker = broker
        self._consumer: Consumer | None = None
        self._starting: asyncio.Task[None] | None = None

    @property
    def active(self) -> bool:
        """Whether dead letters are being taken."""
        return self._consumer is not None and self._consumer.active

    async def start(self) -> None:
        """Take dead letters as soon as the broker is there."""
        self._starting = asyncio.create_task(self._start())

    async def stop(self) -> None:
        """Take no more; what is not recorded yet comes again."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.cancel()

    async def _start(self) -> None:
        async def consume() -> None:
            self._consumer = await self._broker.consume_dead_letters(self.record, prefetch=PREFETCH)

        await patiently(consume, BrokerError, "taking dead letters")

    async def record(self, letter: DeadLetter) -> None:
        """Return once the letter's notification has come to an end, and the letter is settled."""
        if letter.by_broker:
            await self._fail(letter)
        await letter.ack()

    async def _fail(self, letter: DeadLetter) -> None:
        text = f"RabbitMQ gave the message up: {letter.reason} {letter.detail}".strip()
        reason = _REASONS.get(letter.reason, Reason.CRASHED)
        notification = await self._identify(letter)
        log = logger.bind(channel=letter.channel, reason=letter.reason)
        if notification is None:
            log.error("a message that no one can read was given up by the broker")
            return
        identifier = notification.notification_id
        while not await self._patiently(notification, reason, text):
            history = await patiently(
                lambda: self._store.get(identifier), StoreUnavailable, "reading the record"
            )
            if history is None or history.record.status in _SETTLED:
                return
            if history.record.replay_no > notification.replay_no:
                return
            # the worker that it killed held it: its lease must end first
            await asyncio.sleep(LOOK_SECONDS)
        metrics.DEAD_LETTERS.labels(letter.channel, reason).inc()
        log.bind(notification_id=identifier).error("notification given up: {}", text)

    async def _patiently(self, notification: Notification, reason: Reason, text: str) -> bool:
        return await patiently(
            lambda: self._store.give_up(
                notification.notification_id, reason, text, replay_no=notification.replay_no
            ),
            StoreUnavailable,
            "recording a dead letter",
        )

    async def _identify(self, letter: DeadLetter) -> Notification | None:
        """Return the letter's notification; that of another producer is stored here at last."""
        try:
            decoded = decode(letter.body, letter.channel)
            if decoded.digest is None:
                return decoded.notification
            producer = f"broker/{letter.channel}"
            return await adopt(self._store, decoded.notification, producer, decoded.digest)
        except (InvalidEvent, MessageIdConflict, RowRefused):
            return None
