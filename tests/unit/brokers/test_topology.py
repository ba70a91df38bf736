"""The topology in code, and the definitions file made from it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from clarion.brokers.definitions import definitions
from clarion.brokers.topology import (
    DEAD_QUEUES,
    DELAY_QUEUES,
    LADDER,
    LANE_QUEUES,
    POLICIES,
    QUEUES,
    RECORDER_QUEUE,
    USERS,
    rung,
)
from clarion.notification import LANES

REPOSITORY = Path(__file__).parents[3]
USER = {user.name: user for user in USERS}


def test_definitions_json_is_what_the_code_says() -> None:
    committed = json.loads((REPOSITORY / "rabbitmq/definitions.json").read_text())

    assert committed == definitions(), "run `python rabbitmq/generate.py`"


def test_the_committed_definitions_hold_no_password() -> None:
    text = (REPOSITORY / "rabbitmq/definitions.json").read_text()

    assert "password" not in text


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        (-5, 1),
        (0, 1),
        (0.2, 1),
        (1, 1),
        (1.001, 2),
        (2, 2),
        (3, 4),
        (4, 4),
        (4.5, 8),
        (100, 128),
        (2048.5, 4096),
        (4095.9, 4096),
        (4096, 4096),
        (4097, 4096),
        (86_400, 4096),
        (float("inf"), 4096),
    ],
)
def test_a_delay_waits_in_the_next_longer_queue(delay: float, seconds: int) -> None:
    assert rung(delay) == seconds


def test_no_delay_within_the_ladder_comes_early() -> None:
    delays = [step / 7 for step in range(7 * LADDER[-1] + 1)]

    assert all(rung(delay) >= delay for delay in delays)
    assert {rung(delay) for delay in delays} == set(LADDER)


def test_there_is_a_queue_for_every_lane_delay_and_channel() -> None:
    assert [queue.name for queue in LANE_QUEUES] == [lane.routing_key for lane in LANES]
    assert (len(LANE_QUEUES), len(DELAY_QUEUES), len(DEAD_QUEUES)) == (9, 13, 3)


def test_every_queue_that_dead_letters_does_so_at_least_once() -> None:
    for queue in QUEUES:
        assert queue.arguments["x-queue-type"] == "quorum"
        assert queue.arguments["x-overflow"] == "reject-publish"
        if "x-dead-letter-exchange" in queue.arguments:
            assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"


def test_every_lane_has_a_limit_against_poison_messages() -> None:
    by_pattern = {policy["pattern"]: policy["definition"] for policy in definitions()["policies"]}

    for queue in LANE_QUEUES:
        [limits] = [
            each for pattern, each in by_pattern.items() if re.search(str(pattern), queue.name)
        ]
        assert limits == {"delivery-limit": 10, "max-length": 1_000_000}


@pytest.mark.parametrize(
    ("user", "kind", "name", "allowed"),
    [
        ("gateway", "write", "notifications", True),
        ("gateway", "write", "notifications.delay", False),
        ("gateway", "write", "notifications.dead", False),
        ("gateway", "read", "notifications.email.high", False),
        ("gateway", "read", "notifications", False),
        ("gateway", "read", "notifications.dead.recorder", True),
        ("gateway", "read", "notifications.email.dead", False),
        ("email", "read", "notifications.dead.recorder", False),
        ("email", "read", "notifications.email.high", True),
        ("email", "read", "notifications.email.dead", False),
        ("email", "read", "notifications.push.high", False),
        ("email", "write", "notifications.delay", True),
        ("email", "write", "notifications.dead", True),
        ("email", "write", "notifications", False),
        ("email", "write", "amq.default", False),
        ("monitor", "read", "notifications.email.high", False),
    ],
)
def test_a_user_may_do_what_its_work_needs(user: str, kind: str, name: str, allowed: bool) -> None:
    pattern = getattr(USER[user], kind)

    assert bool(re.search(pattern, name)) is allowed


@pytest.mark.parametrize("user", ["gateway", "email", "whatsapp", "push"])
def test_no_service_configures_anything(user: str) -> None:
    assert USER[user].configure == "^$"


@pytest.mark.parametrize("queue", [queue.name for queue in QUEUES])
def test_the_gateway_may_ask_for_the_depth_of_every_queue(queue: str) -> None:
    assert re.search(USER["gateway"].write, queue) or re.search(USER["gateway"].read, queue)


@pytest.mark.parametrize("queue", [queue.name for queue in QUEUES])
def test_one_policy_is_for_each_queue(queue: str) -> None:
    assert len([policy for policy in POLICIES if re.search(policy.pattern, queue)]) == 1


def test_parked_messages_go_in_time_and_the_unrecorded_never() -> None:
    ttl = {policy.name: policy.definition.get("message-ttl") for policy in POLICIES}

    assert ttl["dead"] == 30 * 24 * 3600 * 1000
    assert ttl["recorder"] is None
    assert all("x-message-ttl" not in queue.arguments for queue in (*DEAD_QUEUES, RECORDER_QUEUE))
