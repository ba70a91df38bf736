"""A migration leaves the release before it working: old services run on while new ones start.

The code of an older release is not here to be run, but its statements can name no column that its
schema did not have. So every table is written and read with exactly those columns, after the next
migration and before any service was replaced.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Table

from clarion.store.database import Database
from clarion.store.migrate import config
from clarion_testing.postgres_servers import PostgresServer

T = TypeVar("T")


@pytest.fixture
def blank(postgres_server: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database with nothing in it."""
    name = f"clarion_{uuid.uuid4().hex[:12]}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    yield f"{postgres_server.url}/{name}"
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def within(url: str, work: Callable[[Connection], T]) -> T:
    """Do something in a transaction of its own."""

    async def run() -> T:
        database = Database(url)
        try:
            async with database.write(deadline=60) as connection:
                return await connection.run_sync(work)
        finally:
            await database.close()

    return asyncio.run(run())


def revisions() -> list[str]:
    """Return every revision, oldest first."""
    scripts = ScriptDirectory("shared/src/clarion/store/migrations")
    return [script.revision for script in reversed(list(scripts.walk_revisions()))]


def pairs() -> list[tuple[str, str]]:
    return list(itertools.pairwise(revisions()))


def upgrade(url: str, revision: str) -> None:
    within(url, lambda connection: command.upgrade(config(connection), revision))


def tables(url: str) -> dict[str, Table]:
    """Return our tables as the database has them now."""

    def reflect(connection: Connection) -> dict[str, Table]:
        metadata = sa.MetaData()
        metadata.reflect(connection)
        return {name: t for name, t in metadata.tables.items() if name != "alembic_version"}

    return within(url, reflect)


def row(table: Table, number: int) -> dict[str, Any]:
    """Return a value for every column that is not counted by the database itself."""
    return {
        column.name: value(column, number)
        for column in table.columns
        if not (column.primary_key and column.autoincrement is True) and not column.identity
    }


def value(column: sa.Column[Any], number: int) -> Any:
    match column.type:
        case sa.Boolean():
            return bool(number % 2)
        case sa.Integer() | sa.Numeric() | sa.Float():
            return number
        case sa.DateTime():
            return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
        case sa.JSON():
            return {"number": number}
        case _:
            return f"{column.name}-{number}"


def write_and_read(connection: Connection, table: Table, number: int) -> None:
    """Insert a row, change all of it, read it back and delete it."""
    first, second = row(table, number), row(table, number + 1)
    key = [c.name for c in table.primary_key.columns if c.name in first]
    changed = {name: v for name, v in second.items() if name not in key}
    connection.execute(table.insert().values(first))
    mine = sa.and_(*(table.c[name] == first[name] for name in key)) if key else sa.true()

    assert connection.execute(table.update().where(mine).values(changed)).rowcount == 1
    (found,) = connection.execute(sa.select(table).where(mine)).mappings()
    assert {name: found[name] for name in changed} == changed
    assert connection.execute(table.delete().where(mine)).rowcount == 1


def insert(connection: Connection, table: Table, number: int) -> None:
    connection.execute(table.insert().values(row(table, number)))


def read(connection: Connection, table: Table) -> dict[str, Any]:
    """Return the one row that there is."""
    (found,) = connection.execute(sa.select(table)).mappings()
    return dict(found)


@pytest.mark.parametrize(("old", "new"), pairs())
def test_the_statements_of_the_release_before_work_on_the_new_schema(
    blank: str, old: str, new: str
) -> None:
    upgrade(blank, old)
    before = tables(blank)

    upgrade(blank, new)

    assert before
    for table in before.values():
        within(blank, partial(write_and_read, table=table, number=7))


@pytest.mark.parametrize(("old", "new"), pairs())
def test_the_rows_of_the_release_before_outlive_the_migration(
    blank: str, old: str, new: str
) -> None:
    upgrade(blank, old)
    before = tables(blank)
    for table in before.values():
        within(blank, partial(insert, table=table, number=7))

    upgrade(blank, new)

    for table in before.values():
        found = within(blank, partial(read, table=table))
        expected = row(table, 7)
        assert {name: found[name] for name in expected} == expected
