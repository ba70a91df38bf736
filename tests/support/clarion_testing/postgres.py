"""Fixtures: a private PostgreSQL server for the session, a fresh migrated database per test.

It is the server of `TEST_DATABASE_URL` if set, else one of the binaries installed here, else one
in Docker, else one of Debian's package, installed now. `TEST_POSTGRES` (local or docker) insists;
`TEST_POSTGRES_FSYNC=on` makes it write to disk as in production.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from clarion.store import migrate
from clarion_testing import postgres_servers as servers
from clarion_testing.postgres_servers import PostgresServer

# a module of assertions that tests import: pytest rewrites only those that it is told of
pytest.register_assert_rewrite("clarion_testing.store_contract")

_used: list[str] = []


@dataclass(frozen=True, slots=True)
class Postgres:
    """A database with our schema in it, empty; and its server, to stop, kill and start."""

    url: str
    server: PostgresServer

    def execute(self, *statements: str) -> None:
        """Run statements in this database, behind the store's back."""
        self.server.execute(*statements, database=self.url.rpartition("/")[2])

    def stop(self) -> None:
        """Stop the server in order."""
        self.server.stop()

    def kill(self) -> None:
        """Stop the server as a power failure would."""
        self.server.kill()

    def freeze(self) -> None:
        """Let the server stand still."""
        self.server.freeze()

    def thaw(self) -> None:
        """Let the server go on."""
        self.server.thaw()

    def start(self) -> None:
        """Return once the server answers again."""
        self.server.start()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running server, shared by the session."""
    # not pytest's own folder: the server's user may not reach into that
    folder = Path(tempfile.mkdtemp(prefix="clarion-postgres-"))
    server = _choose(folder)
    try:
        server.start()
        _used.append(f"PostgreSQL {server.version} ({type(server).__name__})")
        yield server
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a migrated database that others are copied from: faster than migrating each."""
    name = f"clarion_{uuid.uuid4().hex[:12]}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    migrate(f"{postgres_server.url}/{name}")
    yield name
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres(postgres_server: PostgresServer, postgres_template: str) -> Iterator[Postgres]:
    """A fresh database with our schema."""
    name = f"clarion_{uuid.uuid4().hex[:12]}"
    postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    yield Postgres(f"{postgres_server.url}/{name}", postgres_server)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which server the tests ran against."""
    for line in _used:
        terminalreporter.write_line(f"tested with {line}")


def _choose(folder: Path) -> PostgresServer:
    url = os.environ.get("TEST_DATABASE_URL")
    return servers.ExternalServer(url) if url else private_server(folder)


def private_server(folder: Path) -> servers.LocalServer | servers.DockerServer:
    """Return a server that is ours alone, not yet started."""
    insisted = os.environ.get("TEST_POSTGRES")
    fsync = os.environ.get("TEST_POSTGRES_FSYNC") == "on"
    if insisted not in (None, "", "local", "docker"):
        pytest.fail(f"TEST_POSTGRES={insisted}: must be local or docker", pytrace=False)
    if insisted != "docker" and servers.have_local_server():
        return servers.LocalServer(folder, fsync=fsync)
    if insisted != "local" and servers.have_docker() and servers.have_image():
        return servers.DockerServer(fsync=fsync)
    if insisted != "docker" and servers.can_install():
        servers.install()
        return servers.LocalServer(folder, fsync=fsync)
    pytest.fail(
        "these tests need PostgreSQL: install its server (15 or later), start Docker, or set "
        "TEST_DATABASE_URL to a database whose role may create others",
        pytrace=False,
    )
