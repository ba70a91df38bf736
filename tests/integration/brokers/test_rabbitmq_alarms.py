"""While RabbitMQ holds publishers back for an alarm, that is told at once, and it passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from clarion.brokers.base import Broker
from clarion.brokers.rabbitmq import publisher
from clarion.errors import BrokerUnavailable
from clarion_testing.broker_contract import LANE, Inbox
from clarion_testing.rabbitmq_harness import RabbitMQHarness
from clarion_testing.rabbitmq_nodes import RabbitMQ

pytestmark = pytest.mark.timeout(120)

ALARMS = {
    "memory": (
        ("set_vm_memory_high_watermark", "0.00001"),
        ("set_vm_memory_high_watermark", "0.6"),
    ),
    "disk": (("set_disk_free_limit", "1000000GB"), ("set_disk_free_limit", "1MB")),
}


@asynccontextmanager
async def _alarm(node: RabbitMQ, kind: str) -> AsyncIterator[None]:
    on, off = ALARMS[kind]
    await asyncio.to_thread(node.ctl, *on)
    try:
        yield
    finally:
        await asyncio.to_thread(node.ctl, *off)


async def _until(condition: Callable[[], bool]) -> None:
    # the client tells nobody when it is connected again, or an alarm is over
    while True:
        if condition():
            return
        await asyncio.sleep(0.01)


async def _publish_for_ever(broker: Broker) -> None:
    while True:
        await broker.publish(LANE, b"early", {})


@pytest.fixture(autouse=True)
def _no_publish_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # what is told only after a wait for a confirm is not told at all
    monkeypatch.setattr(publisher, "TIMEOUT", 3600.0)


@pytest.mark.parametrize("kind", list(ALARMS))
async def test_publishing_under_an_alarm_names_it_at_once_and_goes_on_after_it(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ, kind: str
) -> None:
    broker, inbox = await harness.open(), Inbox()
    await broker.consume(LANE, inbox, prefetch=100)
    await broker.publish(LANE, b"held", {})
    held = await inbox.next()
    before = broker.blocked

    async with _alarm(rabbitmq, kind):
        with pytest.raises(BrokerUnavailable, match=f"holds publishers back: low on {kind}"):
            await _publish_for_ever(broker)  # the node looks at its memory now and then
        during = (broker.blocked, broker.connected)
        with pytest.raises(BrokerUnavailable, match=f"low on {kind}"):
            await broker.publish(LANE, b"refused", {})
        await held.ack()
        await broker.backlog()
    await _until(lambda: broker.blocked is None)
    await broker.publish(LANE, b"after", {})

    bodies = set()
    while b"after" not in bodies:
        bodies.add((await inbox.next()).body)
    assert before is None
    assert during == (f"low on {kind}", True)
    assert b"refused" not in bodies


async def test_every_publish_that_waits_for_its_confirm_is_told(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker = await harness.open()

    async with _alarm(rabbitmq, "disk"):
        burst = [broker.publish(LANE, b"", {}) for _ in range(200)]
        answers = await asyncio.gather(*burst, return_exceptions=True)
        told = [answer for answer in answers if isinstance(answer, BrokerUnavailable)]

    assert len(told) == 200
    assert all("low on disk" in str(answer) for answer in told)


async def test_what_a_connection_was_told_ends_with_it(
    harness: RabbitMQHarness, rabbitmq: RabbitMQ
) -> None:
    broker = await harness.open()
    async with _alarm(rabbitmq, "disk"):
        with pytest.raises(BrokerUnavailable, match="low on disk"):
            await broker.publish(LANE, b"early", {})
        await asyncio.to_thread(rabbitmq.ctl, "close_all_connections", "test")
        await _until(lambda: broker.blocked is None)
        await _until(lambda: broker.connected)
        # the alarm goes on, and of the new connection nobody has said so
        assert broker.blocked is None

    await broker.publish(LANE, b"after", {})
