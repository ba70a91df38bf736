"""The gateway's application, put together in one place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware

from clarion.brokers.base import Broker
from clarion.notification import Channel, OnDoubt
from clarion.store.callbacks import CallbackStore
from clarion.templates import TemplateRepository
from clarion.unsubscribe import UnsubscribeLinks
from clarion_gateway.auth import ApiKeys
from clarion_gateway.callback_urls import CallbackUrls
from clarion_gateway.callbacks import Callbacks
from clarion_gateway.caller import Caller
from clarion_gateway.dead_letters import DeadLetters
from clarion_gateway.docs import build_page
from clarion_gateway.endpoint import routes
from clarion_gateway.health import Health
from clarion_gateway.intake import Acceptor
from clarion_gateway.limits import Limits
from clarion_gateway.middleware import Envelope
from clarion_gateway.notifications import Notifications
from clarion_gateway.openapi import build_document
from clarion_gateway.operations import Operations
from clarion_gateway.probes import Probe
from clarion_gateway.problems import HANDLERS
from clarion_gateway.providers.sendgrid import SendGridEvents
from clarion_gateway.providers.twilio import TwilioCallbacks
from clarion_gateway.publisher import Publisher
from clarion_gateway.rate import RateLimit
from clarion_gateway.recorder import Recorder
from clarion_gateway.relay import POLL_SECONDS, Relay
from clarion_gateway.suppressions import Suppressions
from clarion_gateway.template_routes import Templates
from clarion_gateway.unsubscribing import Unsubscribing
from clarion_gateway.webhooks import Webhooks


def create_app(
    *,
    store: CallbackStore,
    broker: Broker,
    templates: TemplateRepository,
    keys: ApiKeys,
    probes: Mapping[Channel, Probe],
    limits: Limits | None = None,
    rate: RateLimit | None = None,
    publisher: Publisher | None = None,
    access_log: bool = True,
    on_doubt: OnDoubt = OnDoubt.RESEND,
    status_events: bool = True,
    status_events_poll: float = POLL_SECONDS,
    callback_urls: CallbackUrls | None = None,
    caller: Caller | None = None,
    sendgrid_events: SendGridEvents | None = None,
    twilio_callbacks: TwilioCallbacks | None = None,
    unsubscribe_links: UnsubscribeLinks | None = None,
) -> Starlette:
    """Return the gateway of these parts; its lifespan runs its background tasks.

    The publisher connects the broker when it is there. The caller closes broker and store. The
    receipts of a provider that is not given are refused.
    """
    limits = limits or Limits()
    rate = rate or RateLimit()
    publisher = publisher or Publisher(store, broker)
    urls = callback_urls or CallbackUrls()
    relay = Relay(
        store,
        broker,
        publishing=status_events,
        urls=urls,
        called=caller.look if caller else lambda: None,
        poll=status_events_poll,
    )
    health = Health(store, broker, publisher, probes, urls)
    acceptor = Acceptor(
        store,
        templates,
        publisher,
        limits.work_seconds,
        on_doubt,
        told=lambda producer: status_events or producer in urls,
    )
    operations = Operations(health)
    endpoints = [
        *Notifications(acceptor, store, rate, limits).endpoints(),
        *DeadLetters(store, templates, limits).endpoints(),
        *Templates(templates, limits).endpoints(),
        *Suppressions(store, limits).endpoints(),
        *Callbacks(store, limits).endpoints(),
        *Unsubscribing(store, limits, unsubscribe_links).endpoints(),
        *Webhooks(store, limits, sendgrid_events, twilio_callbacks).endpoints(),
        *operations.endpoints(),
    ]
    document = build_document(endpoints, keys_required=keys.required)
    operations.publish(document, build_page(document))
    app = Starlette(
        routes=routes(endpoints, keys, rate),
        middleware=[Middleware(Envelope, access_log=access_log)],
        exception_handlers=dict(HANDLERS),
        lifespan=_lifespan(health, publisher, Recorder(store, broker), relay, caller),
    )
    app.router.redirect_slashes = False
    return app


def _lifespan(
    health: Health,
    publisher: Publisher,
    recorder: Recorder,
    relay: Relay,
    caller: Caller | None,
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await publisher.start()
        await recorder.start()
        await relay.start()
        if caller is not None:
            await caller.start()
        try:
            yield
        finally:
            health.stopping = True
            if caller is not None:
                await caller.stop()
            await relay.stop()
            await recorder.stop()
            await publisher.stop()

    return lifespan
