"""`python -m clarion_gateway` serves; `keys new NAME` makes a key; `requeue` publishes again."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import aiohttp
import uvloop
from loguru import logger

from clarion import logs
from clarion.brokers import open_broker
from clarion.errors import ClarionError
from clarion.runner import listen, serving, spare_the_collector, stop_signal
from clarion.settings import load, secrets_folder, secrets_of
from clarion.store import open_store
from clarion.store.retention import retention_of, sweeping
from clarion.templates import TemplateRepository
from clarion.unsubscribe import UnsubscribeLinks
from clarion_gateway import server
from clarion_gateway.app import create_app
from clarion_gateway.auth import (
    DEFAULT_SCOPES,
    SCOPES,
    ApiKeys,
    describe,
    new_key,
    parse_keys,
    parse_scopes,
    require_keys,
)
from clarion_gateway.callback_urls import CallbackUrls, parse_callbacks
from clarion_gateway.caller import Caller, calling_session
from clarion_gateway.probes import HttpProbe
from clarion_gateway.providers.sendgrid import SendGridEvents
from clarion_gateway.providers.twilio import TwilioCallbacks
from clarion_gateway.publisher import Publisher
from clarion_gateway.rate import RateLimit
from clarion_gateway.requeue import republish
from clarion_gateway.rotation import Rotation
from clarion_gateway.settings import GatewaySettings


def main() -> None:
    """Do what the command line says; exit 1 with one line if it cannot be done."""
    arguments = _parser().parse_args()
    try:
        if arguments.command == "keys":
            _new_key(arguments.name, arguments.scopes)
        elif arguments.command == "requeue":
            _requeue()
        else:
            _run()
    except ClarionError as error:
        sys.exit(f"clarion gateway: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m clarion_gateway")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    keys = commands.add_parser("keys", help="make API keys")
    new = keys.add_subparsers(dest="action", required=True, metavar="ACTION").add_parser(
        "new", help="print a new key, once, and its entry for API_KEYS"
    )
    new.add_argument("name", help="who uses it; shown as the producer of a notification")
    new.add_argument(
        "--scopes",
        default=describe(DEFAULT_SCOPES),
        help=f"what it is for: {'+'.join(SCOPES)}, or some of them (default: %(default)s)",
    )
    commands.add_parser(
        "requeue",
        help="publish everything unfinished again, after RabbitMQ lost its messages",
    )
    return parser


def _requeue() -> None:
    logs.configure("gateway")
    settings = load(GatewaySettings)
    logs.configure("gateway", settings.log_level, secrets=secrets_of(settings))
    print(f"published {asyncio.run(_republish(settings))} unfinished notifications again")


async def _republish(settings: GatewaySettings) -> int:
    store = open_store(settings.database_url.get_secret_value())
    broker = open_broker(settings.broker_url.get_secret_value())
    try:
        await broker.connect()
        return await republish(store, broker)
    finally:
        await broker.close()
        await store.close()


def _new_key(name: str, scopes: str) -> None:
    key, entry = new_key(name, parse_scopes(scopes))
    print(f"The key, shown this once (give it to {name}):\n\n  {key}\n")
    print(f"Its entry, to add to API_KEYS:\n\n  {entry}\n")


def _run() -> None:
    logs.configure("gateway")
    settings = load(GatewaySettings)
    logs.configure("gateway", settings.log_level, secrets=secrets_of(settings))
    keys = require_keys(_keys(settings), host=settings.host, auth=settings.auth)
    if not keys.required:
        logger.bind(host=settings.host).warning("no API keys are asked for: anyone may send")
    uvloop.run(_serve(settings, keys, _callback_urls(settings)))


def _keys(settings: GatewaySettings) -> ApiKeys:
    return parse_keys(settings.api_keys.get_secret_value())


def _callback_urls(settings: GatewaySettings) -> CallbackUrls:
    return parse_callbacks(settings.callbacks.get_secret_value())


async def _serve(settings: GatewaySettings, keys: ApiKeys, urls: CallbackUrls) -> None:
    stop = stop_signal()
    files = (secrets_folder() / "api_keys", secrets_folder() / "callbacks", Path(".env"))
    rotation = Rotation(
        keys,
        lambda: _keys(load(GatewaySettings)),
        urls,
        lambda: _callback_urls(load(GatewaySettings)),
        files,
    )
    templates = TemplateRepository(settings.templates_dir)
    store = open_store(settings.database_url.get_secret_value())
    broker = open_broker(settings.broker_url.get_secret_value())
    session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
    calling = calling_session()
    try:
        listener = listen(settings.host, settings.port)
        app = create_app(
            store=store,
            broker=broker,
            templates=templates,
            keys=keys,
            on_doubt=settings.on_doubt,
            status_events=settings.status_events == "on",
            callback_urls=urls,
            caller=Caller(store, urls, calling),
            probes={
                channel: HttpProbe(url, session) for channel, url in settings.worker_urls().items()
            },
            rate=RateLimit(settings.rate_limit, settings.burst),
            access_log=settings.access_log == "on",
            sendgrid_events=_sendgrid_events(settings),
            twilio_callbacks=_twilio_callbacks(settings),
            unsubscribe_links=None
            if settings.unsubscribe_secret is None
            else UnsubscribeLinks(settings.unsubscribe_secret.get_secret_value().strip()),
            publisher=Publisher(store, broker, rate=settings.backlog_rate),
        )
        spare_the_collector()
        sweep = sweeping(store, retention_of(settings))
        async with rotation.running(), sweep, serving(server.config(app), listener):
            logger.bind(host=settings.host, port=listener.getsockname()[1]).info("serving")
            await stop.wait()
            logger.info("stopping")
    finally:
        await broker.close()
        await store.close()
        await session.close()
        await calling.close()


def _sendgrid_events(settings: GatewaySettings) -> SendGridEvents | None:
    if settings.sendgrid_key is None:
        logger.warning("SENDGRID_WEBHOOK_PUBLIC_KEY is not set: SendGrid's receipts are refused")
        return None
    return SendGridEvents(settings.sendgrid_key)


def _twilio_callbacks(settings: GatewaySettings) -> TwilioCallbacks | None:
    if settings.twilio_token is None or settings.public_url is None:
        logger.warning("TWILIO_AUTH_TOKEN or PUBLIC_URL is not set: Twilio's receipts are refused")
        return None
    return TwilioCallbacks(settings.twilio_token, settings.public_url)


if __name__ == "__main__":
    main()
