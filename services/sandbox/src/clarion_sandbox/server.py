"""How to serve the sandbox: with a server that can hang and drop connections."""

from __future__ import annotations

import uvicorn
from starlette.applications import Starlette

from clarion_sandbox.connection import Protocol


def config(app: Starlette) -> uvicorn.Config:
    """Return the configuration of a uvicorn server for an application of `create_app`."""
    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
    )
