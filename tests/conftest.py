"""Fixtures for every test; the servers are private, on free ports, and started once a session."""

from pathlib import Path

SUPPORT = Path(__file__).parent / "support" / "clarion_testing"
pytest_plugins = [
    f"clarion_testing.{name}"
    for name in ("rabbitmq", "postgres")
    if (SUPPORT / f"{name}.py").exists()
]
