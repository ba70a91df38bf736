"""The scenarios' fixture, and the table that a run ends with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from yarl import URL

from clarion_testing.chaos.proxy import CuttingProxy
from clarion_testing.chaos.scenario import Scenario
from clarion_testing.chaos.table import Row, render
from clarion_testing.postgres import Postgres
from clarion_testing.rabbitmq_cluster import RabbitMQCluster
from clarion_testing.rabbitmq_nodes import RabbitMQ
from clarion_testing.sandbox import sandbox

__all__ = ["clustered", "proxy", "sandbox", "scenario"]

_rows: list[Row] = []


@pytest.fixture
async def scenario(
    request: pytest.FixtureRequest, rabbitmq: RabbitMQ, postgres: Postgres, tmp_path: Path
) -> AsyncIterator[Scenario]:
    """The servers, empty, for one scenario; its result is a line of the table."""
    async with _running(Scenario(_title(request), rabbitmq, postgres, tmp_path)) as running:
        yield running


@pytest.fixture
async def clustered(
    request: pytest.FixtureRequest,
    rabbitmq_cluster: RabbitMQCluster,
    postgres: Postgres,
    tmp_path: Path,
) -> AsyncIterator[Scenario]:
    """A scenario on three RabbitMQ nodes; the last of them is the one to look into."""
    scenario = Scenario(_title(request), rabbitmq_cluster.nodes[-1], postgres, tmp_path)
    scenario.broker_url = rabbitmq_cluster.url
    async with _running(scenario) as running:
        yield running


@pytest.fixture
async def proxy(rabbitmq: RabbitMQ) -> AsyncIterator[CuttingProxy]:
    """A way to the broker that a test can cut."""
    async with CuttingProxy(URL(rabbitmq.admin_url).port or 5672) as running:
        yield running


@asynccontextmanager
async def _running(scenario: Scenario) -> AsyncIterator[Scenario]:
    try:
        yield scenario
    finally:
        await scenario.close()
        if scenario.row is not None:
            _rows.append(scenario.row)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if _rows:
        terminalreporter.section("nothing lost, nothing silently doubled")
        for line in render(_rows):
            terminalreporter.write_line(line)


def _title(request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    return name.removeprefix("test_").replace("_", " ").replace("[", " ").rstrip("]")
