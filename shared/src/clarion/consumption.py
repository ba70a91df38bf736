"""Taking one channel's messages from its lanes: start, pause, stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from loguru import logger

from clarion.brokers.base import Broker, Consumer, Handler
from clarion.errors import BrokerUnavailable
from clarion.notification import Channel, Lane, Priority
from clarion.patience import patiently


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
        self._resumed_at = 0.0
        self._pause: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self) -> None:
        """Take messages from every lane. Raises `BrokerUnavailable`."""
        await self._cancel()  # what an attempt that failed half way had started
        for priority in Priority:
            consumer = await self._broker.consume(
                Lane(self._channel, priority), self._handler, prefetch=self._prefetch[priority]
            )
            self._consumers.append(consumer)

    @property
    def active(self) -> bool:
        """Whether the broker is delivering every lane now."""
        return bool(self._consumers) and all(consumer.active for consumer in self._consumers)

    @property
    def pause_left(self) -> float:
        """Seconds until messages are taken again; 0 while they are."""
        return max(self._resumed_at - time.monotonic(), 0.0)

    def pause(self, seconds: float) -> None:
        """Take no messages for a while, then go on; a pause under way is not made longer."""
        if self._stopped or self.pause_left:
            return
        self._resumed_at = time.monotonic() + seconds
        self._pause = asyncio.create_task(self._sit_out(seconds))

    async def stop(self) -> None:
        """Take no more messages."""
        self._stopped = True
        if self._pause is not None:
            self._pause.cancel()
        await self._cancel()

    async def _sit_out(self, seconds: float) -> None:
        await self._cancel()
        await asyncio.sleep(seconds)
        await patiently(self.start, BrokerUnavailable, "taking messages again")
        logger.bind(channel=self._channel).info("channel goes on")

    async def _cancel(self) -> None:
        while self._consumers:
            await self._consumers.pop().cancel()
