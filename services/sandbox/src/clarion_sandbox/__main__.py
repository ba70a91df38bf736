"""`python -m clarion_sandbox`: the sandbox as one process."""

from __future__ import annotations

import sys

from loguru import logger

from clarion import logs
from clarion.errors import SettingsError
from clarion.settings import load
from clarion_sandbox.app import create_app
from clarion_sandbox.contracts import ContractsMissing
from clarion_sandbox.server import server
from clarion_sandbox.settings import SandboxSettings


def main() -> None:
    """Read the settings and serve until a signal ends it."""
    try:
        settings = load(SandboxSettings)
        app = create_app(
            contracts_dir=settings.contracts_dir,
            inbox_limit=settings.sandbox_inbox_limit,
            inbox_limit_bytes=settings.sandbox_inbox_limit_bytes,
            calls_limit=settings.sandbox_calls_limit,
        )
    except (SettingsError, ContractsMissing) as error:
        sys.exit(f"clarion-sandbox: {error}")
    logs.configure("sandbox", settings.log_level)
    logger.info(
        "sandbox on http://{}:{}; contracts: {}",
        settings.host,
        settings.port,
        settings.contracts_dir or "not loaded",
    )
    server(app, settings.host, settings.port, signals=True).run()


if __name__ == "__main__":
    main()
