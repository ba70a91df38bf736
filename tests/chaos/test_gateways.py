"""Gateways die between insert, publish and mark, and while they note receipts; whoever told them
tells them again."""

from __future__ import annotations

from typing import Any

import pytest

from clarion_testing.chaos import evidence
from clarion_testing.chaos.processes import Crash
from clarion_testing.chaos.scenario import COUNT, Scenario
from clarion_testing.signing import SendGridKey, dumped, sendgrid_event

STEPS = [
    Crash(f"{step}:{side}", 100)
    for step in ("accept", "publish", "mark")
    for side in ("before", "after")
]


async def test_gateways_killed_at_every_step_in_turn(scenario: Scenario) -> None:
    await scenario.start(gateways=[STEPS[::2], STEPS[1::2]])

    await scenario.send()

    await scenario.end()


EMAILS = 100
NOTING = [Crash("commit:after", 1), Crash("receipts:after", 1)]
"""With all of it written and not committed; and committed, before the provider is answered."""


async def test_a_gateway_killed_while_it_notes_a_thousand_receipts(scenario: Scenario) -> None:
    key = SendGridKey()
    await scenario.start(faults=(), gateways=[NOTING], webhook_key=key.public)
    await scenario.send(3 * EMAILS)
    await scenario.sent(3 * EMAILS)
    ids = (await evidence.ids(scenario.database.url, "email"))[:EMAILS]
    body = dumped([event for each in ids for event in told_of(each)])

    tries = await scenario.tell(body, key.headers(body))

    noted = await evidence.noted(scenario.database.url)
    # the last kill came after the commit: that its answer was lost costs nothing but a repeat
    assert tries > len(NOTING)
    assert (len(ids), body.count(b"sg_event_id")) == (EMAILS, 1000)
    assert (noted.receipts, noted.suppressions) == (1000, EMAILS)
    assert noted.statuses == {"delivered": EMAILS}
    await scenario.end()


def told_of(notification_id: str) -> list[dict[str, Any]]:
    """Return ten events, each with an id of its own; the last suppresses the address."""
    kinds = ("processed", "deferred", "delivered", *("open", "click") * 3, "spamreport")
    return [
        sendgrid_event(notification_id, kind, sg_event_id=f"{number}-{notification_id}")
        for number, kind in enumerate(kinds)
    ]


@pytest.mark.chaos
@pytest.mark.parametrize("step", ["accept", "publish", "mark"])
async def test_gateways_killed_at(scenario: Scenario, step: str) -> None:
    crashes = [each for each in STEPS if each.at.startswith(step)] * 2
    await scenario.start(gateways=[crashes, crashes])

    await scenario.send()

    await scenario.end()
    assert set(scenario.traffic.answers) <= {200, 202}
    assert scenario.traffic.answers.total() == COUNT
