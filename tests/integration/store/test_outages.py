"""What callers of the store see while PostgreSQL is away, and after."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import select

from clarion.errors import StoreUnavailable
from clarion.notification import Status
from clarion.store import open_store
from clarion.store.base import Intake, Query, Store, Verdict
from clarion.store.database import Database
from clarion.store.entries import EntryWriter
from clarion.store.schema import events
from clarion_testing.marking import mark_queued
from clarion_testing.postgres import Postgres
from clarion_testing.postgres_servers import ExternalServer
from clarion_testing.store_contract import LEASE, accepted, event, outcome


@pytest.fixture
def ours(postgres: Postgres) -> Postgres:
    """A database on a server that may be stopped."""
    if isinstance(postgres.server, ExternalServer):
        pytest.skip("the server of TEST_DATABASE_URL is not ours to stop")
    return postgres


@pytest_asyncio.fixture
async def store(postgres: Postgres) -> AsyncIterator[Store]:
    store = open_store(postgres.url)
    yield store
    await store.close()


async def tried(store: Store, intake: Intake) -> str:
    """Accept an event as a gateway's client does: again, while the store is unavailable."""
    while True:
        try:
            return (await store.accept(intake))[0].notification_id
        except StoreUnavailable:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_store_outlives_its_server(ours: Postgres, store: Store, how: str) -> None:
    before = await accepted(store, "before")
    await asyncio.gather(*(store.find(Query(), limit=1) for _ in range(10)))  # fill the pool

    getattr(ours, how)()
    try:
        answers = await asyncio.gather(
            store.accept(event("during")),
            store.claim(before, worker="w1", lease=LEASE),
            mark_queued(store, before),
            store.get(before),
            store.find(Query(), limit=1),
            store.ping(),
            return_exceptions=True,
        )
    finally:
        ours.start()
    # connections of before are dead: the first call may meet one, no later one does
    await tried(store, event("first"))
    await asyncio.gather(*(store.get(before) for _ in range(10)))
    claim = await store.claim(before, worker="w1", lease=LEASE)

    assert [type(answer) for answer in answers] == [StoreUnavailable] * 6
    assert claim.verdict is Verdict.CLAIMED


async def test_nothing_accepted_is_lost_when_the_server_is_killed(
    ours: Postgres, store: Store
) -> None:
    well_under_way = asyncio.Event()
    interrupted = asyncio.Event()

    async def client(number: int) -> set[str]:
        ids: set[str] = set()
        while len(ids) < 50 or not interrupted.is_set():
            ids.add(await tried(store, event(f"m{number}-{len(ids)}")))
            if len(ids) == 20:
                well_under_way.set()
        return ids

    clients = [asyncio.create_task(client(number)) for number in range(10)]
    await well_under_way.wait()

    await asyncio.to_thread(ours.kill)
    await asyncio.to_thread(ours.start)
    interrupted.set()
    told = set[str]().union(*await asyncio.gather(*clients))

    assert await store.unpublished() == len(told)
    histories = [await store.get(notification_id) for notification_id in told]
    assert None not in histories


async def test_a_hanging_database_is_told_as_unavailable(postgres: Postgres, store: Store) -> None:
    notification_id = await accepted(store)
    await store.claim(notification_id, worker="w1", lease=LEASE)
    holder = await asyncpg.connect(postgres.url)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE notifications")

            answers = await asyncio.gather(
                store.record(outcome(notification_id, 1, Status.SENT)),
                store.accept(event("m2")),
                store.get(notification_id),
                return_exceptions=True,
            )
    finally:
        await holder.close()

    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
    assert "within 4 seconds" in str(answers[0])
    assert await store.record(outcome(notification_id, 1, Status.SENT))


async def test_a_server_that_accepts_and_says_nothing_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        store = open_store(f"postgresql://clarion@127.0.0.1:{port}/clarion")

        with pytest.raises(StoreUnavailable):
            await store.ping()

        await store.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://clarion@127.0.0.1:1/clarion", "did not answer"),
        ("postgresql://clarion@no-such-host.invalid/clarion", "did not answer"),
    ],
)
async def test_nobody_there_is_unavailable(url: str, words: str) -> None:
    store = open_store(url)

    with pytest.raises(StoreUnavailable, match=words):
        await store.accept(event())

    await store.close()


async def test_a_database_that_does_not_exist_is_unavailable(postgres: Postgres) -> None:
    store = open_store(f"{postgres.server.url}/no_such_database")

    with pytest.raises(StoreUnavailable, match="does not exist"):
        await store.ping()

    await store.close()


async def test_a_transaction_that_is_broken_off_is_undone_and_blocks_nobody(
    postgres: Postgres,
) -> None:
    database = Database(postgres.url, pool_size=1)
    entries = EntryWriter("postgresql")
    row = SimpleNamespace(id="notif_1", updated_at=datetime.now(UTC), status=Status.FAILED)
    written = asyncio.Event()

    async def broken_off() -> None:
        async with database.session() as session, session.transaction():
            await entries.ended(session, [(row, {"reason": "crashed"})])
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(broken_off())
    await written.wait()
    task.cancel()
    await asyncio.wait([task])
    async with database.session() as session:
        await entries.ended(session, [(row, {"reason": "expired"})])
    async with database.read() as connection:
        rows = await connection.execute(select(events.c.detail))
        kept = [detail["reason"] for detail in rows.scalars()]

    await database.close()
    assert task.cancelled()
    assert kept == ["expired"]
