"""What applications are told, in PostgreSQL or SQLite: the part of the store for the relay."""

from __future__ import annotations

from abc import ABC
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

from clarion.store import calling, relaying
from clarion.store.batcher import Batcher
from clarion.store.callbacks import Callback, CallbackStore, Failure
from clarion.store.database import Database
from clarion.store.outbox import Telling


class SqlCallbacks(CallbackStore, ABC):
    """Keeps status events until they are told, and callbacks until they are made."""

    def __init__(self, database: Database) -> None:
        self._database = database
        calls = calling.CallWriter(database.dialect)
        self._made: Batcher[Callback, None] = Batcher(
            "callback_made", partial(database.write_rows, calls.made)
        )
        self._failed: Batcher[Failure, None] = Batcher(
            "callback_failed", partial(database.write_rows, calls.failed)
        )

    def telling(
        self, limit: int, *, calling: Collection[str] = ()
    ) -> AbstractAsyncContextManager[Telling]:
        """See `OutboxStore`."""
        return relaying.telling(self._database, limit, calling)

    async def oldest_event(self) -> float | None:
        """See `OutboxStore`."""
        async with self._database.read() as connection:
            return await relaying.oldest(connection)

    async def take_callbacks(self, producer: str, limit: int, lease: float) -> list[Callback]:
        """See `CallbackStore`."""
        async with self._database.write() as connection:
            return await calling.take(connection, producer, limit, lease)

    async def callback_made(self, callback: Callback) -> None:
        """See `CallbackStore`."""
        await self._made.submit(callback)

    async def callback_failed(self, failure: Failure) -> None:
        """See `CallbackStore`."""
        await self._failed.submit(failure)

    async def find_callbacks(
        self, *, producer: str | None, dead: bool | None, limit: int, cursor: str | None = None
    ) -> tuple[list[Callback], str | None]:
        """See `CallbackStore`."""
        async with self._database.read() as connection:
            return await calling.find(connection, producer, dead, limit, cursor)

    async def replay_callbacks(
        self, *, keys: Sequence[tuple[str, int]] | None, producer: str | None, limit: int
    ) -> int:
        """See `CallbackStore`."""
        async with self._database.write() as connection:
            return await calling.replay(connection, keys, producer, limit)

    async def count_callbacks(self, producers: Collection[str]) -> dict[tuple[str, bool], int]:
        """See `CallbackStore`."""
        async with self._database.read() as connection:
            return await calling.count(connection, producers)

    async def close(self) -> None:
        """Write what is under way and close."""
        await self._made.close()
        await self._failed.close()
        await self._database.close()
