"""The broker within one process: standalone and the tests run on it. A restart empties it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from clarion.brokers.base import (
    Backlog,
    Broker,
    Change,
    Consumer,
    DeadLetter,
    DeadLetterHandler,
    Delivery,
    Handler,
    Message,
)
from clarion.brokers.memory_queue import Entry, MemoryConsumer, MemoryQueue
from clarion.brokers.topology import DELIVERY_LIMIT
from clarion.errors import BrokerError, BrokerUnavailable
from clarion.notification import LANES, Channel, Lane


@dataclass(frozen=True, slots=True)
class Buried(Message):
    """A message that was given up, parked for people."""

    reason: str
    detail: str
    by_broker: bool


MOST_TOLD = 1000
_CLOSED = "the memory broker is closed"


class MemoryBroker(Broker):
    """Lanes, exact delays and dead letters in this process's memory; none of them is bounded.

    What it holds survives `close`; `connect` opens it again.
    """

    def __init__(self) -> None:
        self._open = False
        self._lanes = {lane: MemoryQueue(DELIVERY_LIMIT, self._give_up) for lane in LANES}
        self._recorder: MemoryQueue[Buried] = MemoryQueue()
        self._delayed: dict[Entry[Message], float] = {}
        self._timers: dict[Entry[Message], asyncio.TimerHandle] = {}
        self._dead: list[Buried] = []
        # nobody can bind a queue here: the last ones are kept to be looked at
        self.told: deque[Change] = deque(maxlen=MOST_TOLD)

    async def connect(self) -> None:
        """Open it; what waited for its time goes on waiting."""
        if self._open:
            return
        self._open = True
        for entry in self._delayed:
            self._wait(entry)

    @property
    def connected(self) -> bool:
        """Whether it is open."""
        return self._open

    async def publish_all(self, messages: Sequence[Message]) -> list[BrokerError | None]:
        """Put each message at the end of its lane; all fail while it is closed."""
        if not self._open:
            return [BrokerUnavailable(_CLOSED)] * len(messages)
        for each in messages:
            copy = Message(each.lane, bytes(each.body), dict(each.headers))
            self._lanes[each.lane].put(Entry(copy))
        return [None] * len(messages)

    async def tell_all(self, changes: Sequence[Change]) -> list[BrokerError | None]:
        """Keep them among the last ones; all fail while it is closed."""
        if not self._open:
            return [BrokerUnavailable(_CLOSED)] * len(changes)
        self.told.extend(changes)
        return [None] * len(changes)

    async def consume(self, lane: Lane, handler: Handler, *, prefetch: int) -> Consumer:
        """Hand the lane's messages to `handler`, oldest first, in turn with other consumers."""
        self._require_open()

        async def handle(consumer: MemoryConsumer[Message], entry: Entry[Message]) -> None:
            await handler(_MemoryDelivery(consumer, self, entry))

        consumer = MemoryConsumer(self._lanes[lane], handle, prefetch)
        self._lanes[lane].add(consumer)
        return consumer

    async def consume_dead_letters(self, handler: DeadLetterHandler, *, prefetch: int) -> Consumer:
        """Hand a copy of what was given up to `handler`, oldest first."""
        self._require_open()

        async def handle(consumer: MemoryConsumer[Buried], entry: Entry[Buried]) -> None:
            await handler(_MemoryDeadLetter(consumer, entry))

        consumer = MemoryConsumer(self._recorder, handle, prefetch)
        self._recorder.add(consumer)
        return consumer

    async def backlog(self) -> Backlog:
        """Return what waits where, exactly; `oldest` includes what is handed out and unsettled."""
        self._require_open()
        return Backlog(
            lanes={lane: queue.depth() for lane, queue in self._lanes.items()},
            dead={channel: len(self.dead_letters(channel)) for channel in Channel},
            delayed=len(self._delayed),
        )

    async def close(self) -> None:
        """Stop what runs and put every unsettled message back at the head of its lane."""
        self._open = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for queue in self._lanes.values():
            await queue.stop()
        await self._recorder.stop()

    def dead_letters(self, channel: Channel) -> tuple[Buried, ...]:
        """Return what was given up on a channel, oldest first."""
        return tuple(letter for letter in self._dead if letter.lane.channel is channel)

    def park(self, message: Message, delay: float) -> None:
        """Keep a copy back for `delay` seconds. Raises `BrokerUnavailable` when closed."""
        self._require_open()
        due = time.monotonic() + max(delay, 0.0)
        entry = Entry(message, queued_at=due)
        self._delayed[entry] = due
        self._wait(entry)

    def bury(self, message: Message, reason: str, detail: str) -> None:
        """Keep a dead letter. Raises `BrokerUnavailable` when closed."""
        self._require_open()
        self._bury(message, reason, detail, by_broker=False)

    def _give_up(self, message: Message) -> None:
        detail = f"given up by the memory broker in {message.lane.routing_key}"
        self._bury(message, "delivery_limit", detail, by_broker=True)

    def _bury(self, message: Message, reason: str, detail: str, *, by_broker: bool) -> None:
        letter = Buried(
            message.lane, message.body, message.headers, reason, detail, by_broker=by_broker
        )
        self._dead.append(letter)
        self._recorder.put(Entry(letter))

    def _require_open(self) -> None:
        if not self._open:
            raise BrokerUnavailable(_CLOSED)

    def _wait(self, entry: Entry[Message]) -> None:
        left = self._delayed[entry] - time.monotonic()
        if left > 0:
            # a loop may round its timers down: look at the clock again when this one fires
            loop = asyncio.get_running_loop()
            self._timers[entry] = loop.call_later(left, self._wait, entry)
            return
        self._timers.pop(entry, None)
        # waits for the loop's next turn, so that connect() may iterate over what is delayed
        asyncio.get_running_loop().call_soon(self._come_back, entry)

    def _come_back(self, entry: Entry[Message]) -> None:
        if self._delayed.pop(entry, None) is not None:
            self._lanes[entry.payload.lane].put(entry)


class _MemoryDelivery(Delivery):
    """One handing out of a message."""

    def __init__(
        self, consumer: MemoryConsumer[Message], broker: MemoryBroker, entry: Entry[Message]
    ) -> None:
        self.lane = entry.payload.lane
        self.body = entry.payload.body
        self.headers = entry.payload.headers
        self.deliveries = entry.deliveries
        self._consumer = consumer
        self._broker = broker
        self._entry = entry
        self._settled = False

    async def ack(self) -> None:
        """Settle it as done; nothing happens when it went back to its lane meanwhile."""
        self._once()
        if self._entry in self._consumer.held:
            self._settle()

    async def retry(self, delay: float) -> None:
        """Keep a copy back for `delay` seconds and settle this one."""
        self._once()
        self._require_held()
        self._broker.park(self._entry.payload, delay)
        self._settle()

    async def dead_letter(self, reason: str, detail: str = "") -> None:
        """Park it for people and settle it."""
        self._once()
        self._require_held()
        self._broker.bury(self._entry.payload, reason, detail)
        self._settle()

    def _once(self) -> None:
        if self._settled:
            raise RuntimeError("this delivery was settled before")

    def _require_held(self) -> None:
        if self._entry not in self._consumer.held:
            raise BrokerUnavailable("the message went back to its lane before it was settled")

    def _settle(self) -> None:
        self._settled = True
        self._consumer.settle(self._entry)


class _MemoryDeadLetter(DeadLetter):
    """One handing out of a dead letter."""

    def __init__(self, consumer: MemoryConsumer[Buried], entry: Entry[Buried]) -> None:
        letter = entry.payload
        self.channel = letter.lane.channel
        self.priority = letter.lane.priority
        self.body = letter.body
        self.headers = letter.headers
        self.reason = letter.reason
        self.detail = letter.detail
        self.by_broker = letter.by_broker
        self._consumer = consumer
        self._entry = entry

    async def ack(self) -> None:
        """Settle it as recorded; nothing happens when it went back meanwhile."""
        if self._entry in self._consumer.held:
            self._consumer.settle(self._entry)
