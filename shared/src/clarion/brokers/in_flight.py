"""What an AMQP consumer has handed out, and what becomes of it when the consumer ends."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from loguru import logger

from clarion.brokers import headers as carried


class Original(Protocol):
    """A message as the client library holds it."""

    @property
    def body(self) -> bytes:
        """What the producer sent."""

    @property
    def key(self) -> str:
        """The routing key that it was published with."""

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

    def __init__(self, wrap: Callable[[InFlight, Original], Handed]) -> None:
        self._wrap = wrap
        self._closing = False
        self._running: dict[asyncio.Task[None], Handed] = {}
        self._held: set[Handed] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def hand_out(self, original: Original) -> None:
        """Start the handler on a message in a task of its own."""
        delivery = self._wrap(self, original)
        self._held.add(delivery)
        self._empty.clear()
        task = asyncio.create_task(self._run(delivery))
        self._running[task] = delivery
        task.add_done_callback(self._running.pop)

    def release(self, delivery: Handed) -> None:
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

    async def _run(self, delivery: Handed) -> None:
        try:
            await delivery.handle()
        except Exception:  # noqa: BLE001  whatever it was, the message stays unsettled
            logger.exception("the handler failed and left its message unsettled")
        if self._closing and delivery in self._held:
            await self._give_back(delivery)

    async def _give_back(self, delivery: Handed) -> None:
        if not delivery.settled:
            delivery.settled = True
            await delivery.original.give_back()
            self.release(delivery)


class Handed(ABC):
    """One handing out of a message, on the channel that it came by."""

    def __init__(self, in_flight: InFlight, original: Original) -> None:
        self.body = original.body
        self.original = original
        self.queued_at = _queued_at(original)
        self.settled = False
        self._in_flight = in_flight

    @abstractmethod
    async def handle(self) -> None:
        """Give it to the handler."""

    async def ack(self) -> None:
        """Settle it as done; when its channel is gone nothing happens and it comes again."""
        self._once()
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
