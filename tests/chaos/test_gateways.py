"""Gateways die between insert, publish and mark; their clients send the same event again."""

from __future__ import annotations

import pytest

from clarion_testing.chaos.processes import Crash
from clarion_testing.chaos.scenario import COUNT, Scenario

STEPS = [
    Crash(f"{step}:{side}", 100)
    for step in ("accept", "publish", "mark")
    for side in ("before", "after")
]


async def test_gateways_killed_at_every_step_in_turn(scenario: Scenario) -> None:
    await scenario.start(gateways=[STEPS[::2], STEPS[1::2]])

    await scenario.send()

    await scenario.end()


@pytest.mark.chaos
@pytest.mark.parametrize("step", ["accept", "publish", "mark"])
async def test_gateways_killed_at(scenario: Scenario, step: str) -> None:
    crashes = [each for each in STEPS if each.at.startswith(step)] * 2
    await scenario.start(gateways=[crashes, crashes])

    await scenario.send()

    await scenario.end()
    assert set(scenario.traffic.answers) <= {200, 202}
    assert scenario.traffic.answers.total() == COUNT
