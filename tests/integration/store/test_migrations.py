"""Migrations bring any database to the schema that the code expects."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from clarion.errors import StoreUnavailable
from clarion.store import migrate
from clarion.store.database import Database
from clarion.store.migrate import config
from clarion.store.schema import metadata
from clarion_testing.postgres_servers import PostgresServer


@pytest.fixture
def blank(postgres_server: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database with nothing in it."""
    name = f"clarion_{uuid.uuid4().hex[:12]}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    yield f"{postgres_server.url}/{name}"
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'clarion.db'}"
    address: str = request.getfixturevalue("blank")
    return address


def differences(url: str) -> list[object]:
    """Return what the database has otherwise than the code's tables."""

    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    async def run() -> list[object]:
        database = Database(url)
        async with database.write() as connection:
            found = await connection.run_sync(compare)
        await database.close()
        return found

    return asyncio.run(run())


def run_migrate(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clarion.store", "migrate"],
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_migrated_schema_is_the_one_in_code(url: str) -> None:
    migrate(url)

    assert differences(url) == []


def test_a_database_behind_the_code_differs(url: str) -> None:
    assert differences(url) != []


def test_migrating_again_changes_nothing(url: str) -> None:
    migrate(url)

    migrate(url)

    assert differences(url) == []


def test_a_migration_can_be_undone(url: str) -> None:
    migrate(url)

    async def downgrade() -> None:
        database = Database(url)
        async with database.write() as connection:
            await connection.run_sync(lambda sync: command.downgrade(config(sync), "base"))
        await database.close()

    asyncio.run(downgrade())
    migrate(url)

    assert differences(url) == []


def test_several_processes_may_migrate_at_once(url: str) -> None:
    with ThreadPoolExecutor(3) as threads:
        runs = list(threads.map(run_migrate, [url] * 3))

    assert [run.returncode for run in runs] == [0, 0, 0], runs
    assert differences(url) == []


def test_the_command_says_that_the_schema_is_current(blank: str) -> None:
    run = run_migrate(blank)

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == "the database's schema is up to date\n"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://clarion@127.0.0.1:1/clarion", "did not answer"),
        ("postgresql://clarion:hush@127.0.0.1:port/clarion", "DATABASE_URL"),
        ("mysql://clarion:hush@127.0.0.1/clarion", "DATABASE_URL"),
        ("sqlite:////dev/null/clarion.db", "DATABASE_URL"),
    ],
)
def test_the_command_says_in_one_line_why_it_cannot(url: str, words: str) -> None:
    run = run_migrate(url)

    assert run.returncode == 1
    assert words in run.stderr
    assert "hush" not in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_database_that_is_not_there_is_unavailable(postgres_server: PostgresServer) -> None:
    with pytest.raises(StoreUnavailable, match="does not exist"):
        migrate(f"{postgres_server.url}/no_such_database")
