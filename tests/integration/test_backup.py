"""Backup and restore, as docs/operations.md says: pg_dump, pg_restore, migrate, requeue."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from clarion.notification import Channel, Lane, Notification, Priority, Status, new_notification_id
from clarion.store import migrate, open_store
from clarion.store.base import Intake
from clarion_testing.broker_contract import Inbox
from clarion_testing.marking import mark_queued
from clarion_testing.postgres import Postgres
from clarion_testing.postgres_servers import binary
from clarion_testing.rabbitmq_harness import RabbitMQHarness
from clarion_testing.rabbitmq_nodes import RabbitMQ

COUNT = 40


@pytest.fixture
def restored(postgres: Postgres) -> Iterator[str]:
    """The address of an empty database on the same server."""
    name = f"restored_{uuid.uuid4().hex[:12]}"
    postgres.server.execute(f"CREATE DATABASE {name}")
    yield f"{postgres.server.url}/{name}"
    postgres.server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def harness(rabbitmq: RabbitMQ) -> AsyncIterator[RabbitMQHarness]:
    harness = RabbitMQHarness(rabbitmq)
    yield harness
    await harness.close()


def notification(number: int) -> Notification:
    address = f"user{number}@example.com"
    return Notification(
        notification_id=new_notification_id(),
        message_id=f"backup-{number}",
        target_user_id="u1",
        channel=Channel.EMAIL,
        template_id="welcome",
        recipient=address,
        payload={"user_name": "Ann", "email": address},
    )


def run(*command: str | Path, **variables: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | variables, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_what_was_unfinished_when_the_backup_was_made_is_sent_after_the_restore(
    postgres: Postgres, restored: str, rabbitmq: RabbitMQ, harness: RabbitMQHarness, tmp_path: Path
) -> None:
    made = [notification(number) for number in range(COUNT)]
    store = open_store(postgres.url)
    for each in made:
        await store.accept(
            Intake("shop", each.message_id, each.message_id, (each,), Status.ACCEPTED)
        )
    for each in made[: COUNT // 2]:
        assert await mark_queued(store, each.notification_id)
    await store.cancel(made[-1].notification_id, "shop")
    before = [await store.get(each.notification_id) for each in made]
    await store.close()
    dump = tmp_path / "clarion.dump"

    run(binary("pg_dump"), "--format=custom", f"--file={dump}", postgres.url)
    run(binary("pg_restore"), "--no-owner", "--exit-on-error", f"--dbname={restored}", dump)
    await asyncio.to_thread(migrate, restored)
    said = await asyncio.to_thread(
        run,
        *(sys.executable, "-m", "clarion_gateway", "requeue"),
        DATABASE_URL=restored,
        BROKER_URL=rabbitmq.url("gateway"),
    )

    store = open_store(restored)
    assert [await store.get(each.notification_id) for each in made] == before
    # these any gateway publishes by itself
    assert await store.unpublished() == COUNT // 2 - 1
    await store.close()
    assert said == f"published {COUNT // 2} unfinished notifications again\n"
    worker, inbox = await harness.open("email"), Inbox()
    await worker.consume(Lane(Channel.EMAIL, Priority.NORMAL), inbox, prefetch=COUNT)
    queued = {each.notification_id for each in made[: COUNT // 2]}
    bodies = [Notification.model_validate_json((await inbox.next()).body) for _ in queued]
    assert {each.notification_id for each in bodies} == queued
