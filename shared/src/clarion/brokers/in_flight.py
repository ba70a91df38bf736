"""What an AMQP consumer has handed out: settled by a confirmed copy first, then an ack."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Protocol

from loguru import logger

from clarion.brokers import headers as carried
from clarion.brokers.base import Delivery, Handler
from clarion.brokers.topology import DEAD, DELAY, LADDER, rung
from clarion.errors import BrokerError, BrokerUnavailable
from clarion.notification import Lane

Send = Callable[[str, str, bytes, Mapping[str, object]], Awaitable[None]]
"""Publishes to an exchange by a key. Raises `BrokerUnavailable` or `Unroutable`."""


class Original(Protocol):
    """A message as the client library holds it."""

    @property
    def body(self) -> bytes:
        """What the producer sent."""

    @property
    def headers(self) -> Mapping[str, object]:
        """All headers, the broker's own included."""

    @property
    def sent_at(self) -> float | None:
        """The producer's timestamp, in seconds since 1970."""

    @property
    def lost(self) -> bool:
        """Whether its channel is gone: the broker then delivers it again."""

    async def ack(self) -> None:
        """Acknowledge it; nothing happens when it is lost."""

    async def give_back(self) -> None:
        """Return it to its lane; nothing happens when it is lost."""


class InFlight:
    """The messages of one consumer whose handler runs, or that were left unsettled."""

    def __init__(self, lane: Lane, handler: Handler, send: Send) -> None:
        self.lane = lane
        self.send = send
        self._handler = handler
        self._closing = False
        self._running: dict[asyncio.Task[None], _InFlightDelivery] = {}
        self._held: set[_InFlightDelivery] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def hand_out(self, original: Original) -> None:
        """Start the handler on a message in a task of its own."""
        delivery = _InFlightDelivery(self, original)
        self._held.add(delivery)
        self._empty.clear()
        task = asyncio.create_task(self._run(delivery))
        self._running[task] = delivery
        task.add_done_callback(self._running.pop)

    def release(self, delivery: _InFlightDelivery) -> None:
        """Forget a delivery that is settled."""
        self._held.discard(delivery)
        if not self._held:
            self._empty.set()

    def forget_lost(self) -> None:
        """Forget what the broker will deliver again."""
        for delivery in [each for each in self._held if each.original.lost]:
            self.release(delivery)

    def held_since(self) -> Iterator[float]:
        """Yield when each unsettled message entered its lane, in seconds since 1970."""
        return (each.queued_at for each in self._held if not each.original.lost)

    async def wind_down(self) -> None:
        """Give back what finished handlers left unsettled, and will leave from now on."""
        self._closing = True
        running = {delivery for task, delivery in self._running.items() if not task.done()}
        for delivery in self._held - running:
            await self._give_back(delivery)

    async def drained(self) -> None:
        """Return once everything handed out was settled or given back."""
        await self._empty.wait()

    async def stop(self) -> None:
        """Cancel the running handlers; the broker takes back what they held."""
        tasks = set(self._running) - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, delivery: _InFlightDelivery) -> None:
        try:
            if not await delivery.park_again():
                await self._handler(delivery)
        except Exception:  # noqa: BLE001  whatever it was, the message stays unsettled
            logger.exception("the handler failed and left its message unsettled")
        if self._closing and delivery in self._held:
            await self._give_back(delivery)

    async def _give_back(self, delivery: _InFlightDelivery) -> None:
        if not delivery.settled:
            delivery.settled = True
            await delivery.original.give_back()
            self.release(delivery)


class _InFlightDelivery(Delivery):
    """One handing out of a message, on the channel that it came by."""

    def __init__(self, in_flight: InFlight, original: Original) -> None:
        self.lane = in_flight.lane
        self.body = original.body
        self.headers = carried.shown(original.headers)
        self.deliveries = carried.number(original.headers, carried.DELIVERY_COUNT) or 0
        self.original = original
        self.queued_at = _queued_at(original)
        self._in_flight = in_flight
        self.settled = False

    async def ack(self) -> None:
        """Settle it as done; when its channel is gone nothing happens and it comes again."""
        self._once()
        await self._finish()

    async def retry(self, delay: float) -> None:
        """Put a copy into the delay queue of the next power of two, then acknowledge this one."""
        self._once()
        rounds = {carried.DUE_AT: _ms(time.time() + delay)} if delay > LADDER[-1] else {}
        await self._park(delay, rounds)

    async def dead_letter(self, reason: str, detail: str = "") -> None:
        """Put a copy into the channel's dead-letter queue, then acknowledge this one."""
        self._once()
        obituary = carried.obituary(reason, detail, time.time())
        await self._replace(DEAD, self.lane.routing_key, obituary)

    async def park_again(self) -> bool:
        """Send a message that is not due yet on its next round; False when it is due."""
        due = carried.number(self.original.headers, carried.DUE_AT)
        if due is None or due <= _ms(time.time()):
            return False
        await self._park(due / 1000 - time.time(), {carried.DUE_AT: due})
        return True

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
                await self._in_flight.send(exchange, key, self.body, copy)
                break
            except BrokerError as error:
                if self.original.lost:
                    raise BrokerUnavailable(f"{error}; the message comes again") from error
                logger.warning("cannot settle a message, next try in {} s: {}", wait, error)
            await asyncio.sleep(wait)
            wait = min(2 * wait, 60.0)
        await self._finish()

    async def _finish(self) -> None:
        self.settled = True
        await self.original.ack()
        self._in_flight.release(self)

    def _once(self) -> None:
        if self.settled:
            raise RuntimeError("this delivery was settled before")


def _queued_at(original: Original) -> float:
    stamped = carried.number(original.headers, carried.QUEUED_AT)
    if stamped is not None:
        return stamped / 1000
    return time.time() if original.sent_at is None else original.sent_at


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
