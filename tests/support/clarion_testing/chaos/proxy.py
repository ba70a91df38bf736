"""A TCP proxy on loopback that can cut what runs through it, anywhere within a frame."""

from __future__ import annotations

import asyncio
import random

CHUNK = 16_384
QUIET_SECONDS = 1.0


class CuttingProxy:
    """Stands between clients and a server on loopback, and cuts their connections when told."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._random = random.Random(5672)
        self.port = 0
        self.cuts = 0

    async def __aenter__(self) -> CuttingProxy:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """End what is left and listen no more."""
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.reset()

    def cut(self, *, mute: bool) -> None:
        """End every connection within its next few frames.

        With `mute` the client hears nothing more meanwhile: the server got messages whose confirms
        are lost. Without, a frame on its way to the server is torn.
        """
        for link in self._links:
            link.end_soon(self._random.randint(1, 3000), mute=mute)
            self.cuts += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, to_server)
        self._links.add(link)
        try:
            await asyncio.gather(link.send(reader), link.receive(from_server))
        finally:
            self._links.discard(link)


class _Link:
    """One client's connection, and the one to the server behind it."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._client = client
        self._server = server
        self._left: int | None = None
        self._muted = False

    def end_soon(self, size: int, *, mute: bool) -> None:
        """Reset it after `size` bytes more to the server, or when it falls quiet."""
        if self._left is None:
            self._left = size
            self._muted = mute
            asyncio.get_running_loop().call_later(QUIET_SECONDS, self.reset)

    def reset(self) -> None:
        """End both connections at once, without a goodbye."""
        self._client.transport.abort()
        self._server.transport.abort()

    async def send(self, reader: asyncio.StreamReader) -> None:
        """Pass on what the client says."""
        try:
            while data := await reader.read(CHUNK):
                passed = data if self._left is None else data[: self._left]
                self._server.write(passed)
                await self._server.drain()
                if self._left is not None:
                    self._left -= len(passed)
                    if self._left <= 0:
                        break
        except OSError:
            pass
        self.reset()

    async def receive(self, reader: asyncio.StreamReader) -> None:
        """Pass on what the server says, until it is muted."""
        try:
            while data := await reader.read(CHUNK):
                if not self._muted:
                    self._client.write(data)
                    await self._client.drain()
        except OSError:
            pass
        self.reset()
