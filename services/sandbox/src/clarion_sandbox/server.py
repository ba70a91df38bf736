"""The uvicorn server that the sandbox needs: one that can hang and drop connections."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from clarion_sandbox.connection import Protocol
from clarion_sandbox.state import Sandbox


class SandboxServer(uvicorn.Server):
    """A server whose hanging calls end when it stops."""

    def __init__(self, config: uvicorn.Config, sandbox: Sandbox, *, signals: bool) -> None:
        super().__init__(config)
        self._sandbox = sandbox
        self._signals = signals

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM, unless the process that we are part of sees to them."""
        if self._signals:
            with super().capture_signals():
                yield
        else:
            yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let go of the hanging calls, then stop as any server does."""
        self._sandbox.closing.set()
        await super().shutdown(sockets)


def server(app: Starlette, host: str, port: int, *, signals: bool = False) -> uvicorn.Server:
    """Return a server for an application of `create_app`, for one run.

    `await server.serve()` runs it until `server.should_exit` is set, or until a signal where
    `signals` is true.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
    )
    return SandboxServer(config, app.state.sandbox, signals=signals)
