"""An HTTP client that costs next to nothing: prebuilt requests over kept connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

from benchmarks.events import event
from benchmarks.servers import within


def single() -> bytes:
    """Return a request with one event."""
    return request_of(event())


def request_of(one: dict[str, object]) -> bytes:
    """Return the request that sends this event."""
    return _request("/v1/notifications", one)


def batch(size: int, priority: str = "normal") -> bytes:
    """Return a request with several events."""
    events = [event(priority) for _ in range(size)]
    return _request("/v1/notifications/batch", {"notifications": events})


def _request(path: str, body: object) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


async def post(port: int, requests: list[bytes], connections: int) -> None:
    """Send them all and return once each is answered 202. Raises `RuntimeError` otherwise."""
    waiting = iter(requests)
    async with asyncio.timeout(120):
        await asyncio.gather(*(_post_in_turn(port, waiting) for _ in range(connections)))


class Connections:
    """Kept connections, one for each request that is under way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, request: bytes) -> None:
        """Return once it is answered 202. Raises `RuntimeError` otherwise."""
        reader, writer = await self._connection()
        writer.write(request)
        status, body = await _answer(reader)
        if status != 202:
            raise RuntimeError(f"answered {status}: {body[:500]!r}")
        self._idle.append((reader, writer))

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            # servers close what said nothing for some seconds
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def close(self) -> None:
        """Close them all."""
        for _, writer in self._idle:
            writer.close()
            await writer.wait_closed()


async def _post_in_turn(port: int, requests: Iterator[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    for request in requests:
        writer.write(request)
        status, body = await _answer(reader)
        if status != 202:
            raise RuntimeError(f"answered {status}: {body[:500]!r}")
    writer.close()
    await writer.wait_closed()


async def get(port: int, path: str) -> bytes:
    """Return what is at a path."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
    _, body = await _answer(reader)
    writer.close()
    await writer.wait_closed()
    return body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    return int(head[9:12]), await reader.readexactly(length)


async def serves(port: int) -> None:
    """Return once something answers HTTP there."""

    async def answered() -> bool:
        try:
            await get(port, "/health/live")
        except OSError:
            return False
        return True

    await within(30, answered, every=0.05)
