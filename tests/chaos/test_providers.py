"""A provider that takes a message and says nothing, or says nothing at all."""

from __future__ import annotations

from clarion_testing.chaos.scenario import FAULTS, Scenario


async def test_a_provider_that_accepts_and_never_answers(scenario: Scenario) -> None:
    silent = [
        {"share": 0.03, "action": {"type": kind}} for kind in ("accept_then_drop", "hang", "drop")
    ]
    late = {"share": 0.01, "action": {"type": "delay", "seconds": 4}}
    await scenario.start(faults=[*silent, late, *FAULTS])

    await scenario.send()

    await scenario.end()
