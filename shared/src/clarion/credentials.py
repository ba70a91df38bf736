"""`python -m clarion.credentials DIR`: give an installation its passwords, once, and none in git.

    DIR/passwords/<user>                    what was generated, or told by the environment
    DIR/<service>/broker_url, database_url  what that service reads as its secrets folder
    DIR/gateway/api_keys                    what API_KEYS says, and no file when it says nothing
    DIR/gateway/callbacks                   the same of CALLBACKS
    DIR/rabbitmq/definitions.json           what RabbitMQ loads, with salted hashes
    DIR/rabbitmq/admin_password             for people who log in to the management UI
    DIR/rabbitmq/erlang_cookie              by which the nodes of a cluster know each other
    DIR/postgres/password                   what PostgreSQL initialises itself with
    DIR/grafana/password                    of Grafana's user `admin`
    DIR/<reader>/unsubscribe_secret         what the links to unsubscribe are signed with
    DIR/<reader>/sandbox_secret             what the sandbox signs its receipts with

A password in `RABBITMQ_<USER>_PASSWORD` or `POSTGRES_PASSWORD` is used as it is; one that was
generated before is kept. `RABBITMQ_HOST`, `POSTGRES_HOST` name the servers.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from clarion.brokers.definitions import dump, with_users
from clarion.brokers.topology import SERVICES, USERS


def write(folder: Path, environment: Mapping[str, str]) -> None:
    """Write every file that is missing or that the environment changed."""
    passwords = {
        user.name: _password(folder, user.name, environment.get(_variable(user.name), ""))
        for user in USERS
    }
    database = _password(folder, "postgres", environment.get("POSTGRES_PASSWORD", ""))
    broker_host = environment.get("RABBITMQ_HOST", "rabbitmq")
    database_host = environment.get("POSTGRES_HOST", "postgres")
    database_url = f"postgresql://clarion:{quote(database, safe='')}@{database_host}:5432/clarion"
    for user in SERVICES:
        password = quote(passwords[user.name], safe="")
        broker_url = f"amqp://{user.name}:{password}@{broker_host}:5672/"
        _write(folder / user.name / "broker_url", broker_url)
        _write(folder / user.name / "database_url", database_url)
    _write(folder / "rabbitmq" / "definitions.json", dump(with_users(passwords)))
    _write(folder / "rabbitmq" / "admin_password", passwords["admin"])
    _write(folder / "rabbitmq" / "erlang_cookie", _password(folder, "erlang", ""))
    _write(folder / "postgres" / "password", database)
    _write(folder / "grafana" / "password", _password(folder, "grafana", ""))
    _write_if_told(folder / "gateway" / "api_keys", environment.get("API_KEYS", ""))
    _write_if_told(folder / "gateway" / "callbacks", environment.get("CALLBACKS", ""))
    links = _password(folder, "unsubscribe", environment.get("UNSUBSCRIBE_SECRET", ""))
    for reader in ("gateway", "email"):
        _write(folder / reader / "unsubscribe_secret", links)
    stand_in = _password(folder, "sandbox", environment.get("SANDBOX_SECRET", ""))
    for reader in ("gateway", "whatsapp", "sandbox"):
        _write(folder / reader / "sandbox_secret", stand_in)


def _write_if_told(path: Path, entries: str) -> None:
    # the gateway reads it again when it changes, and a file without keys would be a mistake to it
    if entries:
        _write(path, entries)
    else:
        path.unlink(missing_ok=True)


def _variable(user: str) -> str:
    return f"RABBITMQ_{user.upper()}_PASSWORD"


def _password(folder: Path, name: str, told: str) -> str:
    kept = folder / "passwords" / name
    password = told or (kept.read_text() if kept.exists() else secrets.token_urlsafe(24))
    _write(kept, password)
    return password


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # written aside and renamed: who starts meanwhile reads the old file or the new one; and
    # readable to all, as each folder is mounted where its one reader runs, under its own user id
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    draft.chmod(0o444)
    draft.replace(path)


def main() -> None:
    """Write the files below the folder that the argument names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m clarion.credentials DIR")
    write(Path(sys.argv[1]), os.environ)


if __name__ == "__main__":
    main()
