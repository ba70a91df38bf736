"""*growth*: what intake and drain cost when the table holds millions, and what pruning them costs.

The rows are finished, as an installation has them: sent by email over the last 30 days, one attempt
each.
"""

from __future__ import annotations

import time

from benchmarks.contestants import Arena, clarion, gateway
from benchmarks.drain import THREADS, measured
from benchmarks.intake import Acceptor, Load, accept
from benchmarks.meter import Meter
from benchmarks.report import Row
from benchmarks.servers import QUEUE
from clarion.store import open_store
from clarion.store.base import Retention
from clarion.store.claim_statements import start
from clarion.store.incoming import in_order
from clarion.store.outcomes import record_and_finish
from clarion.store.retention import PAGE
from clarion.store.statement import Statement

CHUNK = 200_000
SPAN = 30 * 86_400
"""Seconds over which the rows are spread."""

# an id is UUIDv7: 12 digits of the milliseconds, then what makes it unique
_ROWS = """
INSERT INTO notifications (
  id, producer, message_id, ordinal, body_hash, channel, priority, status, template_id,
  target_user_id, recipient, payload, metadata, attempt, failures, publish_at, created_at,
  queued_at, updated_at, provider, provider_message_id)
SELECT 'notif_' || lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
    || '7' || lpad(to_hex(i), 19, '0'),
  'anonymous', 'old' || i, 0, repeat('a', 64), 'email', 'normal', 'sent', 'welcome',
  'user_' || i % 100000, 'user' || i || '@example.com', '{{"user_name": "Ann"}}', '{{}}', 1, 0,
  at, at, at, at, 'sendgrid', 'm' || i
FROM (SELECT i, now() - make_interval(secs => {span}.0 * (1 - i::float / {total})) AS at
  FROM generate_series({first}, {last}) AS i) AS old"""
_ATTEMPTS = """
INSERT INTO attempts (notification_id, attempt, started_at, finished_at, status, provider)
SELECT id, 1, updated_at, updated_at, 'sent', 'sendgrid' FROM notifications
WHERE message_id LIKE 'old%'"""


async def intake(arena: Arena, rows: int, count: int) -> Row:
    """Accept over 64 connections."""
    await _fill(arena, rows)
    load = Load(f"growth, intake, {rows:,} rows", count, 1, 64)
    return await accept(
        Acceptor(arena, "clarion", QUEUE, lambda: gateway(arena)), load, keep_rows=True
    )


async def drain(arena: Arena, rows: int, count: int) -> Row:
    """Drain at 0 ms."""
    await _fill(arena, rows)
    contestant = clarion(arena)
    beyond = (await arena.observer.rows("SELECT coalesce(max(id), '') FROM notifications"))[0]
    await contestant.fill(count)
    with contestant.worker(arena.url(), threads=THREADS[0]) as worker:
        name = f"growth, drain, {rows:,} rows"
        return await measured(contestant, name, count, worker, beyond=beyond)


async def prune(arena: Arena, rows: int, pages: int) -> Row:
    """Delete the oldest rows, a page at a time."""
    await _fill(arena, rows)
    store = open_store(arena.servers.database)
    meter, longest, start, deleted = Meter(arena.servers), 0.0, "", 0
    for _ in range(pages):
        began = time.perf_counter()
        pruned = await store.prune(start, Retention(86_400.0, 86_400.0), PAGE)
        longest = max(longest, time.perf_counter() - began)
        deleted += pruned.notifications
        if pruned.next is None:
            break
        start = pruned.next
    figures = meter.figures(max(deleted, 1))
    await store.close()
    kept = {"per second": figures["per second"], "longest ms": longest * 1000}
    return Row(f"prune, {rows:,} rows", "clarion", {**kept, "database": figures["database"]})


async def plans(arena: Arena) -> list[str]:
    """Return the plans of the statements that a notification costs, by what they were asked for."""
    identifier = (await arena.observer.rows("SELECT max(id) FROM notifications"))[0]
    claim = {"id": identifier, "worker": "w", "lease": 60.0, "replay_no": 0, "transactional": 0}
    outcome = {"id": identifier, "attempt": 1, "status": "sent", "spent": 0, "provider": "sendgrid"}
    lines = []
    for name, statement, row in (
        ("claim", start("postgresql"), claim),
        ("record", record_and_finish(), outcome),
    ):
        compiled = Statement("postgresql", statement)
        arguments = compiled.arguments(in_order([row], "id"))
        plan = await arena.observer.rows(f"EXPLAIN {compiled.text}", *arguments)
        lines += [f"-- {name}", *plan]
    page = (
        f"SELECT id FROM notifications WHERE id > '' AND id < '{identifier}' "  # noqa: S608
        f"ORDER BY id LIMIT {PAGE}"
    )
    due = (
        "SELECT id FROM notifications WHERE status = 'accepted' AND priority = 'normal' "
        "AND publish_at <= now() ORDER BY publish_at, id LIMIT 100"
    )
    for name, query in (("page to prune", page), ("due", due)):
        lines += [f"-- {name}", *await arena.observer.rows(f"EXPLAIN {query}")]
    return lines


async def _fill(arena: Arena, rows: int) -> None:
    """Have that many finished rows in the table, and no others."""
    await arena.reset(rows=False)
    observer = arena.observer
    await observer.execute(
        "DELETE FROM attempts WHERE notification_id IN (SELECT id FROM "
        "notifications WHERE message_id NOT LIKE 'old%')"
    )
    await observer.execute("DELETE FROM notifications WHERE message_id NOT LIKE 'old%'")
    if await observer.sent() == rows:
        return
    await arena.reset()
    for first in range(1, rows + 1, CHUNK):
        last = min(first + CHUNK - 1, rows)
        await observer.execute(_ROWS.format(span=SPAN, total=rows, first=first, last=last))
    await observer.execute(_ATTEMPTS)
    await observer.execute("VACUUM ANALYZE notifications")
    await observer.execute("VACUUM ANALYZE attempts")
