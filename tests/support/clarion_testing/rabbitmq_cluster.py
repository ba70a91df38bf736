"""Three RabbitMQ nodes of this machine as one cluster, each queue with a replica on every node."""

from __future__ import annotations

import secrets
import subprocess
import time
from pathlib import Path

from clarion_testing.rabbitmq_nodes import START_SECONDS, LocalNode

SIZE = 3


class RabbitMQCluster:
    """Nodes that may be killed and started again, one at a time; every user has one password."""

    def __init__(self, folder: Path) -> None:
        first = LocalNode(_folder(folder, 0))
        self.nodes = [first] + [
            LocalNode(_folder(folder, number), password=first.password, epmd_port=first.epmd_port)
            for number in range(1, SIZE)
        ]
        cookie = secrets.token_hex(16)
        for node in self.nodes:
            self._configure(node, cookie)

    def url(self, user: str = "gateway") -> str:
        """Return the AMQP address of all nodes for one of the topology's users."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"amqp://{user}:{self.nodes[0].password}@{hosts}/"

    @property
    def version(self) -> str:
        """RabbitMQ's version."""
        return self.nodes[0].version

    def start(self) -> None:
        """Form the cluster, then import the definitions: each queue gets its replicas at once."""
        seed = self.nodes[0]
        # one after another: two that join at the same time wait for each other's lock
        for node in self.nodes:
            node.launch()
            _await_start(node)
        seed.ctl("await_online_nodes", str(SIZE))
        seed.ctl("import_definitions", str(seed.folder / "definitions.json"))
        for node in self.nodes:
            node.wait()

    def restore(self) -> None:
        """Start what a test has stopped, and empty every queue."""
        for node in self.nodes:
            if not node.running:
                node.start()
        self.nodes[0].purge()

    def members(self) -> dict[str, list[str]]:
        """Return the nodes that have a replica of each queue."""
        listing = self.nodes[0].ctl("-q", "--no-table-headers", "list_queues", "name", "members")
        rows = (line.split("\t", 1) for line in listing.splitlines())
        return {
            queue: [node.name for node in self.nodes if node.name in members]
            for queue, members in rows
        }

    def remove(self) -> None:
        """Leave nothing behind."""
        # the first runs epmd for all
        for node in reversed(self.nodes):
            node.remove()

    def _configure(self, node: LocalNode, cookie: str) -> None:
        secret = node.folder / ".erlang.cookie"
        secret.write_text(cookie)
        secret.chmod(0o400)
        conf = node.folder / "rabbitmq.conf"
        kept = [
            # imported by a node that is still alone, a queue would have one replica for good
            line
            for line in conf.read_text().splitlines()
            if not line.startswith("load_definitions")
        ]
        names = [
            f"cluster_formation.classic_config.nodes.{number} = {each.name}"
            for number, each in enumerate(self.nodes, 1)
        ]
        backend = "cluster_formation.peer_discovery_backend = classic_config"
        conf.write_text("\n".join([*kept, backend, *names, "queue_leader_locator = balanced", ""]))


def _folder(parent: Path, number: int) -> Path:
    folder = parent / f"node-{number}"
    folder.mkdir()
    return folder


def _await_start(node: LocalNode) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            node.ctl("wait", "--timeout", "30", str(node.folder / "pid"))
            break
        except subprocess.CalledProcessError:
            # on a busy machine a node that starts may not be found by its name yet
            node.check_alive()
            if time.monotonic() > give_up:
                raise
    node.check_alive()
