"""One client connection: uvicorn waits for ever for a request's head, takes one of any size, and
writes head and body of an answer one by one."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clarion_gateway.gathering import Gathering

HEAD_SECONDS = 10.0
HEAD_BYTES = 64 * 1024

_ANSWER = b"HTTP/1.1 %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class _Joining:
    """A transport that writes together what it is given in one turn of the event loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pieces: Gathering[bytes] = Gathering(self._write)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._pieces.add(data)

    def close(self) -> None:
        self._pieces.flush()
        self._transport.close()

    def _write(self, pieces: list[bytes]) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"".join(pieces))


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with limits to the time and the size of a request's head.

    A connection that says nothing is closed after the same time; between two requests uvicorn's
    own, shorter limit holds. Bodies have their limits in `limits.py`.
    """

    head_seconds = HEAD_SECONDS
    _in_head = True
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time of the first head."""
        super().connection_made(_Joining(transport))  # type: ignore[arg-type]
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take what came, and count it while it belongs to a head."""
        super().data_received(data)
        if not self._expects_head():
            self._forget_head()
            return
        self._wait_for_head()
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Note that a head is there."""
        self._in_head = False
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._forget_head()
        super().connection_lost(exc)

    def _expects_head(self) -> bool:
        # empty lines between two requests begin no head, and end uvicorn's own wait
        idle = self.cycle is None or self.cycle.response_complete
        return self._in_head or (idle and self.timeout_keep_alive_task is None)

    def _wait_for_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self._too_slow)

    def _forget_head(self) -> None:
        self._head_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        if not self.transport.is_closing():
            if self._head_bytes:
                self.transport.write(_ANSWER % status)
            self.transport.close()
