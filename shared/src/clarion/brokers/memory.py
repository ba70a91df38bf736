"""The broker within one process: standalone and the tests run on it. A restart empties it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from loguru import logger

from clarion.brokers.base import Backlog, Broker, Consumer, Delivery, Depth, Handler, Headers
from clarion.errors import BrokerUnavailable
from clarion.notification import LANES, Channel, Lane


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up, parked for people."""

    lane: Lane
    body: bytes
    headers: Headers
    reason: str
    detail: str


@dataclass(slots=True, eq=False)
class _Message:
    lane: Lane
    body: bytes
    headers: Headers
    queued_at: float = field(default_factory=time.monotonic)
    deliveries: int = 0


class MemoryBroker(Broker):
    """Lanes, exact delays and dead letters in this process's memory; none of them is bounded.

    What it holds survives `close`; `connect` opens it again.
    """

    def __init__(self) -> None:
        self._open = False
        self._ready: dict[Lane, deque[_Message]] = {lane: deque() for lane in LANES}
        self._consumers: dict[Lane, list[_MemoryConsumer]] = {lane: [] for lane in LANES}
        self._delayed: dict[_Message, float] = {}
        self._timers: dict[_Message, asyncio.TimerHandle] = {}
        self._dead: list[DeadLetter] = []

    async def connect(self) -> None:
        """Open it; what waited for its time goes on waiting."""
        if self._open:
            return
        self._open = True
        for message in self._delayed:
            self._wait(message)

    @property
    def connected(self) -> bool:
        """Whether it is open."""
        return self._open

    async def publish(self, lane: Lane, body: bytes, headers: Headers) -> None:
        """Put the message at the end of its lane. Raises `BrokerUnavailable` when closed."""
        self._require_open()
        self._enqueue(_Message(lane, bytes(body), dict(headers)))

    async def consume(self, lane: Lane, handler: Handler, *, prefetch: int) -> Consumer:
        """Hand the lane's messages to `handler`, oldest first, in turn with other consumers."""
        self._require_open()
        consumer = _MemoryConsumer(self, lane, handler, prefetch)
        self._consumers[lane].append(consumer)
        self._dispatch(lane)
        return consumer

    async def backlog(self) -> Backlog:
        """Return what waits where, exactly; `oldest` includes what is handed out and unsettled."""
        self._require_open()
        return Backlog(
            lanes={lane: self._depth(lane) for lane in LANES},
            dead={channel: len(self.dead_letters(channel)) for channel in Channel},
            delayed=len(self._delayed),
        )

    async def close(self) -> None:
        """Stop what runs and put every unsettled message back at the head of its lane."""
        self._open = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for lane in LANES:
            for consumer in list(self._consumers[lane]):
                await consumer.stop()
            self._consumers[lane].clear()

    def dead_letters(self, channel: Channel) -> tuple[DeadLetter, ...]:
        """Return what was given up on a channel, oldest first."""
        return tuple(letter for letter in self._dead if letter.lane.channel is channel)

    def park(self, message: _Message, delay: float) -> None:
        """Keep a copy back for `delay` seconds. Raises `BrokerUnavailable` when closed."""
        self._require_open()
        due = time.monotonic() + max(delay, 0.0)
        copy = _Message(message.lane, message.body, message.headers, queued_at=due)
        self._delayed[copy] = due
        self._wait(copy)

    def bury(self, message: _Message, reason: str, detail: str) -> None:
        """Keep a dead letter. Raises `BrokerUnavailable` when closed."""
        self._require_open()
        letter = DeadLetter(message.lane, message.body, message.headers, reason, detail)
        self._dead.append(letter)

    def give_back(self, message: _Message) -> None:
        """Put an unsettled message where the next consumer finds it first."""
        message.deliveries += 1
        self._ready[message.lane].appendleft(message)
        self._dispatch(message.lane)

    def slot_freed(self, consumer: _MemoryConsumer) -> None:
        """Hand on what waited for the slot, and forget a cancelled consumer with nothing left."""
        if not consumer.active and not consumer.held:
            self._forget(consumer)
        self._dispatch(consumer.lane)

    def _forget(self, consumer: _MemoryConsumer) -> None:
        if consumer in self._consumers[consumer.lane]:
            self._consumers[consumer.lane].remove(consumer)

    def _require_open(self) -> None:
        if not self._open:
            raise BrokerUnavailable("the memory broker is closed")

    def _enqueue(self, message: _Message) -> None:
        self._ready[message.lane].append(message)
        self._dispatch(message.lane)

    def _dispatch(self, lane: Lane) -> None:
        ready, consumers = self._ready[lane], self._consumers[lane]
        while self._open and ready:
            consumer = next((each for each in consumers if each.has_room), None)
            if consumer is None:
                return
            consumers.remove(consumer)
            consumers.append(consumer)
            consumer.hand_out(ready.popleft())

    def _wait(self, message: _Message) -> None:
        left = self._delayed[message] - time.monotonic()
        if left > 0:
            # a loop may round its timers down: look at the clock again when this one fires
            loop = asyncio.get_running_loop()
            self._timers[message] = loop.call_later(left, self._wait, message)
            return
        self._timers.pop(message, None)
        # waits for the loop's next turn, so that connect() may iterate over what is delayed
        asyncio.get_running_loop().call_soon(self._come_back, message)

    def _come_back(self, message: _Message) -> None:
        if self._delayed.pop(message, None) is not None:
            self._enqueue(message)

    def _depth(self, lane: Lane) -> Depth:
        held = [message for consumer in self._consumers[lane] for message in consumer.held]
        times = [message.queued_at for message in (*self._ready[lane], *held)]
        oldest = time.monotonic() - min(times) if times else None
        return Depth(ready=len(self._ready[lane]), oldest=oldest)


class _MemoryConsumer(Consumer):
    """Holds what it handed out until that is settled."""

    def __init__(self, broker: MemoryBroker, lane: Lane, handler: Handler, prefetch: int) -> None:
        self.lane = lane
        self.held: set[_Message] = set()
        self._broker = broker
        self._handler = handler
        self._prefetch = prefetch
        self._cancelled = False
        self._tasks: dict[asyncio.Task[None], _Message] = {}

    @property
    def active(self) -> bool:
        """Whether it takes messages."""
        return not self._cancelled and self._broker.connected

    @property
    def has_room(self) -> bool:
        """Whether another message may be handed out."""
        return self.active and len(self.held) < self._prefetch

    async def cancel(self) -> None:
        """Stop deliveries; what a finished handler left unsettled goes back to the lane now."""
        self._cancelled = True
        running = {message for task, message in self._tasks.items() if not task.done()}
        for message in [each for each in self.held if each not in running]:
            self._give_back(message)
        self._broker.slot_freed(self)

    async def stop(self) -> None:
        """Stop deliveries and the running handlers; everything unsettled goes back."""
        self._cancelled = True
        tasks = set(self._tasks) - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for message in list(self.held):
            self._give_back(message)

    def hand_out(self, message: _Message) -> None:
        """Start the handler on a message, in a task of its own."""
        self.held.add(message)
        delivery = _MemoryDelivery(self, self._broker, message)
        task = asyncio.create_task(self._run(delivery, message))
        self._tasks[task] = message
        task.add_done_callback(self._tasks.pop)

    def settle(self, message: _Message) -> None:
        """Let go of a message that is done with."""
        self.held.discard(message)
        self._broker.slot_freed(self)

    def _give_back(self, message: _Message) -> None:
        self.held.discard(message)
        self._broker.give_back(message)

    async def _run(self, delivery: Delivery, message: _Message) -> None:
        try:
            await self._handler(delivery)
        except Exception:  # noqa: BLE001  whatever it was, the message stays ours to give back
            logger.exception("the handler failed and left its message unsettled")
        finally:
            if self._cancelled and message in self.held:
                self._give_back(message)
                self._broker.slot_freed(self)


class _MemoryDelivery(Delivery):
    """One handing out of a message."""

    def __init__(self, consumer: _MemoryConsumer, broker: MemoryBroker, message: _Message) -> None:
        self.lane = message.lane
        self.body = message.body
        self.headers = message.headers
        self.deliveries = message.deliveries
        self._consumer = consumer
        self._broker = broker
        self._message = message
        self._settled = False

    async def ack(self) -> None:
        """Settle it as done; nothing happens when it went back to its lane meanwhile."""
        self._once()
        if self._message in self._consumer.held:
            self._settle()

    async def retry(self, delay: float) -> None:
        """Keep a copy back for `delay` seconds and settle this one."""
        self._once()
        self._require_held()
        self._broker.park(self._message, delay)
        self._settle()

    async def dead_letter(self, reason: str, detail: str = "") -> None:
        """Park it for people and settle it."""
        self._once()
        self._require_held()
        self._broker.bury(self._message, reason, detail)
        self._settle()

    def _once(self) -> None:
        if self._settled:
            raise RuntimeError("this delivery was settled before")

    def _require_held(self) -> None:
        if self._message not in self._consumer.held:
            raise BrokerUnavailable("the message went back to its lane before it was settled")

    def _settle(self) -> None:
        self._settled = True
        self._consumer.settle(self._message)
