"""The provider: a bare asyncio HTTP server that takes every request after a given latency.

`POST /<milliseconds>/...` is answered 202; `GET /count` says how many there were, and `GET /reset`
sets that to 0. It reads no more of HTTP than the clients here send.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import cast

import uvloop


class Calls:
    """How many requests were answered."""

    count = 0


class Provider(asyncio.Protocol):
    """One connection."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            size = 0
            if (at := head.find(b"content-length:")) >= 0:
                size = int(head[at + 15 :].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + 4 + size:
                return
            self._buffer = self._buffer[end + 4 + size :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"get"):
            if b"/reset" in head:
                self._calls.count = 0
            self._write(b"200 OK", str(self._calls.count).encode())
            return
        latency = int(head.split(b"/", 2)[1]) / 1000
        if latency:
            asyncio.get_running_loop().call_later(latency, self._accept)
        else:
            self._accept()

    def _accept(self) -> None:
        self._calls.count += 1
        self._write(b"202 Accepted\r\nX-Message-Id: m%d" % self._calls.count, b"")

    def _write(self, status: bytes, body: bytes) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
            self._transport.write(head + body)


async def _serve(port: int) -> None:
    stop, calls = asyncio.Event(), Calls()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: Provider(calls), "127.0.0.1", port, backlog=2048)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
