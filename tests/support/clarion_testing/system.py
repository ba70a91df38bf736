"""The whole system within a test: gateway, three workers and sandbox, on given servers."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from pydantic import SecretStr

from clarion.brokers import open_broker
from clarion.notification import Channel
from clarion.provider import HttpTransport
from clarion.runner import build_worker, listen, serving
from clarion.store import open_store
from clarion.templates import TemplateRepository
from clarion.worker import Worker
from clarion_email import content as email_content
from clarion_email.providers import open_provider as open_email
from clarion_email.settings import EmailSettings
from clarion_gateway.app import create_app as create_gateway
from clarion_gateway.auth import ApiKeys
from clarion_gateway.providers.sandbox import public_key
from clarion_gateway.providers.sendgrid import SendGridEvents
from clarion_gateway.providers.twilio import TwilioCallbacks
from clarion_push import content as push_content
from clarion_push.providers import open_provider as open_push
from clarion_push.settings import PushSettings
from clarion_sandbox.app import create_app as create_sandbox
from clarion_sandbox.server import config as sandbox_config
from clarion_testing.rabbitmq_nodes import RabbitMQ
from clarion_whatsapp import content as whatsapp_content
from clarion_whatsapp.providers import open_provider as open_whatsapp
from clarion_whatsapp.reconciler import reconciling
from clarion_whatsapp.settings import WhatsAppSettings

TEMPLATES = Path(__file__).parents[3] / "shared" / "templates"
SECRET = "what the sandbox signs with"
FINAL = ("sent", "failed")
RECIPIENTS: dict[str, dict[str, object]] = {
    "email": {"email": "ann@example.com"},
    "whatsapp": {"phone": "+14155550123"},
    "push": {"device_token": "a-device-of-ann"},
}


def event(channel: str, **payload: object) -> dict[str, Any]:
    """Return an event that is right in all its parts, for `channel`."""
    return {
        "message_id": uuid.uuid4().hex,
        "target_user_id": "user_1",
        "channel": channel,
        "template_id": "welcome",
        "payload": {"user_name": "Ann"} | RECIPIENTS[channel] | payload,
    }


class System:
    """A running system, spoken to over HTTP as its users do."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        gateway: str,
        sandbox: str,
        workers: Mapping[Channel, Worker[Any]],
    ) -> None:
        self._session = session
        self.gateway = gateway
        self.sandbox = sandbox
        self.workers = workers

    async def ask(self, method: str, url: str, body: object = None) -> tuple[int, Any]:
        """Return the status and the JSON of one request."""
        async with self._session.request(method, url, json=body) as response:
            text = await response.read()
            return response.status, await response.json(content_type=None) if text else None

    async def send(self, body: object) -> str:
        """Return the id of the one notification that the gateway accepted."""
        status, answer = await self.ask("POST", f"{self.gateway}/v1/notifications", body)
        assert status == 202, answer
        return str(answer["notifications"][0]["notification_id"])

    async def get(self, notification_id: str) -> Any:
        """Return a notification as the gateway shows it."""
        status, answer = await self.ask("GET", f"{self.gateway}/v1/notifications/{notification_id}")
        assert status == 200, answer
        return answer

    async def until(self, notification_id: str, *statuses: str) -> Any:
        """Return the notification once it has one of these statuses (by default a final one)."""
        async with asyncio.timeout(60):
            while True:
                answer = await self.get(notification_id)
                if answer["status"] in (statuses or FINAL):
                    return answer
                await asyncio.sleep(0.02)

    async def faults(self, *rules: dict[str, Any]) -> None:
        """Make the sandbox fail as the rules say."""
        status, answer = await self.ask("PUT", f"{self.sandbox}/api/faults", list(rules))
        assert status == 200, answer

    async def calls(self, notification_id: str) -> list[dict[str, Any]]:
        """Return every call that the sandbox counted for a notification, oldest first."""
        url = f"{self.sandbox}/api/calls?notification_id={notification_id}"
        _, answer = await self.ask("GET", url)
        records = answer["calls"] if isinstance(answer, dict) else answer
        return [entry for record in records for entry in record["entries"]]

    async def inbox(self, channel: str) -> list[dict[str, Any]]:
        """Return what arrived on a channel."""
        _, answer = await self.ask("GET", f"{self.sandbox}/api/messages?channel={channel}")
        return list(answer["messages"] if isinstance(answer, dict) else answer)


@contextlib.asynccontextmanager
async def running_system(
    node: RabbitMQ,
    database: str,
    *,
    receipts: bool = False,
    templates: Path = TEMPLATES,
    **worker_settings: object,
) -> AsyncIterator[System]:
    """Run the system on a RabbitMQ node and a PostgreSQL database while the block runs.

    With `receipts`, the sandbox tells the gateway by itself what becomes of each message.
    """
    async with contextlib.AsyncExitStack() as stack:
        gateway_socket, sandbox_socket = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
        gateway, sandbox = (
            f"http://127.0.0.1:{each.getsockname()[1]}" for each in (gateway_socket, sandbox_socket)
        )
        events_url = f"{gateway}/webhooks/sendgrid" if receipts else None
        vendors = sandbox_config(create_sandbox(secret=SECRET, events_url=events_url))
        await stack.enter_async_context(serving(vendors, sandbox_socket))
        store = open_store(database)
        stack.push_async_callback(store.close)
        transport = HttpTransport(timeout=5)
        stack.push_async_callback(transport.close)
        workers = await _start_workers(
            stack,
            node,
            database,
            transport,
            sandbox,
            gateway,
            {"templates_dir": templates, **worker_settings},
        )
        broker = open_broker(node.url("gateway"))
        stack.push_async_callback(broker.close)
        app = create_gateway(
            store=store,
            broker=broker,
            templates=TemplateRepository(templates),
            keys=ApiKeys(),
            probes={},
            sendgrid_events=SendGridEvents(public_key(SECRET)),
            twilio_callbacks=TwilioCallbacks(SECRET, gateway),
        )
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on")
        await stack.enter_async_context(serving(config, gateway_socket))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield System(session, gateway, sandbox, workers)


async def _start_workers(
    stack: contextlib.AsyncExitStack,
    node: RabbitMQ,
    database: str,
    transport: HttpTransport,
    sandbox: str,
    gateway: str,
    worker_settings: Mapping[str, Any],
) -> dict[Channel, Worker[Any]]:
    email = EmailSettings(
        sendgrid_api_key=SecretStr("SG.test"),
        sendgrid_base_url=sandbox,
        **worker_settings,
    )
    whatsapp = WhatsAppSettings(
        twilio_base_url=sandbox,
        twilio_auth_token=SecretStr(SECRET),
        public_url=gateway,
        **worker_settings,
    )
    push = PushSettings(
        fcm_project_id="clarion-sandbox",
        fcm_service_account_file=f"{sandbox}/service-account.json",
        fcm_base_url=sandbox,
        **worker_settings,
    )
    parts: list[tuple[Channel, Any, Any, Any]] = [
        (Channel.EMAIL, email, email_content.compose, open_email),
        (Channel.WHATSAPP, whatsapp, whatsapp_content.compose, open_whatsapp),
        (Channel.PUSH, push, push_content.compose, open_push),
    ]
    workers: dict[Channel, Worker[Any]] = {}
    for channel, settings, compose, open_provider in parts:
        broker, store = open_broker(node.url(channel)), open_store(database)
        stack.push_async_callback(store.close)
        stack.push_async_callback(broker.close)
        await broker.connect()
        provider = open_provider(settings, transport, store)
        worker = build_worker(channel, settings, broker, store, compose, provider)
        stack.push_async_callback(worker.stop, 5)
        await worker.start()
        workers[channel] = worker
    await stack.enter_async_context(reconciling(whatsapp, transport, store))
    return workers
