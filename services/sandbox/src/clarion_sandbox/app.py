"""The sandbox as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from clarion_sandbox import api, oauth, page, problems, receipt_api, settings
from clarion_sandbox.endpoint import VendorEndpoint
from clarion_sandbox.state import Sandbox
from clarion_sandbox.vendors import twilio_messages
from clarion_sandbox.vendors.fcm import Fcm
from clarion_sandbox.vendors.sendgrid import SendGrid
from clarion_sandbox.vendors.twilio import Twilio


def create_app(
    *,
    contracts_dir: Path | None = None,
    inbox_limit: int = settings.INBOX_LIMIT,
    inbox_limit_bytes: int = settings.INBOX_LIMIT_BYTES,
    calls_limit: int = settings.CALLS_LIMIT,
    secret: str | None = None,
    events_url: str | None = None,
) -> Starlette:
    """Return a sandbox with an empty inbox; serve it with `clarion_sandbox.server`.

    `contracts_dir` holds the vendors' published contracts. Raises `ContractsMissing` when a file
    is not there. Receipts of emails go to `events_url`, signed with the key of `secret`.
    """
    sandbox = Sandbox(
        contracts_dir=contracts_dir,
        inbox_limit=inbox_limit,
        inbox_limit_bytes=inbox_limit_bytes,
        calls_limit=calls_limit,
        secret=secret,
        events_url=events_url,
    )
    app = Starlette(
        routes=[
            Route("/v3/mail/send", VendorEndpoint(SendGrid(), sandbox)),
            Route("/2010-04-01/Accounts/{sid}/Messages.json", VendorEndpoint(Twilio(), sandbox)),
            Route("/2010-04-01/Accounts/{account}/Messages/{sid}.json", twilio_messages.show),
            Route("/v1/projects/{project}/messages:send", VendorEndpoint(Fcm(), sandbox)),
            Route("/token", oauth.serve_token, methods=["POST"]),
            Route("/service-account.json", oauth.serve_service_account),
            *receipt_api.routes(),
            *api.routes(),
            *page.routes(),
        ],
        exception_handlers={
            api.BadQuery: api.on_bad_query,
            HTTPException: problems.on_http_exception,
            Exception: problems.on_error,
        },
        lifespan=_telling,
    )
    app.state.sandbox = sandbox
    return app


@asynccontextmanager
async def _telling(app: Starlette) -> AsyncIterator[None]:
    teller = app.state.sandbox.teller
    await teller.start()
    try:
        yield
    finally:
        await teller.stop()
