"""Fixtures for every test; the servers are private, on free ports, and started once a session."""

pytest_plugins = ["clarion_testing.rabbitmq", "clarion_testing.postgres"]
