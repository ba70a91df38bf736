"""Clients of the private node."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from clarion_testing.rabbitmq_harness import RabbitMQHarness
from clarion_testing.rabbitmq_nodes import RabbitMQ


@pytest.fixture
async def harness(rabbitmq: RabbitMQ) -> AsyncIterator[RabbitMQHarness]:
    """Opens clients as any user, and closes them after the test."""
    harness = RabbitMQHarness(rabbitmq)
    yield harness
    await harness.close()
