"""A statement over a batch of rows, compiled once and run by the driver itself.

Every notification passes four transactions: accept, mark, claim, record. One of 1, 20 or 60 claims
takes 0.6, 1.1 or 1.6 ms of CPU through SQLAlchemy's connections, and 0.2 ms through asyncpg's. So
SQLAlchemy writes the SQL, and only SQLite, which is for one person's computer, runs it through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import asyncpg
from sqlalchemy import Delete, Insert, Select, Update
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from clarion.store.incoming import ROWS, in_order, to_json


class DriverConnection(Protocol):
    """What is used of asyncpg's connection, which has no types."""

    async def fetch(self, query: str, *args: object, record_class: type) -> list[Any]:
        """Return the rows of a query."""


Session = AsyncConnection | DriverConnection
"""A transaction's connection: in PostgreSQL the driver's own, in SQLite SQLAlchemy's."""


class _Record(asyncpg.Record):  # type: ignore[misc]
    """A row whose columns are attributes, as those of SQLAlchemy's rows are."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Statement:
    """One statement whose only parameter is a batch of rows (see `incoming`)."""

    def __init__(self, dialect: str, statement: Select[Any] | Insert | Update | Delete) -> None:
        self._statement = statement
        self._text = ""
        self._values: list[Any] = []
        self._rows = 0
        if dialect == "postgresql":
            self._compile()

    async def run(
        self, session: Session, rows: Iterable[dict[str, Any]], *keys: str
    ) -> Sequence[Any]:
        """Return what the statement returns for these rows, which it meets sorted by `keys`."""
        parameters = in_order(rows, *keys)
        if isinstance(session, AsyncConnection):
            result = await session.execute(self._statement, parameters)
            return result.all() if result.returns_rows else ()
        values = self._values.copy()
        values[self._rows] = to_json(parameters[ROWS])
        return await session.fetch(self._text, *values, record_class=_Record)

    def _compile(self) -> None:
        # lists of constants are part of the text from here on, not rendered anew at each execution
        dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
        expanded = self._statement.compile(dialect=dialect).construct_expanded_state({ROWS: None})
        self._text = expanded.statement
        self._values = list(expanded.positional_parameters)
        self._rows = list(expanded.positiontup or ()).index(ROWS)
