"""One client connection: read a body, or misbehave on the wire as a vendor may.

ASGI has no word for closing a socket without an answer, so our uvicorn protocol hands the
transport to the application (see `Protocol`).
"""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

TRANSPORT = "clarion.transport"


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which also tells the application its transport."""

    def on_message_begin(self) -> None:
        """Put the transport into the scope of the request that begins."""
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """Return the request's body, or None when it is longer than `limit` or the client left."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body", False):
        return body if len(body) <= limit else None
    chunks, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit or message["type"] == "http.disconnect":
            return None
    return b"".join(chunks)


async def drop(scope: Scope, receive: Receive) -> None:
    """Close the connection without an answer; returns once it is closed."""
    transport = scope["extensions"][TRANSPORT]["transport"]
    transport.close()
    # uvicorn takes an application that returns for a broken one, until the socket is gone
    while (await receive())["type"] != "http.disconnect":
        pass


async def wait_for_leave(receive: Receive, closing: asyncio.Event, seconds: float | None) -> bool:
    """Wait for `seconds` (None: for ever); return True if the client or the server left before."""

    async def client_left() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    waits = {asyncio.create_task(client_left()), asyncio.create_task(closing.wait())}
    try:
        done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
    return bool(done)
