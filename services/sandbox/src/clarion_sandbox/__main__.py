"""`python -m clarion_sandbox`: the sandbox as one process."""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop
from loguru import logger
from starlette.applications import Starlette

from clarion import logs
from clarion.errors import SettingsError
from clarion.runner import listen, serving
from clarion.settings import load
from clarion_sandbox import server
from clarion_sandbox.app import create_app
from clarion_sandbox.contracts import ContractsMissing
from clarion_sandbox.settings import SandboxSettings


def main() -> None:
    """Serve until SIGTERM or SIGINT; exit 1 with one line if it cannot start."""
    logs.configure("sandbox")
    try:
        settings = load(SandboxSettings)
        logs.configure("sandbox", settings.log_level)
        app = create_app(
            contracts_dir=settings.contracts_dir,
            inbox_limit=settings.sandbox_inbox_limit,
            inbox_limit_bytes=settings.sandbox_inbox_limit_bytes,
            calls_limit=settings.sandbox_calls_limit,
            secret=None
            if settings.sandbox_secret is None
            else settings.sandbox_secret.get_secret_value().strip(),
            events_url=settings.sandbox_events_url,
        )
        uvloop.run(_serve(app, settings))
    except (SettingsError, ContractsMissing) as error:
        sys.exit(f"clarion sandbox: {error}")


async def _serve(app: Starlette, settings: SandboxSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listener = listen(settings.host, settings.port)
    async with serving(server.config(app), listener):
        logger.bind(
            host=settings.host,
            port=listener.getsockname()[1],
            contracts="not loaded" if settings.contracts_dir is None else "loaded",
        ).info("serving")
        await stop.wait()
        logger.info("stopping")


if __name__ == "__main__":
    main()
