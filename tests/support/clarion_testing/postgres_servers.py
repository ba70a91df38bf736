"""A PostgreSQL server to test with: where to get one, and how to stop, kill and start it."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import asyncpg

Result = TypeVar("Result")

IMAGE = "postgres:17"
PATIENCE = 60.0  # seconds for a server to come up


class PostgresServer(ABC):
    """A server that is ours alone; `url` names no database."""

    url: str
    version = "?"

    @abstractmethod
    def start(self) -> None:
        """Return once it answers."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it in order: clients are disconnected, all is on disk."""

    @abstractmethod
    def kill(self) -> None:
        """Stop it as a power failure would."""

    @abstractmethod
    def freeze(self) -> None:
        """Let it do nothing at all, with its connections open, until `thaw`."""

    @abstractmethod
    def thaw(self) -> None:
        """Let it go on where it was, with all that it was sent meanwhile."""

    @abstractmethod
    def remove(self) -> None:
        """Stop it and leave nothing behind."""

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as its owner, each in a transaction of its own."""
        _in_thread(lambda: _execute(f"{self.url}/{database}", statements))

    def _await_answer(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.version = _in_thread(lambda: _version(f"{self.url}/postgres"))
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                self._check_alive()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)  # no event says that a server accepts connections
            else:
                return

    def _check_alive(self) -> None:  # noqa: B027  not every server can tell
        """Raise when waiting any longer is of no use."""


class ExternalServer(PostgresServer):
    """The server of `TEST_DATABASE_URL`: its role must be allowed to create databases."""

    def __init__(self, url: str) -> None:
        # databases are made beside the one that it names
        self.url = url.rpartition("/")[0]

    def start(self) -> None:
        """Check that it answers."""
        self._await_answer()

    def stop(self) -> None:
        """Refuse: it is not ours."""
        raise NotImplementedError("the server of TEST_DATABASE_URL is not ours to stop")

    def kill(self) -> None:
        """Refuse: it is not ours."""
        raise NotImplementedError("the server of TEST_DATABASE_URL is not ours to kill")

    def freeze(self) -> None:
        """Refuse: it is not ours."""
        raise NotImplementedError("the server of TEST_DATABASE_URL is not ours to freeze")

    def thaw(self) -> None:
        """Refuse: it is not ours."""
        raise NotImplementedError("the server of TEST_DATABASE_URL is not ours to thaw")

    def remove(self) -> None:
        """Leave it as it is."""


class LocalServer(PostgresServer):
    """A cluster in a folder of its own, run by the binaries of this machine."""

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        self._folder = folder
        self._fsync = fsync
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._user = _unprivileged_user()
        self.url = f"postgresql://clarion@127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return once it answers; the first time, make the cluster."""
        if not (self._folder / "data").exists():
            self._make()
        self._launch()
        self._await_answer()

    def use_certificate(self, certificate: Path, key: Path) -> None:
        """Speak TLS with this certificate from the next start on; it takes plain text too."""
        for source, name in ((certificate, "server.crt"), (key, "server.key")):
            copy = self._folder / "data" / name
            shutil.copy(source, copy)
            copy.chmod(0o600)
            if self._user is not None:
                os.chown(copy, self._user, -1)
        self.execute("ALTER SYSTEM SET ssl = on")

    def _launch(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    binary("postgres"),
                    *("-D", self._folder / "data", "-p", str(self._port)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                    *("-c", f"fsync={'on' if self._fsync else 'off'}"),
                    *("-c", "max_connections=50", "-c", "shared_buffers=64MB"),
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=self._user,
                group=None if self._user is None else pwd.getpwuid(self._user).pw_gid,
                extra_groups=None if self._user is None else [],
                start_new_session=True,  # Ctrl-C is for pytest, which then stops it
            )

    def stop(self) -> None:
        """Stop it in order (a "fast" shutdown)."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the postmaster; its children end when they see that."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the postmaster first, so that it makes no more children, then these."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let all of them go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, signal_number: int) -> None:
        assert self._process is not None
        postmaster = self._process.pid
        os.kill(postmaster, signal_number)
        # each child is the leader of a session of its own
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for child in map(int, children):
            os.kill(child, signal_number)

    def remove(self) -> None:
        """Stop it and delete the cluster."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, signal_number: int) -> None:
        if self._process is not None:
            self._process.send_signal(signal_number)
            self._process.wait(PATIENCE)
            self._process = None

    def _make(self) -> None:
        if self._user is not None:
            os.chown(self._folder, self._user, -1)  # PostgreSQL refuses to run as root
        subprocess.run(
            [
                binary("initdb"),
                *("-D", self._folder / "data", "-U", "clarion", "--auth=trust"),
                *("-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            ],
            check=True,
            capture_output=True,
            cwd=self._folder,
            user=self._user,
            extra_groups=None if self._user is None else [],
        )

    def _check_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            log = (self._folder / "log").read_text(errors="replace")[-2000:]
            if "shared memory" not in log:
                raise RuntimeError(f"PostgreSQL ended at once:\n{log}")
            # the children of one that was killed hold its shared memory a moment longer
            self._launch()


class DockerServer(PostgresServer):
    """A container of the official image."""

    def __init__(self, *, fsync: bool = False) -> None:
        self._name = f"clarion-test-{uuid.uuid4().hex[:12]}"
        self._port = _free_port()
        self._fsync = fsync
        self._made = False
        self.url = f"postgresql://clarion:clarion@127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return once it answers; the first time, create the container."""
        if self._made:
            _docker("start", self._name)
        else:
            _docker(
                *("run", "--detach", "--name", self._name),
                *("--publish", f"127.0.0.1:{self._port}:5432"),
                *("--env", "POSTGRES_USER=clarion", "--env", "POSTGRES_PASSWORD=clarion"),
                *("--env", "POSTGRES_DB=postgres"),
                *(IMAGE, "postgres", "-c", f"fsync={'on' if self._fsync else 'off'}"),
            )
            self._made = True
        self._await_answer()

    def _check_alive(self) -> None:
        if _docker("inspect", "-f", "{{.State.Running}}", self._name).strip() != "true":
            raise RuntimeError(f"PostgreSQL ended at once:\n{_docker('logs', self._name)[-2000:]}")

    def use_certificate(self, certificate: Path, key: Path) -> None:
        """Speak TLS with this certificate from the next start on; it takes plain text too."""
        for source, name in ((certificate, "server.crt"), (key, "server.key")):
            path = f"/var/lib/postgresql/data/{name}"
            _docker("cp", str(source), f"{self._name}:{path}")
            _docker("exec", "--user", "0", self._name, "chown", "postgres", path)
            _docker("exec", "--user", "0", self._name, "chmod", "600", path)
        self.execute("ALTER SYSTEM SET ssl = on")

    def stop(self) -> None:
        """Stop it in order."""
        _docker("stop", self._name)

    def kill(self) -> None:
        """Kill every process in it."""
        _docker("kill", self._name)

    def freeze(self) -> None:
        """Freeze every process in it."""
        _docker("pause", self._name)

    def thaw(self) -> None:
        """Let them go on."""
        _docker("unpause", self._name)

    def remove(self) -> None:
        """Delete the container and its data."""
        if self._made:
            _docker("rm", "--force", "--volumes", self._name)


def have_local_server() -> bool:
    """Tell whether this machine has the server's binaries."""
    return _find("initdb") is not None and _find("postgres") is not None


def have_docker() -> bool:
    """Tell whether a Docker daemon answers."""
    return (
        shutil.which("docker") is not None
        and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    )


def have_image() -> bool:
    """Tell whether the image is there, or can be fetched."""
    return any(
        subprocess.run(["docker", *command, IMAGE], capture_output=True, check=False).returncode
        == 0
        for command in (["image", "inspect"], ["pull", "--quiet"])
    )


def can_install() -> bool:
    """Tell whether this is Debian, and we may install packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install() -> None:
    """Install Debian's package, without the cluster that it would make and start."""
    drop_in = Path("/etc/postgresql-common/createcluster.d/clarion-tests.conf")
    policy = Path("/usr/sbin/policy-rc.d")
    own_policy = not policy.exists()
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text("create_main_cluster = false\n")
    if own_policy:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "postgresql"]):
            subprocess.run(
                ["apt-get", "-qq", *command], check=True, env=environment, capture_output=True
            )
    finally:
        drop_in.unlink()
        if own_policy:
            policy.unlink()


def binary(name: str) -> str:
    """Return the path of one of PostgreSQL's programs, which must be there."""
    found = _find(name)
    assert found is not None
    return found


def _find(name: str) -> str | None:
    debian = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(debian, key=lambda path: float(path.parts[-3]), default=None)
    return str(newest) if newest else shutil.which(name)


def _unprivileged_user() -> int | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return names.get("postgres", names["nobody"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _docker(*arguments: str) -> str:
    done = subprocess.run(
        ["docker", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


def _in_thread(make: Callable[[], Coroutine[None, None, Result]]) -> Result:
    """Run a coroutine from a fixture, or from inside a test's own event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(make())).result()


async def _execute(url: str, statements: tuple[str, ...]) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _version(url: str) -> str:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return str(await connection.fetchval("SHOW server_version"))
    finally:
        await connection.close()
