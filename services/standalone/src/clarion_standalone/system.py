"""The gateway, three workers and the sandbox, put together in one process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from loguru import logger

from clarion.brokers.base import Broker
from clarion.brokers.memory import MemoryBroker
from clarion.errors import SettingsError
from clarion.notification import Channel
from clarion.ops import WorkerHealth
from clarion.provider import HttpTransport
from clarion.runner import build_worker, serving
from clarion.store import migrate, open_store
from clarion.store.base import Store
from clarion.templates import TemplateRepository
from clarion.worker import Worker
from clarion_email import content as email_content
from clarion_email.providers import open_provider as open_email
from clarion_gateway.app import create_app as create_gateway
from clarion_gateway.auth import ApiKeys, parse_keys
from clarion_push import content as push_content
from clarion_push.providers import open_provider as open_push
from clarion_sandbox.app import create_app as create_sandbox
from clarion_sandbox.server import config as sandbox_config
from clarion_standalone.probe import LocalProbe
from clarion_standalone.recovery import republish
from clarion_standalone.settings import StandaloneSettings
from clarion_whatsapp import content as whatsapp_content
from clarion_whatsapp.providers import open_provider as open_whatsapp

DRAIN_SECONDS = 5.0


@contextlib.asynccontextmanager
async def running(
    settings: StandaloneSettings, gateway: socket.socket, sandbox: socket.socket
) -> AsyncIterator[None]:
    """Run the whole system on two listening sockets while the block runs; then drain and stop."""
    _make_data_dir(settings)
    await asyncio.to_thread(migrate, settings.store_url)
    async with contextlib.AsyncExitStack() as stack:
        store = open_store(settings.store_url)
        stack.push_async_callback(store.close)
        transport = HttpTransport()
        stack.push_async_callback(transport.close)
        broker = MemoryBroker()
        stack.push_async_callback(broker.close)
        await broker.connect()
        await stack.enter_async_context(serving(sandbox_config(create_sandbox()), sandbox))
        workers = _workers(settings, broker, store, transport, _url(sandbox), _url(gateway))
        recovered = await republish(store, broker)
        if recovered:
            logger.info("published {} unfinished notifications again", recovered)
        for worker in workers:
            await worker.start()
            stack.push_async_callback(worker.stop, DRAIN_SECONDS)
        keys = parse_keys(settings.api_keys.get_secret_value())
        app = _gateway(settings, store, broker, keys, workers)
        await stack.enter_async_context(serving(_config(app), gateway))
        yield


def _make_data_dir(settings: StandaloneSettings) -> None:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"DATA_DIR: cannot make {settings.data_dir} ({error.strerror}); name a folder that "
            "can be written"
        ) from error


def _workers(
    settings: StandaloneSettings,
    broker: Broker,
    store: Store,
    transport: HttpTransport,
    sandbox: str,
    gateway: str,
) -> list[Worker[Any]]:
    email = settings.email(sandbox)
    whatsapp = settings.whatsapp(sandbox, gateway)
    push = settings.push(sandbox)
    return [
        build_worker(
            Channel.EMAIL, email, broker, store, email_content.compose, open_email(email, transport)
        ),
        build_worker(
            Channel.WHATSAPP,
            whatsapp,
            broker,
            store,
            whatsapp_content.compose,
            open_whatsapp(whatsapp, transport),
        ),
        build_worker(
            Channel.PUSH, push, broker, store, push_content.compose, open_push(push, transport)
        ),
    ]


def _gateway(
    settings: StandaloneSettings,
    store: Store,
    broker: Broker,
    keys: ApiKeys,
    workers: list[Worker[Any]],
) -> Any:
    return create_gateway(
        store=store,
        broker=broker,
        templates=TemplateRepository(settings.templates_dir),
        keys=keys,
        probes={
            worker.channel: LocalProbe(WorkerHealth(worker, broker, store)) for worker in workers
        },
    )


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=2,
    )


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"
