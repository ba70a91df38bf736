"""The sandbox as one ASGI application."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from clarion_sandbox import api, oauth, page, problems, settings
from clarion_sandbox.endpoint import VendorEndpoint
from clarion_sandbox.state import Sandbox
from clarion_sandbox.vendors.fcm import Fcm
from clarion_sandbox.vendors.sendgrid import SendGrid
from clarion_sandbox.vendors.twilio import Twilio


def create_app(
    *,
    contracts_dir: Path | None = None,
    inbox_limit: int = settings.INBOX_LIMIT,
    inbox_limit_bytes: int = settings.INBOX_LIMIT_BYTES,
    calls_limit: int = settings.CALLS_LIMIT,
) -> Starlette:
    """Return a sandbox with an empty inbox; serve it with `clarion_sandbox.server`.

    `contracts_dir` holds the vendors' published contracts. Raises `ContractsMissing` when a file
    is not there.
    """
    sandbox = Sandbox(
        contracts_dir=contracts_dir,
        inbox_limit=inbox_limit,
        inbox_limit_bytes=inbox_limit_bytes,
        calls_limit=calls_limit,
    )
    app = Starlette(
        routes=[
            Route("/v3/mail/send", VendorEndpoint(SendGrid(), sandbox)),
            Route("/2010-04-01/Accounts/{sid}/Messages.json", VendorEndpoint(Twilio(), sandbox)),
            Route("/v1/projects/{project}/messages:send", VendorEndpoint(Fcm(), sandbox)),
            Route("/token", oauth.serve_token, methods=["POST"]),
            Route("/service-account.json", oauth.serve_service_account),
            *api.routes(),
            *page.routes(),
        ],
        exception_handlers={
            api.BadQuery: api.on_bad_query,
            HTTPException: problems.on_http_exception,
            Exception: problems.on_error,
        },
    )
    app.state.sandbox = sandbox
    return app
