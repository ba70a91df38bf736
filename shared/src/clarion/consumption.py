"""Taking one channel's messages from its lanes: start, pause, one at a time, resume, stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from loguru import logger

from clarion.brokers.base import Broker, Consumer, Handler
from clarion.errors import BrokerUnavailable
from clarion.notification import Channel, Lane, Priority
from clarion.patience import patiently

ONE = dict.fromkeys(Priority, 1)

ROUNDING = 0.01
"""Seconds by which a loop may wake too early: a message taken then would be put off once more."""

QUIET = 0.5
"""Seconds for what the broker is just handing out to arrive; as nothing is settled meanwhile, no
more follows it."""


class Consumption:
    """The consumers of a channel's lanes, each with its own prefetch."""

    def __init__(
        self, broker: Broker, channel: Channel, prefetch: Mapping[Priority, int], handler: Handler
    ) -> None:
        self._broker = broker
        self._channel = channel
        self._prefetch = prefetch
        self._handler = handler
        self._consumers: list[Consumer] = []
        self._changes: set[asyncio.Task[None]] = set()
        self._turning = 0
        self._steady = asyncio.Event()
        self._steady.set()
        self._stopped = False

    async def start(self) -> None:
        """Take messages from every lane. Raises `BrokerUnavailable`."""
        await self._start(self._prefetch)

    @property
    def active(self) -> bool:
        """Whether the broker is delivering every lane now."""
        return bool(self._consumers) and all(consumer.active for consumer in self._consumers)

    def pause(self, seconds: float) -> None:
        """Take no messages for a while, then one of each lane at a time, until `resume`."""
        self._turn_to(lambda: self._sit_out(seconds))

    def resume(self) -> None:
        """Take as many messages as at the start."""
        self._turn_to(lambda: self._take(self._prefetch))

    async def steady(self) -> None:
        """Return once no consumer is about to be cancelled.

        A message that is settled meanwhile makes the broker hand out the next one to a consumer
        that takes no more: it goes back, and that counts against its delivery limit.
        """
        await self._steady.wait()

    async def stop(self) -> None:
        """Take no more messages."""
        self._stopped = True
        for change in self._changes:
            change.cancel()
        if self._changes:
            await asyncio.wait(self._changes)
        self._steady.set()  # one that had not begun does not say so itself
        await self._cancel()

    def _turn_to(self, change: Callable[[], Awaitable[None]]) -> None:
        if not self._stopped:
            self._turning += 1
            self._steady.clear()
            task = asyncio.create_task(self._after(set(self._changes), change))
            self._changes.add(task)
            task.add_done_callback(self._changes.discard)

    async def _after(
        self, former: set[asyncio.Task[None]], change: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            if former:
                # a consumer that is broken off as it starts has been handed a message, too
                await asyncio.wait(former)
            await asyncio.sleep(QUIET)
            await self._cancel()
        finally:
            self._turning -= 1
            if not self._turning:
                self._steady.set()
        await change()

    async def _sit_out(self, seconds: float) -> None:
        await asyncio.sleep(seconds + ROUNDING)
        logger.bind(channel=self._channel).info("circuit half open, one message is tried")
        await self._take(ONE)

    async def _take(self, prefetch: Mapping[Priority, int]) -> None:
        await patiently(lambda: self._start(prefetch), BrokerUnavailable, "taking messages again")

    async def _start(self, prefetch: Mapping[Priority, int]) -> None:
        await self._cancel()  # what an attempt that failed half way had started
        for priority in Priority:
            consumer = await self._broker.consume(
                Lane(self._channel, priority), self._handler, prefetch=prefetch[priority]
            )
            self._consumers.append(consumer)

    async def _cancel(self) -> None:
        consumers, self._consumers = self._consumers, []
        # to the end, whatever becomes of the caller: half cancelled, one gives back all it is given
        await asyncio.shield(_cancel_all(consumers))


async def _cancel_all(consumers: list[Consumer]) -> None:
    for consumer in consumers:
        await consumer.cancel()
