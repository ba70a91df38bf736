"""Brings the database's schema up to this version's, with Alembic."""

from __future__ import annotations

import asyncio

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from clarion.store.database import Database

# Any number that nothing else in the database locks: the first migration's date.
_LOCK = 20_261_124
_DEADLINE = 600.0  # a migration may rewrite a large table, and others wait for it


def migrate(url: str) -> None:
    """Return once the schema is current; any number of processes may do it at once.

    Runs an event loop of its own: from a coroutine, call it in a thread. Raises `SettingsError`
    for an address that it cannot use and `StoreUnavailable` when the database does not answer.
    """
    asyncio.run(_migrate(url))


async def _migrate(url: str) -> None:
    database = Database(url, pool_size=1)
    try:
        # an unreachable database is told at once; a long migration is waited for
        async with database.read():
            pass
        async with database.write(deadline=_DEADLINE) as connection:
            await connection.run_sync(_upgrade)
    finally:
        await database.close()


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # held to the end of the transaction, which all migrations share
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    command.upgrade(config(connection), "head")


def config(connection: Connection) -> Config:
    """Return Alembic's configuration for migrations over this connection."""
    alembic = Config()
    alembic.set_main_option("script_location", "clarion.store:migrations")
    alembic.set_main_option("path_separator", "os")
    alembic.attributes["connection"] = connection
    return alembic
