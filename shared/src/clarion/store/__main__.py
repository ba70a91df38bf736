"""`python -m clarion.store migrate`: bring the schema of DATABASE_URL up to date."""

from __future__ import annotations

import argparse
import sys

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from clarion.errors import SettingsError, StoreError
from clarion.settings import load
from clarion.store.migrate import migrate


class MigrateSettings(BaseSettings):
    """Which database to migrate."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    database_url: SecretStr = Field(
        SecretStr("postgresql://clarion:clarion@localhost:5432/clarion"),
        description="`postgresql://user:password@host/name` or `sqlite:///path`",
    )


def main(arguments: list[str]) -> int:
    """Return the exit code: 0 once the schema is current, 1 with one line that says why not."""
    parser = argparse.ArgumentParser(prog="python -m clarion.store", description=__doc__)
    parser.add_argument("command", choices=["migrate"])
    parser.parse_args(arguments)
    try:
        migrate(load(MigrateSettings).database_url.get_secret_value())
    except (SettingsError, StoreError) as error:
        print(f"cannot migrate: {error}", file=sys.stderr)
        return 1
    print("the database's schema is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
