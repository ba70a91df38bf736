"""An application that hears of changes of status, and what it should have heard."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import aio_pika
import asyncpg

QUEUE = "chaos.status"


class Listener:
    """A durable queue bound to `notifications.events`; it is read when all is over."""

    def __init__(self, broker_url: str, database_url: str) -> None:
        self._broker_url = broker_url
        self._database_url = database_url

    async def bind(self) -> None:
        """Have every change of status kept from now on."""
        async with await aio_pika.connect(self._broker_url) as connection:
            channel = await connection.channel()
            arguments: dict[str, Any] = {"x-queue-type": "quorum"}
            queue = await channel.declare_queue(QUEUE, durable=True, arguments=arguments)
            await queue.bind("notifications.events", "status.#")

    async def remove(self) -> None:
        """Delete the queue."""
        async with await aio_pika.connect(self._broker_url) as connection:
            await (await connection.channel()).queue_delete(QUEUE)

    async def all_told(self) -> None:
        """Return once no change waits to be told."""
        while await self._untold():  # noqa: ASYNC110  rows send no event
            await asyncio.sleep(0.2)

    async def heard(self) -> dict[str, list[tuple[int, str]]]:
        """Return the sequences and statuses of each notification, repeats included."""
        found = defaultdict(list)
        async with await aio_pika.connect(self._broker_url) as connection:
            queue = await (await connection.channel()).get_queue(QUEUE)
            while (message := await queue.get(fail=False)) is not None:
                event = json.loads(message.body)
                found[event["notification_id"]].append((event["sequence"], event["status"]))
                await message.ack()
        return dict(found)

    async def expected(self, ids: Collection[str]) -> dict[str, tuple[int, str]]:
        """Return how often each of these changed, and where it stands."""
        connection = await asyncpg.connect(self._database_url, timeout=5)
        try:
            sql = "SELECT id, sequence, status FROM notifications WHERE id = ANY($1::text[])"
            rows = await connection.fetch(sql, list(ids))
        finally:
            await connection.close(timeout=5)
        return {row["id"]: (row["sequence"], row["status"]) for row in rows}

    async def _untold(self) -> bool:
        with suppress(OSError, asyncpg.PostgresError):
            connection = await asyncpg.connect(self._database_url, timeout=5)
            try:
                sql = "SELECT EXISTS (SELECT FROM status_events)"
                return bool(await connection.fetchval(sql))
            finally:
                await connection.close(timeout=5)
        return True
