"""The statements that run often, or over much, are served by the index that was made for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Select, Update
from sqlalchemy.sql.expression import ClauseElement

from clarion.notification import Channel, Priority, Status
from clarion.store import open_store
from clarion.store.base import Query, Retention
from clarion.store.calling import take_statement as take_callbacks_statement
from clarion.store.claim_statements import claim, start
from clarion.store.database import Database
from clarion.store.dead_letters import (
    LAST_REPLAY,
    count_of,
    following_of,
    groups_of,
)
from clarion.store.dead_letters import page_of as dead_page_of
from clarion.store.hearing import windows_statement
from clarion.store.incoming import ROWS, in_order
from clarion.store.inquiring import silent_statement
from clarion.store.letters import DeadQuery, Replay
from clarion.store.listing import page_of
from clarion.store.pruning import page_statement, prune
from clarion.store.publishing import BY_INDEX, OLDEST_QUEUED, promote_statement, take_due_statement
from clarion.store.relaying import OLDEST, take_statement
from clarion.store.replaying import ReplayWriter
from clarion_gateway.orders import Discards, Selection, fulfil
from clarion_testing.postgres import Postgres

# 60,000 rows as a busy installation has them: nearly all delivered by email, for one producer; a
# thousand queued and a few dozen left unpublished
_FILL = """
INSERT INTO notifications (
  id, producer, message_id, ordinal, body_hash, channel, priority, status, template_id,
  target_user_id, recipient, payload, metadata, attempt, failures, publish_at, created_at,
  queued_at, updated_at, dead_at)
SELECT 'notif_' || lpad(to_hex(i), 32, '0'), CASE WHEN i % 5000 = 0 THEN 'new' ELSE 'shop' END,
  'm' || i, 0, 'hash', CASE WHEN i % 50 = 0 THEN 'push' ELSE 'email' END,
  CASE WHEN i % 7 = 0 THEN 'low' ELSE 'normal' END,
  CASE WHEN i % 60 = 1 THEN 'queued' WHEN i % 2000 = 2 THEN 'accepted'
    WHEN i % 3000 = 3 THEN 'failed' ELSE 'sent' END,
  CASE WHEN i % 4000 = 0 THEN 'rare' ELSE 'welcome' END, 'user_' || i % 20000, 'a@example.test',
  '{}', '{}', 0, 0, now(), now(), now(), now(), CASE WHEN i % 3000 = 3 THEN now() END
FROM generate_series(1, 60000) AS i"""


# a backlog that the statistics do not know of yet
_EVENTS = """
INSERT INTO status_events (notification_id, sequence, at, status, attempt)
SELECT 'notif_' || lpad(to_hex(i), 32, '0'), 1, now(), 'sent', 1 FROM generate_series(1, 60000) AS i
"""
_CALLBACKS = """
INSERT INTO callbacks (notification_id, sequence, producer, body, created_at, due_at, attempts)
SELECT 'notif_' || lpad(to_hex(i), 32, '0'), j, 'shop', '{}', now(), now() + interval '1 hour', 1
FROM generate_series(1, 30000) AS i, generate_series(1, 2) AS j
"""

Node = dict[str, Any]


@pytest_asyncio.fixture
async def database(postgres: Postgres) -> AsyncIterator[Database]:
    postgres.execute(_FILL, "ANALYZE notifications")
    database = Database(postgres.url)
    yield database
    await database.close()


async def plan_of(
    database: Database, statement: ClauseElement, *settings: Select[Any]
) -> list[Node]:
    """Return every node of the statement's plan."""
    sql = statement.compile(dialect=database.engine.dialect, compile_kwargs={"literal_binds": True})
    async with database.write() as connection:
        for setting in settings:
            await connection.execute(setting)
        answer = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}")
    return list(_nodes(answer.scalar_one()[0]["Plan"]))


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def indexes(plan: list[Node]) -> set[str]:
    """Return the indexes that a plan reads, the primary key aside: joins go through it."""
    used = {node["Index Name"] for node in plan if "Index Name" in node}
    return used - {"notifications_pkey"}


def scans(plan: list[Node]) -> bool:
    """Tell whether a plan reads a whole table."""
    return any(node["Node Type"] == "Seq Scan" for node in plan)


async def test_the_poll_reads_only_what_is_unpublished(database: Database) -> None:
    statement = take_due_statement(Priority.NORMAL, (), limit=100, lease=30.0)

    plan = await plan_of(database, statement, BY_INDEX)

    assert indexes(plan) == {"notifications_due"}
    assert not scans(plan)


async def test_a_relay_reads_no_more_than_its_batch(database: Database, postgres: Postgres) -> None:
    postgres.execute("ANALYZE status_events", _EVENTS)

    plans = [
        await plan_of(database, take_statement(256), BY_INDEX),
        await plan_of(database, OLDEST),
    ]

    assert [indexes(plan) for plan in plans] == [{"status_events_pkey"}] * 2
    assert not any(scans(plan) for plan in plans)


async def test_no_look_reads_a_table_of_some_thousand_through(
    database: Database, postgres: Postgres
) -> None:
    # left to itself the planner would rather read 6,000 rows than look some hundred up
    postgres.execute("DELETE FROM notifications WHERE id > 'notif_' || lpad('1800', 32, '0')")
    postgres.execute("VACUUM FULL ANALYZE notifications", "ANALYZE status_events", _EVENTS)
    looks = (
        take_statement(256),
        take_due_statement(Priority.NORMAL, (), limit=2000, lease=30.0),
        promote_statement(2000),
    )

    plans = [await plan_of(database, look, BY_INDEX) for look in looks]

    assert [scans(plan) for plan in plans] == [False, False, False]


async def test_a_look_for_callbacks_reads_only_what_is_due(
    database: Database, postgres: Postgres
) -> None:
    postgres.execute("ANALYZE callbacks", _CALLBACKS)

    plan = await plan_of(database, take_callbacks_statement("shop", 16, 60.0), BY_INDEX)

    assert indexes(plan) == {"callbacks_due", "callbacks_pkey"}
    assert not scans(plan)


async def test_promoting_reads_only_what_is_scheduled(database: Database) -> None:
    plan = await plan_of(database, promote_statement(100), BY_INDEX)

    assert indexes(plan) == {"notifications_scheduled"}
    assert not scans(plan)


async def test_the_oldest_queued_are_nine_probes(database: Database) -> None:
    plan = await plan_of(database, OLDEST_QUEUED)

    assert indexes(plan) == {"notifications_queued"}
    assert not scans(plan)
    assert not any(node["Node Type"] == "Sort" for node in plan)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (Query(status=Status.FAILED), "notifications_lane"),
        (Query(status=Status.SENT), "notifications_lane"),
        (Query(channel=Channel.WHATSAPP), "notifications_lane"),
        (Query(priority=Priority.HIGH), "notifications_lane"),
        (Query(status=Status.FAILED, channel=Channel.EMAIL), "notifications_lane"),
        (Query(user="user_7"), "notifications_user"),
        (Query(template="rare"), "notifications_template"),
        (Query(producer="new"), "notifications_producer"),
        (Query(message_id="m7"), "notifications_message"),
        (Query(message_id="m7", producer="shop"), "notifications_message"),
    ],
)
async def test_a_listing_is_served_by_its_index(
    database: Database, query: Query, index: str
) -> None:
    plan = await plan_of(database, page_of(query, 51, None))

    assert index in indexes(plan)
    assert not scans(plan)


@pytest.mark.parametrize(
    "query",
    [Query(), Query(producer="shop"), Query(template="welcome"), Query(since=datetime.now(UTC))],
)
@pytest.mark.parametrize("cursor", [None, f"notif_{30_000:032x}"])
async def test_a_listing_of_nearly_everything_stops_after_a_page(
    database: Database, query: Query, cursor: str | None
) -> None:
    plan = await plan_of(database, page_of(query, 51, cursor))

    assert not scans(plan)
    assert not any(node["Node Type"] == "Sort" for node in plan)


async def test_pruning_reads_a_range_of_the_primary_key(database: Database) -> None:
    statement = page_statement(f"notif_{10_000:032x}", f"notif_{50_000:032x}", 500)

    (limit, scan) = await plan_of(database, statement)

    assert limit["Node Type"] == "Limit"
    assert scan["Node Type"] == "Index Only Scan"
    assert scan["Index Name"] == "notifications_pkey"


async def test_pruning_a_page_does_not_read_the_table_through(database: Database) -> None:
    counted = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'notifications'"

    async with database.write() as connection:
        pruned = await prune(connection, "postgresql", "", Retention(-60.0, -60.0), 500)
        answer = await connection.exec_driver_sql(counted)

    assert pruned.notifications > 400
    assert answer.scalar_one() == 0


async def test_dead_letters_are_found_among_the_dead_only(database: Database) -> None:
    queries = (
        DeadQuery(),
        DeadQuery(channel=Channel.EMAIL, producer="shop"),
        DeadQuery(template="welcome", since=datetime.now(UTC)),
    )

    for query in queries:
        for statement in (
            groups_of(query),
            count_of(query, ""),
            dead_page_of(query, 51, None),
            following_of(query, "", 200),
        ):
            plan = await plan_of(database, statement)
            assert indexes(plan) == {"notifications_dead"}, statement
            assert not scans(plan), statement


async def test_the_last_replay_is_a_probe_for_each_priority(database: Database) -> None:
    plan = await plan_of(database, LAST_REPLAY)

    assert indexes(plan) == {"notifications_due"}
    assert not scans(plan)


async def test_a_hundred_thousand_dead_letters_are_counted_and_worked_off_in_part(
    postgres: Postgres,
) -> None:
    postgres.execute(
        _FILL.replace("60000", "110000"),
        "UPDATE notifications SET status = 'failed', reason = 'provider_down', dead_at = now()",
    )
    store = open_store(postgres.url)
    everything = DeadQuery()
    action = Discards(store, by="ops", dry_run=False)

    found = await store.dead_groups(everything)
    tally = await fulfil(store, Selection(None, everything), action, patience=8.0, budget=0.1)

    await store.close()
    assert not found.complete
    assert sum(group.count for group in found.groups) >= 100_000
    assert tally.matched == 100_000
    assert 0 < tally.done < 100_000
    assert tally.remaining == tally.matched - tally.done
    assert not tally.interrupted


@pytest.mark.parametrize("statement", [start, claim])
async def test_a_batch_of_claims_reads_its_own_rows_however_many_wait(
    postgres: Postgres, database: Database, statement: Callable[[str], Update]
) -> None:
    # what the planner knows of an empty queue, before a backlog comes
    nothing_waits = "UPDATE notifications SET status = 'sent'"
    backlog = f"UPDATE notifications SET status = 'queued' WHERE id < 'notif_{20_000:032x}'"  # noqa: S608
    postgres.execute(nothing_waits, "VACUUM ANALYZE notifications", backlog)

    claimed, read = await reads_of(database, statement("postgresql"), "notifications_lane")

    assert claimed == [Status.SENDING] * 200
    assert read == 0


@pytest.mark.parametrize("statement", [start, claim])
async def test_a_lone_claim_does_not_read_a_small_table_through(
    postgres: Postgres, database: Database, statement: Callable[[str], Update]
) -> None:
    # of a few thousand rows all together cost less than a hundred probes, and far more than one
    postgres.execute(
        f"DELETE FROM notifications WHERE id > 'notif_{2_000:032x}'",  # noqa: S608
        "UPDATE notifications SET status = 'queued'",
        "VACUUM FULL ANALYZE notifications",
    )

    claimed, read = await reads_of(
        database, statement("postgresql"), "notifications", ids=range(1, 2)
    )

    assert claimed == [Status.SENDING]
    assert read == 0


async def reads_of(
    database: Database, statement: Update, relation: str, ids: range = range(1, 201)
) -> tuple[list[str], int]:
    """Claim these rows; return what they became, and how much of the relation was read."""
    rows = [
        {
            "id": f"notif_{i:032x}",
            "worker": "w1",
            "lease": 60.0,
            "grace": 0.0,
            "replay_no": 0,
            "transactional": 0,
        }
        for i in ids
    ]
    counted = f"SELECT pg_stat_get_xact_tuples_returned('{relation}'::regclass)"
    async with database.write() as connection:
        taken = (await connection.execute(statement, in_order(rows, "id"))).all()
        read = (await connection.exec_driver_sql(counted)).scalar_one()
    return [row.status for row in taken], read


async def test_a_batch_of_replays_reads_its_own_rows_however_many_are_dead(
    postgres: Postgres, database: Database
) -> None:
    nothing_is_dead = "UPDATE notifications SET status = 'sent', dead_at = NULL"
    outage = "UPDATE notifications SET status = 'failed', dead_at = now() WHERE attempt = 0"
    postgres.execute(nothing_is_dead, "VACUUM ANALYZE notifications", outage)
    replays = [Replay(f"notif_{i:032x}", 0) for i in range(1, 201)]
    counted = """SELECT pg_stat_get_xact_tuples_returned('notifications_lane'::regclass)
        + pg_stat_get_xact_tuples_returned('notifications_dead'::regclass)"""

    async with database.write() as connection:
        due = await ReplayWriter("postgresql").write(connection, replays, by="ops", rate=None)
        read = (await connection.exec_driver_sql(counted)).scalar_one()

    assert None not in due
    assert read <= 200


@pytest.mark.parametrize("statement", [start, claim])
async def test_a_claim_probes_the_suppressed_addresses_and_reads_them_never_whole(
    postgres: Postgres, database: Database, statement: Callable[[str], Update]
) -> None:
    postgres.execute(
        "INSERT INTO suppressions (channel, address, kind, reason, source, created_at) "
        "SELECT 'email', 'user' || i || '@example.test', 'wish', 'spam', 'test', now() "
        "FROM generate_series(1, 60000) AS i",
        "ANALYZE suppressions",
        "UPDATE notifications SET status = 'queued' WHERE status IN ('sent', 'failed')",
    )

    claimed, read = await reads_of(database, statement("postgresql"), "suppressions")

    assert claimed == [Status.SENDING] * 200
    assert read == 0


async def test_what_a_provider_is_asked_about_is_a_range_of_its_index(
    postgres: Postgres, database: Database
) -> None:
    postgres.execute(
        "UPDATE notifications SET channel = 'whatsapp', provider = 'twilio',"
        " provider_message_id = 'SM' WHERE status = 'sent' AND channel = 'push'",
        "ANALYZE notifications",
    )

    plan = await plan_of(
        database, silent_statement(Channel.WHATSAPP, "twilio", 259_200.0, 3600.0, 50)
    )

    assert "notifications_silent" in indexes(plan)
    assert not any(
        node["Node Type"] == "Seq Scan" and node["Relation Name"] == "notifications"
        for node in plan
    )


async def test_a_window_is_one_probe_however_many_wrote(
    postgres: Postgres, database: Database
) -> None:
    postgres.execute(
        "INSERT INTO inbound (key, channel, address, at)"
        " SELECT 'twilio/' || i, 'whatsapp', '+4915' || i, now() FROM generate_series(1, 60000) i",
        "ANALYZE inbound",
    )
    asked = {"number": 0, "channel": "whatsapp", "address": "+491560000", "seconds": 86_400.0}
    counted = "SELECT pg_stat_get_xact_tuples_returned('inbound'::regclass)"

    async with database.write() as connection:
        found = await connection.execute(windows_statement("postgresql"), {ROWS: [asked]})
        read = (await connection.exec_driver_sql(counted)).scalar_one()

    assert found.scalars().all() == [0]
    assert read == 0
