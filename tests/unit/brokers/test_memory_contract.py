"""The memory broker keeps the contract of every broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from clarion.brokers.base import Broker
from clarion.brokers.memory import MemoryBroker
from clarion.notification import Channel
from clarion_testing.broker_contract import BrokerContract, BrokerHarness, Parked
from clarion_testing.dead_letter_contract import DeadLetterContract


class _Memory(BrokerHarness):
    def __init__(self) -> None:
        self.broker = MemoryBroker()

    async def open(self) -> Broker:
        await self.broker.connect()
        return self.broker

    async def dead_letters(self, channel: Channel) -> list[Parked]:
        return [
            Parked(letter.body, dict(letter.headers), letter.reason, letter.detail)
            for letter in self.broker.dead_letters(channel)
        ]


class TestMemory(BrokerContract, DeadLetterContract):
    @pytest.fixture
    async def harness(self) -> AsyncIterator[BrokerHarness]:
        memory = _Memory()
        yield memory
        await memory.broker.close()
