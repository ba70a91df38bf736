"""The gateway, three workers and the sandbox, put together in one process."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator
from typing import Any

from loguru import logger

from clarion.brokers.base import Broker
from clarion.brokers.memory import MemoryBroker
from clarion.errors import SettingsError, StoreUnavailable
from clarion.notification import Channel
from clarion.ops import WorkerHealth
from clarion.provider import HttpTransport
from clarion.runner import build_worker, serving
from clarion.settings import WorkerSettings, load
from clarion.store import migrate, open_store
from clarion.store.base import Store
from clarion.store.callbacks import CallbackStore
from clarion.templates import TemplateRepository
from clarion.unsubscribe import UnsubscribeLinks
from clarion.worker import Worker
from clarion_email import content as email_content
from clarion_email.providers import open_provider as open_email
from clarion_email.settings import EmailSettings
from clarion_gateway.app import create_app as create_gateway
from clarion_gateway.auth import ApiKeys, parse_keys, require_keys
from clarion_gateway.callback_urls import parse_callbacks
from clarion_gateway.caller import Caller, calling_session
from clarion_gateway.providers.sandbox import public_key
from clarion_gateway.providers.sendgrid import SendGridEvents
from clarion_gateway.providers.twilio import TwilioCallbacks
from clarion_gateway.requeue import republish
from clarion_gateway.server import config as gateway_config
from clarion_push import content as push_content
from clarion_push.providers import open_provider as open_push
from clarion_sandbox.app import create_app as create_sandbox
from clarion_sandbox.server import config as sandbox_config
from clarion_standalone.probe import LocalProbe
from clarion_standalone.settings import StandaloneSettings
from clarion_whatsapp import content as whatsapp_content
from clarion_whatsapp.providers import open_provider as open_whatsapp
from clarion_whatsapp.reconciler import reconciling
from clarion_whatsapp.settings import WhatsAppSettings

DRAIN_SECONDS = 4.0
"""With the gateway's 2 seconds before it and the sandbox's 3 after it, a stop takes under 10."""


@contextlib.asynccontextmanager
async def running(
    settings: StandaloneSettings, gateway: socket.socket, sandbox: socket.socket
) -> AsyncIterator[None]:
    """Run the whole system on two listening sockets while the block runs; then drain and stop."""
    given = parse_keys(settings.api_keys.get_secret_value())
    keys = require_keys(given, host=settings.host, auth=settings.auth)
    urls = parse_callbacks(settings.callbacks.get_secret_value())
    await _prepare_data(settings)
    async with contextlib.AsyncExitStack() as stack:
        store = open_store(settings.store_url)
        stack.push_async_callback(store.close)
        transport = HttpTransport(timeout=load(WorkerSettings).provider_timeout_seconds)
        stack.push_async_callback(transport.close)
        broker = MemoryBroker()
        stack.push_async_callback(broker.close)
        await broker.connect()
        secret = secrets.token_urlsafe(32)
        vendors = create_sandbox(secret=secret, events_url=f"{url_of(gateway)}/webhooks/sendgrid")
        await stack.enter_async_context(serving(sandbox_config(vendors), sandbox))
        whatsapp = settings.whatsapp(url_of(sandbox), url_of(gateway), secret)
        email = settings.email(url_of(sandbox), url_of(gateway), secret)
        workers = _workers(settings, broker, store, transport, url_of(sandbox), email, whatsapp)
        recovered = await republish(store, broker)
        if recovered:
            logger.info("published {} unfinished notifications again", recovered)
        stack.push_async_callback(_stop, workers)
        for worker in workers:
            await worker.start()
        await stack.enter_async_context(reconciling(whatsapp, transport, store))
        calling = await stack.enter_async_context(calling_session())
        app = _gateway(
            settings,
            store,
            broker,
            keys,
            workers,
            sendgrid_events=SendGridEvents(public_key(secret)),
            twilio_callbacks=TwilioCallbacks(secret, url_of(gateway)),
            unsubscribe_links=UnsubscribeLinks(secret),
            callback_urls=urls,
            caller=Caller(store, urls, calling),
        )
        await stack.enter_async_context(serving(gateway_config(app, stop_seconds=2), gateway))
        yield


async def _stop(workers: list[Worker[Any]]) -> None:
    # at the same time: three channels that hang take no longer than one
    await asyncio.gather(*(worker.stop(DRAIN_SECONDS) for worker in workers))


async def _prepare_data(settings: StandaloneSettings) -> None:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        # aiosqlite's thread may still be telling of a file that cannot be opened when all is over
        with settings.database_file.open("ab"):
            pass
        await asyncio.to_thread(migrate, settings.store_url)
    except (OSError, StoreUnavailable) as error:
        told = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(
            f"DATA_DIR: cannot keep data in {settings.data_dir} ({told}); name a folder that can "
            "be written"
        ) from error


def _workers(
    settings: StandaloneSettings,
    broker: Broker,
    store: Store,
    transport: HttpTransport,
    sandbox: str,
    email: EmailSettings,
    whatsapp: WhatsAppSettings,
) -> list[Worker[Any]]:
    push = settings.push(sandbox)
    return [
        build_worker(
            Channel.EMAIL,
            email,
            broker,
            store,
            email_content.compose,
            open_email(email, transport, store),
        ),
        build_worker(
            Channel.WHATSAPP,
            whatsapp,
            broker,
            store,
            whatsapp_content.compose,
            open_whatsapp(whatsapp, transport, store),
        ),
        build_worker(
            Channel.PUSH,
            push,
            broker,
            store,
            push_content.compose,
            open_push(push, transport, store),
        ),
    ]


def _gateway(
    settings: StandaloneSettings,
    store: CallbackStore,
    broker: Broker,
    keys: ApiKeys,
    workers: list[Worker[Any]],
    **options: Any,
) -> Any:
    return create_gateway(
        store=store,
        broker=broker,
        templates=TemplateRepository(settings.templates_dir),
        keys=keys,
        on_doubt=settings.on_doubt,
        probes={
            worker.channel: LocalProbe(WorkerHealth(worker, broker, store)) for worker in workers
        },
        **options,
    )


def url_of(listener: socket.socket) -> str:
    """Return the address of what answers on `listener`."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
