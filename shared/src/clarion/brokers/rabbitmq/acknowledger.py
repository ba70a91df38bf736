"""Acknowledging what was settled at about the same time with as few frames as possible."""

from __future__ import annotations

import asyncio
import contextlib

from aiormq.abc import AbstractChannel

from clarion.brokers.rabbitmq.failures import TIMEOUT, within
from clarion.errors import BrokerUnavailable


class Acknowledger:
    """Acknowledges the messages of one channel that has a single consumer.

    Its delivery tags are then 1, 2, 3 and so on (AMQP 0-9-1, 1.8.3.13), and one frame acknowledges
    all up to a tag. It is used as far as everything is settled: a message that is still held, or
    not yet seen, is never acknowledged with those behind it, which get a frame each instead.
    """

    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel
        self._floor = 0
        self._beyond: set[int] = set()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def ack(self, tag: int) -> None:
        """Return once it is sent; nothing happens when the channel is gone."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((tag, future))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        await future

    async def give_back(self, tag: int) -> None:
        """Return it to its queue; nothing happens when the channel is gone."""
        with contextlib.suppress(BrokerUnavailable):
            async with within(TIMEOUT, "give back"):
                await self.channel.basic_nack(tag, requeue=True)
        self._beyond.add(tag)

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                with contextlib.suppress(BrokerUnavailable):
                    async with within(TIMEOUT, "acknowledge"):
                        await self._acknowledge([tag for tag, _ in batch])
                for _, future in batch:
                    if not future.done():
                        future.set_result(None)
        finally:
            self._sending = None

    async def _acknowledge(self, tags: list[int]) -> None:
        self._beyond.update(tags)
        while self._floor + 1 in self._beyond:
            self._floor += 1
            self._beyond.discard(self._floor)
        together = [tag for tag in tags if tag <= self._floor]
        if together:
            # the last of these, not the floor: a tag that is not outstanding any more ends the
            # channel, after RabbitMQ (3.10) has acknowledged whatever is on it
            await self.channel.basic_ack(max(together), multiple=True)
        for tag in tags:
            if tag > self._floor:
                await self.channel.basic_ack(tag)
