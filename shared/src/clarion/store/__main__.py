"""`python -m clarion.store migrate` brings the schema of DATABASE_URL up to date; `prune` deletes
what was finished more than RETENTION_DAYS ago, as the gateway does by itself."""

from __future__ import annotations

import argparse
import asyncio
import sys

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from clarion.errors import SettingsError, StoreError
from clarion.settings import CONFIG, RetentionSettings, load
from clarion.store import open_store
from clarion.store.migrate import migrate
from clarion.store.retention import retention_of, sweep


class MigrateSettings(BaseSettings):
    """Which database to migrate."""

    model_config = CONFIG

    database_url: SecretStr = Field(
        SecretStr("postgresql://clarion:clarion@localhost:5432/clarion"),
        description="`postgresql://user:password@host/name` or `sqlite:///path`",
    )


class PruneSettings(MigrateSettings, RetentionSettings):
    """Which database to prune, and what to keep."""


def main(arguments: list[str]) -> int:
    """Return the exit code: 0 once it is done, 1 with one line that says why not."""
    parser = argparse.ArgumentParser(prog="python -m clarion.store", description=__doc__)
    parser.add_argument("command", choices=["migrate", "prune"])
    command = parser.parse_args(arguments).command
    try:
        done = _migrate() if command == "migrate" else asyncio.run(_prune())
    except (SettingsError, StoreError) as error:
        print(f"cannot {command}: {error}", file=sys.stderr)
        return 1
    print(done)
    return 0


def _migrate() -> str:
    migrate(load(MigrateSettings).database_url.get_secret_value())
    return "the database's schema is up to date"


async def _prune() -> str:
    settings = load(PruneSettings)
    keep = retention_of(settings)
    if keep is None:
        raise SettingsError("RETENTION_DAYS: 0 keeps everything; set how many days to keep")
    store = open_store(settings.database_url.get_secret_value())
    try:
        deleted = await sweep(store, keep)
    finally:
        await store.close()
    return f"deleted {deleted} notifications"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
