"""The gateway on a real RabbitMQ and a real PostgreSQL, through a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import uvicorn

from clarion.brokers import open_broker
from clarion.brokers.base import Broker
from clarion.runner import listen, serving
from clarion.store import open_store
from clarion.store.callbacks import CallbackStore
from clarion.templates import TemplateRepository
from clarion_gateway.app import create_app
from clarion_gateway.auth import ApiKeys
from clarion_gateway.publisher import Publisher
from clarion_testing.postgres import Postgres
from clarion_testing.rabbitmq_nodes import RabbitMQ


@dataclass
class Gateway:
    """A running gateway and what it runs on."""

    url: str
    session: aiohttp.ClientSession
    store: CallbackStore
    broker: Broker
    publisher: Publisher

    async def send(self, message_id: str) -> int:
        """POST an event and return the status of the answer."""
        event = {
            "message_id": message_id,
            "target_user_id": "u1",
            "channel": "email",
            "template_id": "welcome",
            "payload": {"user_name": "Ann", "email": "ann@example.com"},
        }
        async with self.session.post(self.url + "/v1/notifications", json=event) as answer:
            return answer.status

    async def health(self) -> tuple[int, str]:
        """Return the status code and the verdict of /health."""
        async with self.session.get(self.url + "/health") as answer:
            return answer.status, (await answer.json())["status"]


@pytest.fixture
async def gateway(rabbitmq: RabbitMQ, postgres: Postgres) -> AsyncIterator[Gateway]:
    store = open_store(postgres.url, grace=0.2)
    broker = open_broker(rabbitmq.url("gateway"))
    publisher = Publisher(store, broker, poll=0.2, lease=5.0)
    app = create_app(
        store=store,
        broker=broker,
        templates=TemplateRepository(Path("shared/templates")),
        keys=ApiKeys(),
        probes={},
        publisher=publisher,
    )
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(app, log_config=None, lifespan="on", ws="none")
    try:
        async with aiohttp.ClientSession() as session, serving(config, listener):
            yield Gateway(url, session, store, broker, publisher)
    finally:
        await broker.close()
        await store.close()
