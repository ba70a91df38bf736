"""The messages of a lane and the dead letters, as an AMQP consumer hands them out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from loguru import logger

from clarion.brokers import headers as carried
from clarion.brokers.base import DeadLetter, DeadLetterHandler, Delivery, Handler
from clarion.brokers.in_flight import Handed, InFlight, Original
from clarion.brokers.topology import DEAD, DELAY, LADDER, rung
from clarion.errors import BrokerError, BrokerUnavailable
from clarion.notification import Channel, Lane, Priority

Send = Callable[[str, str, bytes, Mapping[str, object]], Awaitable[None]]
"""Publishes to an exchange by a key. Raises `QueueFull`, `BrokerUnavailable`, `Unroutable`."""


def from_lane(lane: Lane, handler: Handler, send: Send) -> InFlight:
    """Return what holds the messages of a lane, handed to `handler`."""
    return InFlight(lambda held, original: LaneDelivery(held, original, lane, handler, send))


def from_recorder(handler: DeadLetterHandler) -> InFlight:
    """Return what holds dead letters, handed to `handler`."""
    return InFlight(lambda held, original: RecordedLetter(held, original, handler))


class LaneDelivery(Handed, Delivery):
    """A message of a lane: settled by a confirmed copy first, then an acknowledgement."""

    def __init__(
        self, in_flight: InFlight, original: Original, lane: Lane, handler: Handler, send: Send
    ) -> None:
        super().__init__(in_flight, original)
        self.lane = lane
        self.headers = carried.shown(original.headers)
        self.deliveries = carried.number(original.headers, carried.DELIVERY_COUNT) or 0
        self._handler = handler
        self._send = send

    async def handle(self) -> None:
        """Give it to the handler, or send one that is not due yet on its next round."""
        due = carried.number(self.original.headers, carried.DUE_AT)
        if due is None or due <= _ms(time.time()):
            await self._handler(self)
        else:
            await self._park(due / 1000 - time.time(), {carried.DUE_AT: due})

    async def retry(self, delay: float) -> None:
        """Put a copy into the delay queue of the next power of two, then acknowledge this one.

        Raises `BrokerUnavailable` when the channel that it came by is gone.
        """
        self._once()
        if self.original.lost:
            # somebody else has it by now: a copy would only be one duplicate more to absorb
            raise BrokerUnavailable("its channel is gone; the message comes again")
        rounds = {carried.DUE_AT: _ms(time.time() + delay)} if delay > LADDER[-1] else {}
        await self._park(delay, rounds)

    async def dead_letter(self, reason: str, detail: str = "") -> None:
        """Put a copy into the channel's dead-letter queue, then acknowledge this one."""
        self._once()
        obituary = carried.obituary(reason, detail, time.time())
        await self._replace(DEAD, self.lane.routing_key, obituary)

    async def _park(self, delay: float, rounds: dict[str, int]) -> None:
        seconds = rung(delay)
        back_at = {carried.QUEUED_AT: _ms(time.time() + seconds)}
        await self._replace(DELAY, f"{self.lane.routing_key}.{seconds}s", rounds | back_at)

    async def _replace(self, exchange: str, key: str, headers: Mapping[str, str | int]) -> None:
        """Have a copy confirmed, then acknowledge: a crash between duplicates and loses nothing.

        While the channel that it came by lives, an unsettled message comes back only after the
        broker's `consumer_timeout`. So it is held and the copy tried until the broker takes it.
        """
        copy = {**carried.kept(self.original.headers), **headers}
        wait = 1.0
        while True:
            try:
                await self._send(exchange, key, self.body, copy)
                break
            except BrokerError as error:
                if self.original.lost:
                    raise BrokerUnavailable(f"{error}; the message comes again") from error
                logger.warning("cannot settle a message, next try in {} s: {}", wait, error)
            await asyncio.sleep(wait)
            wait = min(2 * wait, 60.0)
        await self._finish()


class RecordedLetter(Handed, DeadLetter):
    """The recorder's copy of a dead letter."""

    def __init__(self, in_flight: InFlight, original: Original, handler: DeadLetterHandler) -> None:
        super().__init__(in_flight, original)
        _, channel, priority, *_ = [*original.key.split("."), "", "", ""]
        self.known = channel in list(Channel)
        if self.known:
            self.channel = Channel(channel)
        # a bare channel is the key of another producer, and bound to the normal lane
        priority = priority or Priority.NORMAL
        self.priority = Priority(priority) if priority in list(Priority) else None
        self.headers = carried.mourned(original.headers)
        cause = carried.cause(original.headers)
        self.reason, self.detail, self.by_broker = cause.reason, cause.detail, cause.by_broker
        self._handler = handler

    async def handle(self) -> None:
        """Give it to the handler; one of no channel of ours has no record to go to."""
        if self.known:
            await self._handler(self)
        else:
            logger.error("a dead letter of no channel: {}", self.original.key)
            await self.ack()


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
