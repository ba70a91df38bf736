"""The limit of *drain*: take, call, acknowledge; no template, no database, no promise kept.

Bare aio-pika (prefetch 200, acknowledgements with `multiple`) and one aiohttp session with a body
that was built before; with `echo` as the last argument the message itself is sent on.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import aio_pika
import aiohttp
import uvloop
from aio_pika.abc import AbstractIncomingMessage

PREFETCH = 200
BODY = json.dumps(
    {
        "personalizations": [{"to": [{"email": "ann@example.com"}]}],
        "from": {"email": "notifications@clarion.test"},
        "subject": "Welcome",
        "content": [
            {"type": "text/plain", "value": "x" * 500},
            {"type": "text/html", "value": "x" * 3000},
        ],
    }
).encode()
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer SG.bench"}


class Acknowledger:
    """Acknowledges up to the oldest delivery that is still under way."""

    def __init__(self) -> None:
        self._open: dict[int, AbstractIncomingMessage] = {}
        self._done: set[int] = set()
        # in turn: an earlier tag acknowledged after a later one makes the broker close the channel
        self._turn = asyncio.Lock()

    def took(self, message: AbstractIncomingMessage) -> None:
        """Remember a delivery; they come in the order of their tags."""
        self._open[message.delivery_tag or 0] = message

    async def finished(self, message: AbstractIncomingMessage) -> None:
        """Acknowledge all that is finished from the oldest on, with one frame."""
        self._done.add(message.delivery_tag or 0)
        async with self._turn:
            last = None
            while self._open and (tag := next(iter(self._open))) in self._done:
                last = self._open.pop(tag)
                self._done.discard(tag)
            if last is not None:
                await last.ack(multiple=True)


async def _drain(broker: str, queue_name: str, provider: str, what: str = "") -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    connector = aiohttp.TCPConnector(limit=PREFETCH)
    async with (
        await aio_pika.connect(broker) as connection,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        acknowledger = Acknowledger()

        async def handle(message: AbstractIncomingMessage) -> None:
            acknowledger.took(message)
            body = message.body if what == "echo" else BODY
            async with session.post(provider, data=body, headers=HEADERS) as response:
                await response.read()
            await acknowledger.finished(message)

        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(PREFETCH)
        await (await channel.get_queue(queue_name)).consume(handle)
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(_drain(*sys.argv[1:]))
