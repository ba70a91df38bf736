"""Fixtures: a private RabbitMQ node, or cluster, for the session, empty for each test.

It is the node of `TEST_BROKER_URL` if set, else one of the server installed here, else one in
Docker, else one of Debian's package, installed now. `TEST_RABBITMQ` (local or docker) insists.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from clarion_testing import rabbitmq_nodes as nodes
from clarion_testing.certificates import Certificates
from clarion_testing.rabbitmq_cluster import RabbitMQCluster
from clarion_testing.rabbitmq_nodes import RabbitMQ

_used: list[str] = []


@pytest.fixture(scope="session")
def rabbitmq_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A running node with our definitions, shared by the session."""
    node = _choose(tmp_path_factory.mktemp("rabbitmq"))
    try:
        node.start()
        _used.append(f"RabbitMQ {node.version} ({type(node).__name__})")
        yield node
    finally:
        node.remove()


@pytest.fixture
def rabbitmq(rabbitmq_node: RabbitMQ) -> RabbitMQ:
    """The node, running and with every queue empty, whatever the test before did to it."""
    if not rabbitmq_node.running:
        rabbitmq_node.start()
    rabbitmq_node.purge()
    return rabbitmq_node


@pytest.fixture(scope="session")
def rabbitmq_cluster_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQCluster]:
    """A running cluster of three nodes with our definitions, shared by the session."""
    if not nodes.have_local_server():
        if not nodes.can_install():
            pytest.fail(
                "these tests start three RabbitMQ nodes: install rabbitmq-server (3.10 or later)",
                pytrace=False,
            )
        nodes.install()
    cluster = RabbitMQCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        _used.append(f"RabbitMQ {cluster.version} (cluster of {len(cluster.nodes)})")
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
def rabbitmq_cluster(rabbitmq_cluster_nodes: RabbitMQCluster) -> RabbitMQCluster:
    """The cluster, all of it running and every queue empty, whatever the test before did to it."""
    rabbitmq_cluster_nodes.restore()
    return rabbitmq_cluster_nodes


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which server the tests ran against."""
    for line in _used:
        terminalreporter.write_line(f"tested with {line}")


def _choose(folder: Path) -> RabbitMQ:
    url = os.environ.get("TEST_BROKER_URL")
    return nodes.ExternalNode(url) if url else private_node(folder)


def private_node(
    folder: Path, certificates: Certificates | None = None
) -> nodes.LocalNode | nodes.DockerNode:
    """Return a node that is ours alone, not yet started; with certificates it also speaks TLS."""
    insisted = os.environ.get("TEST_RABBITMQ")
    if insisted not in (None, "", "local", "docker"):
        pytest.fail(f"TEST_RABBITMQ={insisted}: must be local or docker", pytrace=False)
    if insisted != "docker" and nodes.have_local_server():
        return nodes.LocalNode(folder, certificates)
    if insisted != "local" and nodes.have_docker() and nodes.have_image():
        return nodes.DockerNode(folder, certificates)
    if insisted != "docker" and nodes.can_install():
        nodes.install()
        return nodes.LocalNode(folder, certificates)
    pytest.fail(
        "these tests need RabbitMQ: install rabbitmq-server (3.10 or later), start Docker, or set "
        "TEST_BROKER_URL to a node with rabbitmq/definitions.json loaded",
        pytrace=False,
    )
