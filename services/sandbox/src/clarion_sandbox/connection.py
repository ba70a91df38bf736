"""One client connection: read a body, or misbehave on the wire as a vendor may.

ASGI has no word for closing a socket without an answer, so our uvicorn protocol hands itself to
the application: serve the sandbox with `server.config`, or with `http=Protocol`.
"""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_EXTENSION = "clarion.sandbox.connection"


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, whose connections the application can hold and close."""

    held = False

    def on_message_begin(self) -> None:
        """Tell the request that begins which connection it came over."""
        super().on_message_begin()
        self.scope["extensions"] = {_EXTENSION: {"protocol": self}}

    def shutdown(self) -> None:
        """Close a held connection at once: a server that stops must not wait for it."""
        super().shutdown()
        if self.held:
            self.transport.close()


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """Return the request's body, or None when it is longer than `limit` or the client left."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def drop(scope: Scope, receive: Receive) -> None:
    """Close the connection without an answer."""
    _protocol(scope).transport.close()
    # uvicorn takes an application that returns for a broken one, until the socket is gone
    await _client_left(receive)


async def hold(scope: Scope, receive: Receive, seconds: float | None) -> None:
    """Wait for `seconds` (None: for ever), until the client leaves, or until the server stops."""
    protocol = _protocol(scope)
    protocol.held = True
    try:
        async with asyncio.timeout(seconds):
            await _client_left(receive)
    except TimeoutError:
        return
    finally:
        protocol.held = False


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _protocol(scope: Scope) -> Protocol:
    protocol: Protocol = scope["extensions"][_EXTENSION]["protocol"]
    return protocol
