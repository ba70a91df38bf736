"""What a scenario is judged by, and nothing else: the sandbox's call log and the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aio_pika
import aiohttp
import asyncpg
from prometheus_client.parser import text_string_to_metric_families

from clarion.brokers.topology import DELAY_QUEUES, LANE_QUEUES
from clarion_testing.chaos.judge import ARRIVED, FINAL, HOLD, IN_DOUBT, Call, Story


async def unsettled(database: str, accepted: Mapping[str, str]) -> int:
    """Return how many accepted notifications still wait for something to happen.

    Raises `OSError` or `asyncpg.PostgresError` while the database is away.
    """
    connection = await asyncpg.connect(database, timeout=5)
    try:
        rows = await connection.fetch(
            "SELECT id, status FROM notifications WHERE status <> ALL($1::text[])", list(FINAL)
        )
    finally:
        await connection.close(timeout=5)
    return sum(
        row["id"] in accepted and not (row["status"] == IN_DOUBT and accepted[row["id"]] == HOLD)
        for row in rows
    )


async def sent(database: str) -> int:
    """Return how many notifications a provider has taken. Raises as `unsettled`."""
    connection = await asyncpg.connect(database, timeout=5)
    try:
        sql = "SELECT count(*) FROM notifications WHERE status = ANY($1::text[])"
        return int(await connection.fetchval(sql, list(ARRIVED)))
    finally:
        await connection.close(timeout=5)


async def ids(database: str, channel: str) -> list[str]:
    """Return the notifications of a channel."""
    connection = await asyncpg.connect(database, timeout=5)
    try:
        sql = "SELECT id FROM notifications WHERE channel = $1 ORDER BY id"
        return [row["id"] for row in await connection.fetch(sql, channel)]
    finally:
        await connection.close(timeout=5)


@dataclass(frozen=True, slots=True)
class Noted:
    """What receipts left behind: how many of each, and the statuses of those they are about."""

    receipts: int
    suppressions: int
    statuses: dict[str, int]


async def noted(database: str) -> Noted:
    """Return what is kept of receipts."""
    connection = await asyncpg.connect(database, timeout=5)
    try:
        statuses = await connection.fetch(
            "SELECT status, count(*) AS many FROM notifications"
            " WHERE id IN (SELECT notification_id FROM receipts) GROUP BY status"
        )
        return Noted(
            await connection.fetchval("SELECT count(*) FROM receipts"),
            await connection.fetchval("SELECT count(*) FROM suppressions"),
            {row["status"]: row["many"] for row in statuses},
        )
    finally:
        await connection.close(timeout=5)


async def in_flight(workers: Iterable[str]) -> int:
    """Return how many messages workers at these addresses hold unsettled, by their metrics.

    Raises `OSError` when one does not answer.
    """
    held = 0
    async with aiohttp.ClientSession() as session:
        for worker in workers:
            async with session.get(f"{worker}/metrics") as response:
                families = text_string_to_metric_families(await response.text())
            held += sum(
                int(sample.value)
                for family in families
                for sample in family.samples
                if sample.name == "notifications_in_flight"
            )
    return held


async def waiting(broker: str) -> int:
    """Return how many messages wait in the lanes and in delay, by the broker's own count."""
    async with await aio_pika.connect(broker, timeout=10) as connection:
        channel = await connection.channel()
        found = [
            await channel.declare_queue(queue.name, passive=True, timeout=10)
            for queue in LANE_QUEUES + DELAY_QUEUES
        ]
        return sum(queue.declaration_result.message_count or 0 for queue in found)


async def stories(database: str, sandbox: str, accepted: Mapping[str, str]) -> list[Story]:
    """Return what store and provider know of each accepted notification."""
    statuses, attempts = await _stored(database)
    calls = await _called(sandbox)
    return [
        Story(identifier, policy, statuses.get(identifier), attempts[identifier], calls[identifier])
        for identifier, policy in accepted.items()
    ]


async def _stored(database: str) -> tuple[dict[str, str], dict[str, dict[int, str]]]:
    connection = await asyncpg.connect(database, timeout=10)
    try:
        rows = await connection.fetch("SELECT id, status FROM notifications")
        finished = await connection.fetch("SELECT notification_id, attempt, status FROM attempts")
    finally:
        await connection.close(timeout=5)
    attempts: dict[str, dict[int, str]] = defaultdict(dict)
    for row in finished:
        attempts[row["notification_id"]][row["attempt"]] = row["status"]
    return {row["id"]: row["status"] for row in rows}, attempts


async def _called(sandbox: str) -> dict[str, tuple[Call, ...]]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{sandbox}/api/calls", params={"limit": "1000000"}) as response,
    ):
        response.raise_for_status()
        records: list[dict[str, Any]] = await response.json()
    calls: dict[str, tuple[Call, ...]] = defaultdict(tuple)
    for record in records:
        calls[record["notification_id"]] = tuple(
            Call(entry["attempt"], entry["accepted"]) for entry in record["entries"]
        )
    return calls
