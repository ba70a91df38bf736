"""Gateways die between insert, publish and mark, and while they note receipts; whoever told them
tells them again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clarion_testing.chaos import evidence
from clarion_testing.chaos.listener import Listener
from clarion_testing.chaos.processes import Crash
from clarion_testing.chaos.scenario import COUNT, END_SECONDS, Scenario
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


TELLING = [Crash("tell:after", 50), Crash("tell:before", 80), Crash("tell:after", 120)]
"""With some of a batch told and none of it deleted."""


async def test_gateways_killed_while_they_tell_of_changes(scenario: Scenario) -> None:
    listener = Listener(scenario.node.admin_url, scenario.database.url)
    await listener.bind()
    try:
        await scenario.start(gateways=[TELLING, TELLING])
        await scenario.send()
        # not all are sent: one whose call the provider's stand-in answers late is in doubt
        await scenario.ended()
        async with asyncio.timeout(END_SECONDS):
            await listener.all_told()
        await scenario.end()
        heard = await listener.heard()
    finally:
        await listener.remove()

    expected = await listener.expected(scenario.traffic.accepted)
    assert set(heard) == set(expected) == set(scenario.traffic.accepted)
    for notification_id, (changes, status) in expected.items():
        told = heard[notification_id]
        # none is missing, and a repeat says the same again
        assert sorted(dict(told)) == list(range(1, changes + 1)), told
        assert len(set(told)) == changes, told
        assert dict(told)[changes] == status
    # the kills left some told and not deleted
    assert sum(map(len, heard.values())) > sum(changes for changes, _ in expected.values())


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
