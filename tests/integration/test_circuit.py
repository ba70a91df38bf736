"""A provider that is down, or refuses too many calls, on RabbitMQ and PostgreSQL, judged by the
sandbox and the record."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from clarion.brokers.base import Delivery
from clarion.circuit import State
from clarion.notification import Channel, Priority
from clarion.store import open_store
from clarion.worker import Worker
from clarion_testing.postgres import Postgres
from clarion_testing.rabbitmq_nodes import RabbitMQ
from clarion_testing.system import System, event, running_system

FAULTS = 5
IN_FLIGHT = 10


@pytest.fixture
def deliveries(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often each message that a worker was handed had been handed out before."""
    seen: list[int] = []
    handle = Worker.handle

    async def watched(worker: Worker[Any], delivery: Delivery) -> None:
        seen.append(delivery.deliveries)
        await handle(worker, delivery)

    monkeypatch.setattr(Worker, "handle", watched)
    return seen


@pytest.fixture
async def system_of_outages(
    deliveries: list[int], rabbitmq: RabbitMQ, postgres: Postgres
) -> AsyncIterator[System]:
    settings: dict[str, Any] = {
        "circuit_faults": FAULTS,
        "circuit_seconds": 0.5,
        # far fewer than a test sends: calls that are under way together learn nothing in time
        **{f"prefetch_{priority}": IN_FLIGHT for priority in Priority},
    }
    async with running_system(rabbitmq, postgres.url, **settings) as system:
        yield system


async def turned(system: System, state: State) -> None:
    async with asyncio.timeout(60):
        while system.workers[Channel.EMAIL].gate.state is not state:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def failures(postgres: Postgres, identifiers: list[str]) -> int:
    """Return how many attempts were spent on all of these."""
    store = open_store(postgres.url)
    histories = [await store.get(each) for each in identifiers]
    await store.close()
    return sum(history.record.failures for history in histories if history is not None)


async def test_an_outage_is_sat_out_with_the_messages_in_the_queue_and_nothing_spent(
    system_of_outages: System, deliveries: list[int], postgres: Postgres
) -> None:
    system = system_of_outages
    outage = {"channel": "email", "action": {"type": "status", "code": 503}}
    await system.faults(outage)
    priorities = itertools.cycle(["high", "normal", "low"])
    events = [event("email") | {"priority": next(priorities)} for _ in range(150)]

    identifiers = await asyncio.gather(*map(system.send, events))
    await turned(system, State.OPEN)
    await turned(system, State.HALF_OPEN)
    await turned(system, State.OPEN)  # a probe has failed
    calls = sum([len(await system.calls(each)) for each in identifiers])
    await system.faults()
    ends = [await system.until(each) for each in identifiers]
    sent = [await system.calls(each) for each in identifiers]

    assert {end["status"] for end in ends} == {"sent"}
    assert all(sum(call["accepted"] for call in each) == 1 for each in sent)
    assert calls < 150
    assert await failures(postgres, identifiers) <= FAULTS
    # RabbitMQ may count what it was just handing out when it was told to stop; never twice, as a
    # message that is put off is a new one
    assert len([each for each in deliveries if each]) <= 3
    assert max(deliveries) <= 1
    assert system.workers[Channel.EMAIL].gate.state is State.CLOSED


async def test_an_idle_channel_whose_provider_was_down_delivers_the_first_message_that_comes(
    system_of_outages: System,
) -> None:
    system = system_of_outages
    action = {"type": "status", "code": 401}
    await system.faults({"channel": "email", "times": 1, "action": action})
    first = await system.send(event("email"))
    await system.until(first, "retrying")
    await turned(system, State.HALF_OPEN)

    second = await system.until(await system.send(event("email")))
    held = await system.get(first)

    assert second["status"] == "sent"
    assert (held["status"], held["reason"]) == ("retrying", "provider_auth")
    assert system.workers[Channel.EMAIL].gate.state is State.CLOSED


async def slowed(system: System) -> None:
    async with asyncio.timeout(60):
        while system.workers[Channel.EMAIL].gate.rate is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_limit_of_the_whole_channel_slows_it_instead_of_refusing_every_message(
    system_of_outages: System,
) -> None:
    system = system_of_outages
    action = {"type": "status", "code": 429, "headers": {"Retry-After": "1"}}
    await system.faults({"channel": "email", "action": action})
    posts = [asyncio.create_task(system.send(event("email"))) for _ in range(200)]

    await slowed(system)
    identifiers = await asyncio.gather(*posts)
    refused = sum([len(await system.calls(each)) for each in identifiers])
    await system.faults()
    ends = [await system.until(each) for each in identifiers]

    assert refused < len(identifiers)
    assert {end["status"] for end in ends} == {"sent"}
    assert system.workers[Channel.EMAIL].gate.state is State.CLOSED


async def test_one_recipients_own_limit_slows_nobody(system_of_outages: System) -> None:
    system = system_of_outages
    throttled = await system.send(event("email", email="throttle@sandbox.test"))
    await system.until(throttled, "retrying")

    other = await system.until(await system.send(event("email")))
    rate = system.workers[Channel.EMAIL].gate.rate
    held = await system.until(throttled)

    assert (other["status"], held["status"]) == ("sent", "sent")
    assert rate is None
