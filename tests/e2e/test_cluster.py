"""RabbitMQ on three nodes, killed and restarted piece by piece while notifications flow.

Lost is what the gateway accepted and never shows as sent. Sent twice is what the sandbox accepted
twice while the timeline never says that the first attempt was in doubt.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from clarion_testing.compose import Compose, composed, docker, event

pytestmark = pytest.mark.e2e

NODES = ("rabbitmq", "rabbitmq-2", "rabbitmq-3")
ARRIVED = {"sent", "delivered"}  # the sandbox tells of a delivery a moment after it


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    with composed("cluster", scale="email=2") as compose:
        yield compose


class Load:
    """Sends batches until it is told to stop, and repeats what got no clear answer."""

    def __init__(self, compose: Compose) -> None:
        self.accepted: list[str] = []
        self.refused = 0
        self._compose = compose
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while not self._stop.is_set():
            events = [event("email", email=f"user{n}@example.com") for n in range(10)]
            await self._insist({"notifications": events})
            await asyncio.sleep(0.2)

    async def _insist(self, batch: dict[str, Any]) -> None:
        while True:
            status, answer = await asyncio.to_thread(
                self._compose.gateway, "POST", "/v1/notifications/batch", batch
            )
            if status in {200, 202, 207} and all(r["status"] < 300 for r in answer["results"]):
                break
            self.refused += 1
            await asyncio.sleep(0.5)
        self.accepted += [r["notifications"][0]["notification_id"] for r in answer["results"]]

    async def grows(self, by: int = 60) -> None:
        """Return once so many more were accepted."""
        target = len(self.accepted) + by
        async with asyncio.timeout(120):
            while len(self.accepted) < target:  # noqa: ASYNC110  the gateway has no event for it
                await asyncio.sleep(0.1)

    async def stop(self) -> list[str]:
        """Return the ids of all that was accepted."""
        self._stop.set()
        await self._task
        return self.accepted


async def every_queue_has_three_members(compose: Compose) -> None:
    async with asyncio.timeout(180):
        while True:
            listed = await asyncio.to_thread(
                compose,
                *("exec", "-T", "rabbitmq", "rabbitmqctl", "-q", "--formatter", "json"),
                *("list_queues", "name", "members"),
            )
            members = {queue["name"]: len(queue["members"]) for queue in json.loads(listed)}
            if members and set(members.values()) == {3}:
                return
            await asyncio.sleep(1)


async def every_node_runs(compose: Compose) -> None:
    """Return once all three serve clients: a queue of three bears the loss of one only."""
    async with asyncio.timeout(180):
        for service in NODES:
            (container,) = compose.containers(service)
            while _health_of(container) != "healthy":  # noqa: ASYNC110
                await asyncio.sleep(1)


def _health_of(container: str) -> str:
    return docker("inspect", "-f", "{{.State.Health.Status}}", container).strip()


async def healthy(compose: Compose) -> None:
    async with asyncio.timeout(180):
        while True:
            status, report = await asyncio.to_thread(compose.gateway, "GET", "/health")
            if status == 200 and report["status"] == "ok":
                return
            await asyncio.sleep(0.5)


async def test_kills_and_restarts_under_load_lose_nothing(compose: Compose) -> None:
    await every_queue_has_three_members(compose)
    load = Load(compose)
    await load.grows()

    # a worker dies, and comes back
    (worker, _) = compose.containers("email")
    docker("kill", worker)
    await load.grows()
    docker("start", worker)

    # a node of RabbitMQ dies, and comes back
    (second,) = compose.containers("rabbitmq-2")
    docker("kill", second)
    await load.grows()
    docker("start", second)
    await every_node_runs(compose)

    # the node dies that booted first, and led most
    (first,) = compose.containers("rabbitmq")
    docker("kill", first)
    await load.grows()
    docker("start", first)
    await every_node_runs(compose)

    # a rolling restart, and more workers than before
    for container in (*compose.containers("email"), *compose.containers("gateway")):
        await asyncio.to_thread(docker, "restart", container)
        await load.grows(20)
    await asyncio.to_thread(
        compose, "up", "--detach", "--no-recreate", "--scale", "email=3", "email"
    )
    await load.grows()

    identifiers = await load.stop()
    await healthy(compose)
    await judge(compose, identifiers)


def listed(compose: Compose) -> Iterator[dict[str, Any]]:
    """Yield every notification as the gateway lists it."""
    cursor = ""
    while True:
        status, page = compose.gateway("GET", f"/v1/notifications?limit=200{cursor}")
        assert status == 200, page
        yield from page["notifications"]
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"


async def judge(compose: Compose, identifiers: list[str]) -> None:
    """Assert that all are sent, and each second call is told of on its timeline."""
    waiting = set(identifiers)
    give_up = time.monotonic() + 180
    while waiting:
        waiting -= {
            each["notification_id"] for each in listed(compose) if each["status"] in ARRIVED
        }
        if time.monotonic() > give_up:
            lost = [compose.gateway("GET", f"/v1/notifications/{each}")[1] for each in waiting]
            raise AssertionError(f"{len(lost)} of {len(identifiers)} are not sent: {lost[:3]}")
        await asyncio.sleep(1)
    doubled = 0
    for identifier in identifiers:
        _, (record,) = compose.sandbox("GET", f"/api/calls?notification_id={identifier}")
        assert record["accepted"] >= 1, record
        if record["accepted"] > 1:
            doubled += 1
            _, shown = compose.gateway("GET", f"/v1/notifications/{identifier}")
            doubts = [e for e in shown["timeline"] if e["status"] == "in_doubt"]
            assert len(doubts) >= record["accepted"] - 1, shown
    sys.stderr.write(
        f"{len(identifiers)} accepted, none lost, {doubled} sent twice and in doubt before\n"
    )
