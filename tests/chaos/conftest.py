"""The scenarios' fixture, and the table that a run ends with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clarion_testing.chaos.scenario import Scenario
from clarion_testing.chaos.table import Row, render
from clarion_testing.postgres import Postgres
from clarion_testing.rabbitmq_nodes import RabbitMQ
from clarion_testing.sandbox import sandbox

__all__ = ["sandbox", "scenario"]

_rows: list[Row] = []


@pytest.fixture
async def scenario(
    request: pytest.FixtureRequest, rabbitmq: RabbitMQ, postgres: Postgres, tmp_path: Path
) -> AsyncIterator[Scenario]:
    """The servers, empty, for one scenario; its result is a line of the table."""
    running = Scenario(_title(request.node.name), rabbitmq, postgres, tmp_path)
    try:
        yield running
    finally:
        await running.close()
    if running.row is not None:
        _rows.append(running.row)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if _rows:
        terminalreporter.section("nothing lost, nothing silently doubled")
        for line in render(_rows):
            terminalreporter.write_line(line)


def _title(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")
