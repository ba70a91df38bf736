"""Passing the gate: in the order of the lanes, one to try, or not at all."""

import asyncio
from collections.abc import Iterable

import pytest

from clarion.circuit import CircuitPolicy, State
from clarion.errors import Misconfigured, Throttled
from clarion.gate import Call, Gate, PutOff
from clarion.notification import Channel, Priority
from clarion.provider import SentMessage

SENT = SentMessage("id")
BAD_KEY = Misconfigured("bad key", code="401")


def new_gate(rate: float | None = None, seconds: float = 0.05) -> Gate:
    return Gate(Channel.EMAIL, CircuitPolicy(faults=3, seconds=seconds), rate)


async def passing(gate: Gate, passed: list[Priority], priority: Priority) -> None:
    async with gate.turn(priority) as call:
        passed.append(priority)
        gate.answered(call, SENT)


async def opened(gate: Gate) -> None:
    async with gate.turn(Priority.HIGH) as call:
        assert gate.answered(call, BAD_KEY) is State.OPEN


async def in_line(gate: Gate, priorities: Iterable[Priority]) -> list[asyncio.Task[None]]:
    """Return the tasks of messages that wait for their turn."""
    passed: list[Priority] = []
    tasks = [asyncio.create_task(passing(gate, passed, each)) for each in priorities]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_a_password_reset_passes_before_the_campaign_that_came_first() -> None:
    gate, passed = new_gate(rate=200), list[Priority]()
    campaign = [asyncio.create_task(passing(gate, passed, Priority.LOW)) for _ in range(60)]
    await asyncio.sleep(0)

    resets = [asyncio.create_task(passing(gate, passed, Priority.HIGH)) for _ in range(20)]
    await asyncio.gather(*campaign, *resets)

    last_reset = max(index for index, each in enumerate(passed) if each is Priority.HIGH)
    # what passed at once before the resets came, and every tenth since
    assert passed[:last_reset].count(Priority.LOW) <= 25


async def test_each_lane_keeps_its_share_of_a_rate_that_is_too_low() -> None:
    gate, passed = new_gate(rate=100), list[Priority]()

    await asyncio.gather(*(passing(gate, passed, each) for each in Priority for _ in range(40)))

    meanwhile = passed[20:40]  # ten had passed before the others came
    assert meanwhile.count(Priority.HIGH) == 14
    assert meanwhile.count(Priority.NORMAL) == 4
    assert meanwhile.count(Priority.LOW) == 2


async def test_what_waits_for_its_turn_is_put_off_when_the_circuit_opens() -> None:
    gate = new_gate(rate=1, seconds=60)
    async with gate.turn(Priority.HIGH) as call:
        waiting = await in_line(gate, [Priority.HIGH, Priority.LOW])
        gate.answered(call, BAD_KEY)

    ends = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(end) for end in ends] == [PutOff, PutOff]
    assert all(0 < end.seconds <= 60 for end in ends if isinstance(end, PutOff))
    with pytest.raises(PutOff):
        await passing(gate, [], Priority.HIGH)


async def until_half_open(gate: Gate) -> None:
    while gate.state is not State.HALF_OPEN:  # noqa: ASYNC110  it is time that changes it
        await asyncio.sleep(gate.wait)


async def test_while_one_call_is_tried_the_others_wait_for_its_answer() -> None:
    gate, passed = new_gate(), list[Priority]()
    await opened(gate)
    await until_half_open(gate)

    async with gate.turn(Priority.LOW) as call:
        waiting = [asyncio.create_task(passing(gate, passed, Priority.HIGH)) for _ in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        before = list(passed)
        changed = gate.answered(call, SENT)
    await asyncio.gather(*waiting)

    assert not before
    assert changed is State.CLOSED
    assert len(passed) == 3


async def test_a_try_that_fails_puts_the_others_off() -> None:
    gate = new_gate()
    await opened(gate)
    await until_half_open(gate)

    async with gate.turn(Priority.LOW) as call:
        waiting = await in_line(gate, [Priority.HIGH])
        gate.answered(call, BAD_KEY)

    with pytest.raises(PutOff):
        await waiting[0]
    assert gate.wait > 0.05  # twice as long as at first


async def test_a_message_that_turns_out_finished_leaves_its_try_to_the_next() -> None:
    gate, passed = new_gate(), list[Priority]()
    await opened(gate)
    await until_half_open(gate)

    async with gate.turn(Priority.LOW):
        waiting = asyncio.create_task(passing(gate, passed, Priority.HIGH))
        await asyncio.sleep(0)
    await waiting

    assert gate.state is State.CLOSED


async def test_who_gives_up_waiting_leaves_its_turn_to_the_next() -> None:
    gate = new_gate()
    await opened(gate)
    await until_half_open(gate)

    async with gate.turn(Priority.LOW):
        first, second = await in_line(gate, [Priority.HIGH, Priority.HIGH])
        first.cancel()
    first.cancel()
    await second

    assert first.cancelled()
    assert gate.state is State.CLOSED


async def test_a_turn_that_comes_too_late_is_not_lost() -> None:
    gate = new_gate()
    await opened(gate)
    await until_half_open(gate)

    async with gate.turn(Priority.LOW):
        first, second = await in_line(gate, [Priority.HIGH, Priority.HIGH])
    first.cancel()  # the turn is its own already
    await second

    assert gate.state is State.CLOSED


async def test_a_closed_gate_lets_nobody_wait_but_stops_nobody() -> None:
    gate = new_gate(rate=1)
    await passing(gate, [], Priority.HIGH)
    waiting = await in_line(gate, [Priority.HIGH])

    gate.close()

    with pytest.raises(PutOff):
        await waiting[0]
    unlimited = new_gate()
    unlimited.close()
    await passing(unlimited, [], Priority.HIGH)


async def test_refusals_of_many_slow_the_gate_and_it_says_so() -> None:
    gate = new_gate(rate=1000)

    calls: list[Call] = []
    for _ in range(10):
        async with gate.turn(Priority.HIGH) as call:
            calls.append(call)
            gate.answered(call, Throttled("too many", code="429"))

    assert gate.rate is not None
    assert gate.rate < 1000
