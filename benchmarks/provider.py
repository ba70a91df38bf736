"""The provider: a bare asyncio HTTP server that takes every request after a given latency.

`POST /<milliseconds>/<mode>/...` is answered 202. The mode `keyed` notes when each recipient's call
came in, and `failing` answers 503 to the first call of every fifth recipient. `GET /count` says how
many calls were taken, `GET /failed` how many were not, `GET /arrivals` when each came, and
`GET /reset` forgets all that. It reads no more of HTTP than the clients here send.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
import zlib
from typing import cast

import uvloop

_RECIPIENT = re.compile(rb'"email": ?"([0-9a-f]{32})@')


class Calls:
    """What was asked so far."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start anew."""
        self.taken = 0
        self.arrivals: dict[bytes, float] = {}
        self.failed: set[bytes] = set()

    def fails(self, recipient: bytes) -> bool:
        """Whether this call is one that fails: the first of every fifth recipient."""
        if recipient in self.failed or zlib.crc32(recipient) % 5:
            return False
        self.failed.add(recipient)
        return True


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
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get"):
            self._write(b"200 OK", self._report(head))
            return
        _, milliseconds, mode, _ = head.split(b"/", 3)
        if mode != b"plain":
            match = _RECIPIENT.search(body)
            recipient = match[1] if match else b""
            self._calls.arrivals.setdefault(recipient, time.perf_counter())
            if mode == b"failing" and self._calls.fails(recipient):
                self._write(b"503 Service Unavailable", b"")
                return
        if latency := int(milliseconds) / 1000:
            asyncio.get_running_loop().call_later(latency, self._accept)
        else:
            self._accept()

    def _report(self, head: bytes) -> bytes:
        calls = self._calls
        if head.startswith(b"get /reset"):
            calls.forget()
        if head.startswith(b"get /failed"):
            return str(len(calls.failed)).encode()
        if head.startswith(b"get /arrivals"):
            return b"\n".join(b"%s %.6f" % arrival for arrival in calls.arrivals.items())
        return str(calls.taken).encode()

    def _accept(self) -> None:
        self._calls.taken += 1
        self._write(b"202 Accepted\r\nX-Message-Id: m%d" % self._calls.taken, b"")

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
