"""A queue in this process's memory, and its consumers: the memory broker is made of these."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from loguru import logger

from clarion.brokers.base import Consumer, Depth

PayloadT = TypeVar("PayloadT")


@dataclass(slots=True, eq=False)
class Entry(Generic[PayloadT]):
    """A message, since when it waits, and how often it came back unsettled."""

    payload: PayloadT
    queued_at: float = field(default_factory=time.monotonic)
    deliveries: int = 0


class MemoryQueue(Generic[PayloadT]):
    """Hands out its entries, oldest first, to its consumers in turn while it is open.

    One that came back unsettled more than `limit` times goes to `give_up` instead.
    """

    def __init__(
        self,
        limit: float = float("inf"),
        give_up: Callable[[PayloadT], None] = lambda _: None,
    ) -> None:
        self._limit = limit
        self._give_up = give_up
        self._ready: deque[Entry[PayloadT]] = deque()
        self._consumers: list[MemoryConsumer[PayloadT]] = []

    def put(self, entry: Entry[PayloadT]) -> None:
        """Add an entry at the end."""
        self._ready.append(entry)
        self.dispatch()

    def give_back(self, entry: Entry[PayloadT]) -> None:
        """Put an unsettled entry where the next consumer finds it first."""
        entry.deliveries += 1
        if entry.deliveries > self._limit:
            self._give_up(entry.payload)
        else:
            self._ready.appendleft(entry)
        self.dispatch()

    def add(self, consumer: MemoryConsumer[PayloadT]) -> None:
        """Let a consumer take its turn from now on."""
        self._consumers.append(consumer)
        self.dispatch()

    def slot_freed(self, consumer: MemoryConsumer[PayloadT]) -> None:
        """Hand on what waited for the slot, and forget a cancelled consumer with nothing left."""
        if not consumer.active and not consumer.held and consumer in self._consumers:
            self._consumers.remove(consumer)
        self.dispatch()

    def dispatch(self) -> None:
        """Hand out what there is room for."""
        while self._ready:
            consumer = next((each for each in self._consumers if each.has_room), None)
            if consumer is None:
                return
            self._consumers.remove(consumer)
            self._consumers.append(consumer)
            consumer.hand_out(self._ready.popleft())

    def depth(self) -> Depth:
        """Return what is ready; `oldest` includes what is handed out and unsettled."""
        held = [entry for consumer in self._consumers for entry in consumer.held]
        times = [entry.queued_at for entry in (*self._ready, *held)]
        oldest = time.monotonic() - min(times) if times else None
        return Depth(ready=len(self._ready), oldest=oldest)

    async def stop(self) -> None:
        """Stop every consumer; everything unsettled goes back."""
        # what the first gives back is not handed to the next
        consumers, self._consumers = self._consumers, []
        for consumer in consumers:
            await consumer.stop()


class MemoryConsumer(Consumer, Generic[PayloadT]):
    """Holds what it handed out until that is settled; `handle` is what it does with an entry."""

    def __init__(
        self,
        queue: MemoryQueue[PayloadT],
        handle: Callable[[MemoryConsumer[PayloadT], Entry[PayloadT]], Awaitable[None]],
        prefetch: int,
    ) -> None:
        self.held: set[Entry[PayloadT]] = set()
        self._queue = queue
        self._handle = handle
        self._prefetch = prefetch
        self._cancelled = False
        self._tasks: dict[asyncio.Task[None], Entry[PayloadT]] = {}

    @property
    def active(self) -> bool:
        """Whether it takes messages."""
        return not self._cancelled

    @property
    def has_room(self) -> bool:
        """Whether another message may be handed out."""
        return self.active and len(self.held) < self._prefetch

    async def cancel(self) -> None:
        """Stop deliveries; what a finished handler left unsettled goes back now."""
        self._cancelled = True
        running = {entry for task, entry in self._tasks.items() if not task.done()}
        for entry in [each for each in self.held if each not in running]:
            self._give_back(entry)
        self._queue.slot_freed(self)

    async def stop(self) -> None:
        """Stop deliveries and the running handlers; everything unsettled goes back."""
        self._cancelled = True
        tasks = set(self._tasks) - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for entry in list(self.held):
            self._give_back(entry)

    def hand_out(self, entry: Entry[PayloadT]) -> None:
        """Start the handler on an entry, in a task of its own."""
        self.held.add(entry)
        task = asyncio.create_task(self._run(entry))
        self._tasks[task] = entry
        task.add_done_callback(self._tasks.pop)

    def settle(self, entry: Entry[PayloadT]) -> None:
        """Let go of an entry that is done with."""
        self.held.discard(entry)
        self._queue.slot_freed(self)

    def _give_back(self, entry: Entry[PayloadT]) -> None:
        self.held.discard(entry)
        self._queue.give_back(entry)

    async def _run(self, entry: Entry[PayloadT]) -> None:
        try:
            await self._handle(self, entry)
        except Exception:  # noqa: BLE001  whatever it was, the message stays ours to give back
            logger.exception("the handler failed and left its message unsettled")
        finally:
            if self._cancelled and entry in self.held:
                self._give_back(entry)
                self._queue.slot_freed(self)
