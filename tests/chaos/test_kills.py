"""Real processes are killed while notifications flow; the sandbox's record and the store judge.

Lost is what never reaches a final status. A call beyond the first is announced when the timeline
says why: the attempt before it was put off, or is in doubt.
"""

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from clarion.brokers import open_broker
from clarion.notification import Channel, Lane, Notification, Priority, Status, new_notification_id
from clarion.store import open_store
from clarion.store.base import Intake, NotificationHistory, Store
from clarion_testing.postgres import Postgres
from clarion_testing.rabbitmq_nodes import RabbitMQ
from clarion_testing.sandbox import RunningSandbox, run_sandbox

ROOT = Path(__file__).parents[2]
COUNT = 300
LANE = Lane(Channel.EMAIL, Priority.NORMAL)
FINAL = {Status.SENT, Status.FAILED}


class Chaos:
    """Servers, a sandbox, and services as processes of their own."""

    def __init__(self, node: RabbitMQ, database: Postgres, sandbox: RunningSandbox) -> None:
        self.node = node
        self.database = database
        self.sandbox = sandbox
        self.store: Store = open_store(database.url)
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self, service: str, **settings: str) -> asyncio.subprocess.Process:
        user = service.removeprefix("clarion_")
        environment = os.environ | {
            "BROKER_URL": self.node.url(user),
            "DATABASE_URL": self.database.url,
            "TEMPLATES_DIR": str(ROOT / "shared" / "templates"),
            "SENDGRID_API_KEY": "SG.chaos",
            "SENDGRID_BASE_URL": self.sandbox.url,
            "PORT": "0",
            "LEASE_SECONDS": "4",
            "PROVIDER_TIMEOUT_SECONDS": "2",
            "RETRY_DELAY_MS": "1000",
            # faults pass: a notification killed and refused by turns must not run out of attempts
            "RETRY_ATTEMPTS": "10",
            "LOG_LEVEL": "ERROR",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", service, env=environment | settings
        )
        self.processes.append(process)
        return process

    async def accept(self, count: int) -> list[str]:
        """Store and publish notifications as the gateway would; return their ids."""
        broker = open_broker(self.node.url("gateway"))
        await broker.connect()
        notifications = [_notification(number) for number in range(count)]
        await asyncio.gather(*(self.store.accept(_intake(each)) for each in notifications))
        await asyncio.gather(*(broker.publish(LANE, each.to_bytes(), {}) for each in notifications))
        await broker.close()
        return [each.notification_id for each in notifications]

    async def sent(self, at_least: int) -> None:
        """Return once the provider has accepted so many."""
        async with asyncio.timeout(60):
            while len(await self.sandbox.messages(limit=str(at_least))) < at_least:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def ends(self, ids: list[str]) -> list[NotificationHistory]:
        """Return every notification once it is final."""
        histories = []
        async with asyncio.timeout(120):
            for identifier in ids:
                while True:
                    history = await self.store.get(identifier)
                    assert history is not None
                    if history.record.status in FINAL:
                        break
                    await asyncio.sleep(0.1)
                histories.append(history)
        return histories

    async def judge(self, ids: list[str]) -> None:
        """Assert that none is lost, and none was sent twice without its timeline saying so."""
        for history in await self.ends(ids):
            identifier = history.record.notification.notification_id
            assert history.record.status is Status.SENT, history
            record = await self.sandbox.calls(identifier)
            doubts = [each for each in history.attempts if each.status is Status.IN_DOUBT]
            put_off = [each for each in history.attempts if each.status is Status.RETRYING]
            assert record["accepted"] >= 1, history
            assert record["accepted"] - 1 <= len(doubts), history
            assert record["calls"] - 1 <= len(doubts) + len(put_off), history

    async def close(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
        await self.store.close()


def _notification(number: int) -> Notification:
    address = f"user{number}@example.com"
    return Notification(
        notification_id=new_notification_id(),
        message_id=f"chaos-{number}",
        target_user_id="u1",
        channel=Channel.EMAIL,
        template_id="welcome",
        recipient=address,
        payload={"user_name": "Ann", "email": address},
    )


def _intake(notification: Notification) -> Intake:
    return Intake(
        "chaos", notification.message_id, notification.message_id, (notification,), Status.QUEUED
    )


@pytest.fixture
async def chaos(rabbitmq: RabbitMQ, postgres: Postgres) -> AsyncIterator[Chaos]:
    async with run_sandbox() as sandbox:
        chaos = Chaos(rabbitmq, postgres, sandbox)
        yield chaos
        await chaos.close()


async def slow_and_faulty(chaos: Chaos) -> None:
    """Answer after 30 ms, and every tenth call with 503."""
    rules: list[dict[str, Any]] = [
        {"channel": "email", "share": 0.1, "action": {"type": "status", "code": 503}},
        {"channel": "email", "action": {"type": "delay", "seconds": 0.03}},
    ]
    await chaos.sandbox.fail(*rules)


async def test_killed_workers_lose_nothing_and_double_nothing_silently(chaos: Chaos) -> None:
    await slow_and_faulty(chaos)
    ids = await chaos.accept(COUNT)
    worker = await chaos.start("clarion_email")

    for kill in itertools.count(1):
        await chaos.sent(kill * COUNT // 5)
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
        worker = await chaos.start("clarion_email")
        if kill == 4:
            break

    await chaos.judge(ids)


async def test_a_broker_that_dies_loses_nothing_and_doubles_nothing_silently(
    chaos: Chaos,
) -> None:
    await slow_and_faulty(chaos)
    ids = await chaos.accept(COUNT)
    await chaos.start("clarion_email")

    await chaos.sent(COUNT // 4)
    await asyncio.to_thread(chaos.node.kill)
    await asyncio.to_thread(chaos.node.start)

    await chaos.judge(ids)


async def test_a_database_that_dies_loses_nothing_and_doubles_nothing_silently(
    chaos: Chaos,
) -> None:
    await slow_and_faulty(chaos)
    ids = await chaos.accept(COUNT)
    await chaos.start("clarion_email")

    await chaos.sent(COUNT // 4)
    await asyncio.to_thread(chaos.database.kill)
    await asyncio.to_thread(chaos.database.start)

    await chaos.judge(ids)


async def test_a_stopped_worker_finishes_what_it_has_begun(chaos: Chaos) -> None:
    await slow_and_faulty(chaos)
    ids = await chaos.accept(COUNT)
    worker = await chaos.start("clarion_email")

    await chaos.sent(COUNT // 4)
    worker.send_signal(signal.SIGTERM)
    code = await worker.wait()
    await chaos.start("clarion_email")

    assert code == 0
    await chaos.judge(ids)
    for identifier in ids:
        history = await chaos.store.get(identifier)
        assert history is not None
        assert Status.IN_DOUBT not in [each.status for each in history.attempts]
