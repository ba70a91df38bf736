"""How to serve the gateway: with limits to what a connection may cost."""

from __future__ import annotations

import uvicorn
from starlette.applications import Starlette

from clarion_gateway.connection import Connection

STOP_SECONDS = 3


def config(app: Starlette, *, stop_seconds: int = STOP_SECONDS) -> uvicorn.Config:
    """Return the configuration of a uvicorn server for an application of `create_app`.

    `stop_seconds` is how long a stop waits for requests that are being answered.
    """
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here depends on who a proxy says was asked, or asks
        timeout_graceful_shutdown=stop_seconds,
    )
