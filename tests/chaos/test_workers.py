"""Workers die at every step, hang, multiply, and disagree about the time."""

from __future__ import annotations

import asyncio

import pytest

from clarion.notification import Channel
from clarion_testing.chaos.processes import Crash
from clarion_testing.chaos.proxy import CuttingProxy
from clarion_testing.chaos.scenario import COUNT, Scenario

FROZEN_SECONDS = 7.0
"""Longer than a lease of 3 s, the delay queue of 4 s that it is waited for in, and the grace."""

STEPS = [
    # at which passage each of a channel's workers dies: a few hundred messages pass every step,
    # but only the refused and the interrupted ones pass by a retry
    Crash("claim:before", 90),
    Crash("claim:after", 90),
    Crash("provider:before", 90),
    Crash("provider:after", 90),
    Crash("record:before", 90),
    Crash("record:after", 90),
    Crash("retry:before", 8),
    Crash("retry:after", 8),
    Crash("ack:before", 90),
    Crash("ack:after", 90),
]


async def test_workers_killed_at_every_step_in_turn(scenario: Scenario) -> None:
    # the workers of all channels run the same code: each dies at a third of the steps
    await scenario.start(
        crashes={channel: STEPS[number::3] for number, channel in enumerate(Channel)}
    )

    await scenario.send()

    await scenario.end()


@pytest.mark.chaos
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.at)
async def test_workers_killed_at(scenario: Scenario, step: Crash) -> None:
    await scenario.start(crashes=dict.fromkeys(Channel, [step] * 3))

    await scenario.send()

    await scenario.end()


@pytest.mark.chaos
async def test_workers_scaled_from_1_to_3_and_back_while_sending(scenario: Scenario) -> None:
    # a live worker's call must not outlive its lease here: an orderly stop leaves no doubt
    await scenario.start(LEASE_SECONDS="20", PROVIDER_TIMEOUT_SECONDS="15")

    async with asyncio.TaskGroup() as group:
        group.create_task(scenario.send(over=15))
        await scenario.sent(COUNT // 4)
        added = [await scenario.add_worker(channel) for channel in [*Channel, *Channel]]
        await scenario.ready(added)
        await scenario.sent(COUNT * 2 // 3)
        for workers in scenario.workers.values():
            # the oldest go, as in a rolling update
            for worker in workers[:2]:
                await worker.stop()

    await scenario.end()
    assert scenario.row is not None
    assert not scenario.row.verdict.announced
    assert not scenario.row.verdict.held


@pytest.mark.chaos
async def test_workers_frozen_and_cut_off_for_longer_than_their_leases(
    scenario: Scenario, proxy: CuttingProxy
) -> None:
    await scenario.start()
    frozen = [await scenario.add_worker(each, broker_port=proxy.port) for each in Channel]
    await scenario.ready(frozen)

    async with asyncio.TaskGroup() as group:
        group.create_task(scenario.send(over=20))
        for round_ in range(1, 4):
            await scenario.traffic.reached(round_ * COUNT // 5)
            for worker in frozen:
                worker.freeze()
            # the broker gives what they hold to the others
            proxy.cut(mute=True)
            scenario.kills += len(frozen)
            # until the others have seen the leases end, and called the provider again
            await asyncio.sleep(FROZEN_SECONDS)
            for worker in frozen:
                worker.thaw()

    await scenario.end()


@pytest.mark.chaos
async def test_workers_whose_clocks_are_30_s_apart_from_the_database(scenario: Scenario) -> None:
    early = [Crash("record:before", 60)] * 3
    await scenario.start(crashes=dict.fromkeys(Channel, early), CLOCK_SKEW="30")
    for channel in Channel:
        await scenario.add_worker(channel, crashes=[Crash("claim:after", 60)] * 3, skew=-30)

    await scenario.send()

    await scenario.end()
