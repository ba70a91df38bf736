"""RabbitMQ nodes with this repository's own files: local, in Docker, or somebody else's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

import aio_pika
from yarl import URL

from clarion.brokers.definitions import dump, with_users
from clarion.brokers.topology import QUEUES, USERS
from clarion_testing.certificates import Certificates

REPOSITORY = Path(__file__).parents[3]
IMAGE = "rabbitmq:4-management"
START_SECONDS = 120.0


class RabbitMQ(ABC):
    """A node on loopback that the tests may use; every user has the same password."""

    def __init__(self, url: URL) -> None:
        self._base = url
        self.version = "unknown"
        self.running = False

    @property
    def admin_url(self) -> str:
        """The AMQP address of the user that may do anything."""
        return self.url("admin")

    def url(self, user: str = "gateway") -> str:
        """Return the AMQP address for one of the topology's users."""
        return str(self._base.with_user(user))

    @abstractmethod
    def start(self) -> None:
        """Start, or start again with what it stored, and return once it serves our queues."""

    @abstractmethod
    def stop(self) -> None:
        """Stop in good order."""

    @abstractmethod
    def kill(self) -> None:
        """Stop as a power cut would, as far as a process can."""

    @abstractmethod
    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on the node and return its output."""

    @abstractmethod
    def remove(self) -> None:
        """Leave nothing behind."""

    def purge(self) -> None:
        """Empty every queue of the topology."""
        asyncio.run(self._purge())

    def wait(self) -> None:
        """Return once a login works and every queue has a leader."""
        asyncio.run(self._wait())

    async def _wait(self) -> None:
        give_up = time.monotonic() + START_SECONDS
        while True:
            try:
                connection = await aio_pika.connect(self.admin_url, timeout=5)
                async with connection:
                    server = connection.transport.connection.server_properties  # type: ignore[union-attr]
                    self.version = str(server["version"])
                    channel = await connection.channel()
                    for queue in QUEUES:
                        await channel.declare_queue(queue.name, passive=True, timeout=5)
                    self.running = True
                    return
            except (OSError, RuntimeError, TimeoutError, aio_pika.exceptions.AMQPError) as error:
                self.check_alive()
                if time.monotonic() > give_up:
                    raise TimeoutError(f"RabbitMQ is not ready: {error!r}") from error
            await asyncio.sleep(0.2)

    @abstractmethod
    def check_alive(self) -> None:
        """Raise when there is nothing to wait for."""

    async def _purge(self) -> None:
        async with await aio_pika.connect(self.admin_url, timeout=10) as connection:
            channel = await connection.channel()
            for queue in QUEUES:
                await (await channel.get_queue(queue.name, ensure=False)).purge()


class ExternalNode(RabbitMQ):
    """The node that `TEST_BROKER_URL` names: our definitions are loaded, and its password is that
    of every user of the topology."""

    def __init__(self, url: str) -> None:
        super().__init__(URL(url))

    def start(self) -> None:
        self.wait()

    def stop(self) -> None:
        raise RuntimeError("the node of TEST_BROKER_URL is not ours to stop")

    kill = stop

    def check_alive(self) -> None:
        """It is not our process to look at."""

    def ctl(self, *arguments: str) -> str:
        raise RuntimeError("the node of TEST_BROKER_URL is not ours to control")

    def remove(self) -> None:
        """Nothing of it is ours."""


class _PrivateNode(RabbitMQ):
    def __init__(
        self,
        folder: Path,
        certificates: Certificates | None = None,
        *,
        password: str | None = None,
    ) -> None:
        password, port = password or secrets.token_hex(8), free_port()
        super().__init__(URL(f"amqp://admin:{password}@127.0.0.1:{port}/"))
        self.folder = folder
        self.port = port
        self.tls_port = free_port()
        self._certificates = certificates
        users = {user.name: password for user in USERS}
        # the container's user, who is neither us nor root, reads these
        folder.chmod(0o755)
        (folder / "definitions.json").write_text(dump(with_users(users)))
        shutil.copy(REPOSITORY / "rabbitmq/advanced.config", folder)
        # the plugins serve people and monitoring; without them a node starts twice as fast
        (folder / "enabled_plugins").write_text("[].\n")

    def tls_url(self, user: str, options: str) -> str:
        """Return the address of the listener that speaks TLS."""
        return (
            f"{self._base.with_scheme('amqps').with_user(user).with_port(self.tls_port)}?{options}"
        )

    @property
    def password(self) -> str:
        """The password of every user."""
        return self._base.password or ""

    def write_conf(self, definitions: str, address: str, files: Path | None = None) -> None:
        """Write the repository's own rabbitmq.conf, which loads the definitions from a path."""
        conf = (REPOSITORY / "rabbitmq/rabbitmq.conf").read_text()
        lines = [
            f"load_definitions = {definitions}" if line.startswith("load_definitions") else line
            for line in conf.splitlines()
            # a full disk of the machine that tests is not what is tested
            if not line.startswith("disk_free_limit")
        ]
        if self._certificates is not None:
            folder = files or self._certificates.ca.parent
            lines += [
                f"listeners.ssl.1 = {address}:{self.tls_port}",
                f"ssl_options.cacertfile = {folder / self._certificates.ca.name}",
                f"ssl_options.certfile = {folder / self._certificates.certificate.name}",
                f"ssl_options.keyfile = {folder / self._certificates.key.name}",
            ]
        (self.folder / "rabbitmq.conf").write_text("\n".join([*lines, ""]))


class LocalNode(_PrivateNode):
    """A node as a process of this machine, with its own data, logs, cookie and epmd."""

    def __init__(
        self,
        folder: Path,
        certificates: Certificates | None = None,
        *,
        password: str | None = None,
        epmd_port: int | None = None,
    ) -> None:
        super().__init__(folder, certificates, password=password)
        self.name = f"clarion-test-{self.port}@localhost"
        self.write_conf(str(folder / "definitions.json"), "127.0.0.1")
        self._log = (folder / "output.log").open("ab")
        self._server: subprocess.Popen[bytes] | None = None
        self.epmd_port = epmd_port or free_port()
        self._environment = self._settings()
        self._epmd = self._start_epmd() if epmd_port is None else None

    def _start_epmd(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [_tool("epmd"), "-address", "127.0.0.1", "-port", str(self.epmd_port)],
            stdout=self._log,
            stderr=self._log,
            env=self._environment,
        )

    def _settings(self) -> dict[str, str]:
        folder = self.folder
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "no-environment"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            # several nodes' schedulers on a small machine only get in each other's way
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none "
            "+sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
        }

    def start(self) -> None:
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start and return at once."""
        self._server = subprocess.Popen(
            [_tool("rabbitmq-server")],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=self._environment,
            cwd=self.folder,
            start_new_session=True,
        )

    def check_alive(self) -> None:
        if self._server is not None and self._server.poll() is not None:
            output = (self.folder / "output.log").read_text(errors="replace")
            raise RuntimeError(f"RabbitMQ ended while starting:\n{output[-3000:]}")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        self.running = False
        if self._server is None:
            return
        group, self._server = self._server, None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group.pid, how)
        group.wait(60)
        _wait_until_gone(group.pid)

    def ctl(self, *arguments: str) -> str:
        return subprocess.run(
            [_tool("rabbitmqctl"), *arguments],
            env=self._environment,
            cwd=self.folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    def remove(self) -> None:
        self.kill()
        if self._epmd is not None:
            self._epmd.terminate()
            self._epmd.wait(10)
        self._log.close()


class DockerNode(_PrivateNode):
    """A node in a container of the official image."""

    def __init__(self, folder: Path, certificates: Certificates | None = None) -> None:
        super().__init__(folder, certificates)
        self._name = f"clarion-test-{self.port}"
        tls = Path("/etc/rabbitmq/tls")
        self.write_conf("/etc/rabbitmq/definitions.d/definitions.json", "0.0.0.0", tls)  # noqa: S104
        mounts = {
            "rabbitmq.conf": "/etc/rabbitmq/rabbitmq.conf",
            "advanced.config": "/etc/rabbitmq/advanced.config",
            "enabled_plugins": "/etc/rabbitmq/enabled_plugins",
            "definitions.json": "/etc/rabbitmq/definitions.d/definitions.json",
        }
        volumes = [f"--volume={folder / file}:{path}:ro" for file, path in mounts.items()]
        publish = [f"--publish=127.0.0.1:{self.port}:5672"]
        if certificates is not None:
            volumes.append(f"--volume={certificates.ca.parent}:{tls}:ro")
            publish.append(f"--publish=127.0.0.1:{self.tls_port}:{self.tls_port}")
        _run("docker", "create", f"--name={self._name}", "--hostname=clarion", *publish,
             *volumes, IMAGE)  # fmt: skip

    def start(self) -> None:
        _run("docker", "start", self._name)
        self.wait()

    def check_alive(self) -> None:
        if _run("docker", "inspect", "-f", "{{.State.Running}}", self._name).strip() != "true":
            raise RuntimeError(
                f"RabbitMQ ended while starting:\n{_run('docker', 'logs', self._name)[-3000:]}"
            )

    def stop(self) -> None:
        self.running = False
        # asked from inside: not every image's first process hands SIGTERM on
        self.ctl("stop")
        _run("docker", "wait", self._name)

    def kill(self) -> None:
        self.running = False
        _run("docker", "kill", self._name)

    def ctl(self, *arguments: str) -> str:
        return _run("docker", "exec", self._name, "rabbitmqctl", *arguments)

    def remove(self) -> None:
        _run("docker", "rm", "--force", "--volumes", self._name)


def have_local_server() -> bool:
    """Whether RabbitMQ's own programs are installed."""
    return _find("rabbitmq-server") is not None and _find("epmd") is not None


def have_docker() -> bool:
    """Whether a Docker daemon answers."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0


def have_image() -> bool:
    """Whether the image is there, or can be fetched."""
    for command in ("image inspect", "pull -q"):
        if not subprocess.run(["docker", *command.split(), IMAGE], capture_output=True).returncode:
            return True
    return False


def can_install() -> bool:
    """Whether this is root on Debian."""
    return os.geteuid() == 0 and Path("/etc/debian_version").exists()


def install() -> None:
    """Install Debian's package without letting it start its service, now or at boot."""
    policy = Path("/usr/sbin/policy-rc.d")
    before = policy.read_bytes() if policy.exists() else None
    mode = policy.stat().st_mode if before is not None else 0o755
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in ("update -qq", "install -y -qq --no-install-recommends rabbitmq-server"):
            subprocess.run(
                ["apt-get", *command.split()], check=True, capture_output=True, env=environment
            )
        subprocess.run(["update-rc.d", "rabbitmq-server", "disable"], capture_output=True)
    finally:
        if before is None:
            policy.unlink()
        else:
            policy.write_bytes(before)
            policy.chmod(mode)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _find(name: str) -> str | None:
    # Debian's /usr/sbin wrappers insist on the system's own user and folders: pass them by
    own = Path("/usr/lib/rabbitmq/bin", name)
    return str(own) if own.exists() else shutil.which(name)


def _tool(name: str) -> str:
    found = _find(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed")
    return found


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout + done.stderr


def _wait_until_gone(group: int) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise TimeoutError("RabbitMQ did not end")
