"""The limit of *intake*: Starlette and a confirmed publish; nothing checked, nothing stored."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator

import aio_pika
import uvicorn
from aio_pika.abc import AbstractExchange
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

KEY = "notifications.email.normal"


class Publisher:
    """One channel with confirms."""

    exchange: AbstractExchange

    async def publish(self, body: bytes) -> None:
        """Return once the broker has the message."""
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await self.exchange.publish(message, KEY)


def create_app(broker: str) -> Starlette:
    """Return the application."""
    publisher = Publisher()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with await aio_pika.connect(broker) as connection:
            channel = await connection.channel(publisher_confirms=True)
            publisher.exchange = await channel.get_exchange("notifications", ensure=False)
            yield

    async def one(request: Request) -> JSONResponse:
        await publisher.publish(json.dumps(await request.json()).encode())
        return JSONResponse({"accepted": 1}, 202)

    async def batch(request: Request) -> JSONResponse:
        events = (await request.json())["notifications"]
        await asyncio.gather(*(publisher.publish(json.dumps(event).encode()) for event in events))
        return JSONResponse({"accepted": len(events)}, 202)

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({})

    routes = [
        Route("/v1/notifications", one, methods=["POST"]),
        Route("/v1/notifications/batch", batch, methods=["POST"]),
        Route("/health/live", health),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


if __name__ == "__main__":
    app = create_app(sys.argv[2])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False)
