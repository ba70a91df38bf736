"""A statement over a batch of rows, compiled once and run by the driver itself.

Every notification is accepted, marked, claimed and recorded, and at a low rate each of that alone.
One transaction of 1, 20 or 60 claims takes 0.6, 1.1 or 1.6 ms of CPU through SQLAlchemy's
connections, and 0.2 ms through asyncpg's. So SQLAlchemy writes the SQL, and only SQLite, which is
for one person's computer, runs it through it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import Delete, Insert, Select, Update
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from clarion.store.incoming import ROWS, in_order, to_json


class Statement:
    """One statement whose only parameter is a batch of rows (see `incoming`)."""

    def __init__(self, dialect: str, statement: Select[Any] | Insert | Update | Delete) -> None:
        self.statement = statement
        self.text = ""
        self._values: list[Any] = []
        self._rows = 0
        if dialect == "postgresql":
            self._compile()

    async def run(
        self, session: Session, rows: Iterable[dict[str, Any]], *keys: str
    ) -> Sequence[Any]:
        """Return what the statement returns for these rows, which it meets sorted by `keys`."""
        return await session.run(self, in_order(rows, *keys))

    def arguments(self, rows: dict[str, Any]) -> list[Any]:
        """Return what `text` has parameters for."""
        values = self._values.copy()
        values[self._rows] = to_json(rows[ROWS])
        return values

    def _compile(self) -> None:
        # lists of constants are part of the text from here on, not rendered anew at each execution
        dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
        expanded = self.statement.compile(dialect=dialect).construct_expanded_state({ROWS: None})
        self.text = expanded.statement
        self._values = list(expanded.positional_parameters)
        self._rows = list(expanded.positiontup or ()).index(ROWS)


class Session(ABC):
    """A connection on which each statement stands alone, but for those in a `transaction`."""

    @abstractmethod
    async def run(self, statement: Statement, rows: dict[str, Any]) -> Sequence[Any]:
        """Return what the statement returns for these rows."""

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager[None]:
        """Commit together, or not at all, what the block does."""


class PostgresqlSession(Session):
    """A connection of asyncpg."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def run(self, statement: Statement, rows: dict[str, Any]) -> Sequence[Any]:
        """See `Session`."""
        found: list[Any] = await self._connection.fetch(
            statement.text, *statement.arguments(rows), record_class=_Record
        )
        return found

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """See `Session`."""
        await self._connection.execute("BEGIN")
        try:
            yield
            await self._connection.execute("COMMIT")
        except asyncpg.PostgresError:
            await self._connection.execute("ROLLBACK")
            raise


class _Record(asyncpg.Record):  # type: ignore[misc]
    """A row whose columns are attributes, as those of SQLAlchemy's rows are."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class SqliteSession(Session):
    """A connection of SQLAlchemy to SQLite, which commits by itself."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def run(self, statement: Statement, rows: dict[str, Any]) -> Sequence[Any]:
        """See `Session`."""
        result = await self._connection.execute(statement.statement, rows)
        return result.all() if result.returns_rows else ()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """See `Session`."""
        # one that starts by reading cannot always become a writing one
        await self._connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            await self._connection.rollback()
            raise
        await self._connection.commit()
