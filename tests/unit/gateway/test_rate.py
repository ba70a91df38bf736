"""How fast a key may send."""

from __future__ import annotations

from typing import Any

import pytest

from clarion_gateway.problems import Problem
from clarion_gateway.rate import RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def admitted(limit: RateLimit, name: str = "shop") -> int:
    """Return how many are let in at once."""
    for count in range(1000):
        try:
            limit.admit(name)
        except Problem:
            return count
    raise AssertionError("there is no limit")


def test_a_burst_is_let_in_and_then_the_rate() -> None:
    clock = Clock()
    limit = RateLimit(10, 20, clock)

    assert admitted(limit) == 20
    clock.now = 0.55
    assert admitted(limit) == 5
    clock.now = 1000
    assert admitted(limit) == 20


def test_one_key_takes_nothing_from_another() -> None:
    limit = RateLimit(10, 20, Clock())

    assert admitted(limit, "shop") == 20
    assert admitted(limit, "billing") == 20


def test_a_batch_larger_than_the_burst_is_paid_off_afterwards() -> None:
    clock = Clock()
    limit = RateLimit(10, 20, clock)

    limit.admit("shop")
    limit.charge("shop", 99)

    with pytest.raises(Problem) as refused:
        limit.admit("shop")
    assert refused.value.headers == {"Retry-After": "9"}  # 80 owed and 1 to have, at 10 a second
    clock.now = 8.11
    assert admitted(limit) == 1


def test_who_waits_as_told_is_let_in() -> None:
    clock = Clock()
    limit = RateLimit(0.3, 1, clock)
    limit.admit("shop")

    with pytest.raises(Problem) as refused:
        limit.admit("shop")
    assert refused.value.headers is not None
    clock.now = float(refused.value.headers["Retry-After"])

    limit.admit("shop")


def test_a_rate_of_zero_limits_nothing() -> None:
    limit = RateLimit()

    limit.charge("shop", 1_000_000)
    for _ in range(1000):
        limit.admit("shop")


async def test_too_many_are_a_429_that_says_when_and_names_the_key(
    start_gateway: Any, key_ring: tuple[Any, dict[str, str]]
) -> None:
    keys, secrets = key_ring
    gateway = await start_gateway(keys=keys, rate=RateLimit(0.01, 2))

    sent = [await gateway.send_as(secrets["shop"], message_id=f"m{n}") for n in range(3)]

    assert [answer.status for answer in sent] == [202, 202, 429]
    refused = sent[2]
    assert refused.paths == []
    assert 1 <= int(refused.headers["Retry-After"]) <= 100
    assert refused.json["detail"].startswith("shop may send 0.01 a second, and 2 at once")
    assert (await gateway.send_as(secrets["billing"])).status == 202


async def test_a_batch_costs_its_events(start_gateway: Any) -> None:
    gateway = await start_gateway(rate=RateLimit(0.01, 10))
    event = {"message_id": "m"}

    batch = await gateway.post("/v1/notifications/batch", {"notifications": [event] * 10})
    after = await gateway.send()

    assert batch.status == 207
    assert after.status == 429


async def test_operations_are_never_limited(start_gateway: Any) -> None:
    gateway = await start_gateway(rate=RateLimit(0.01, 1))

    answers = [await gateway.get("/health/live") for _ in range(5)]

    assert [answer.status for answer in answers] == [200] * 5
