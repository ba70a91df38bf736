"""Unsubscribing with one click, under /unsubscribe (RFC 8058)."""

from __future__ import annotations

from datetime import UTC, datetime

from loguru import logger
from starlette.requests import Request
from starlette.responses import Response

from clarion.notification import Channel, Reason
from clarion.store.base import Store
from clarion.suppression import Kind, Suppression
from clarion.unsubscribe import UnsubscribeLinks
from clarion_gateway.endpoint import Endpoint
from clarion_gateway.limits import Limits
from clarion_gateway.problems import Problem

_POLICY = "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Unsubscribe</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><main><h1>{title}</h1>{body}</main></body></html>
"""
_ASK = _PAGE.format(
    title="Unsubscribe",
    body="<p>You will get no more of these messages.</p>"
    '<form method="post"><button type="submit">Unsubscribe</button></form>',
)
_DONE = _PAGE.format(title="Unsubscribed", body="<p>You will get no more of these messages.</p>")


class Unsubscribing:
    """The endpoints under /unsubscribe."""

    def __init__(self, store: Store, limits: Limits, links: UnsubscribeLinks | None) -> None:
        self._store = store
        self._limits = limits
        self._links = links

    async def ask(self, request: Request) -> Response:
        """Ask whether it is meant: programs that look for malware follow links too."""
        self._recipient(request)
        return _html(_ASK)

    async def unsubscribe(self, request: Request) -> Response:
        """Suppress the address, at once and without another question."""
        channel, address = self._recipient(request)
        given = Suppression(
            channel, address, Kind.WISH, Reason.UNSUBSCRIBED, "one-click", datetime.now(UTC)
        )
        await self._limits.in_time(self._store.suppress(given))
        logger.bind(channel=channel).info("a recipient unsubscribed")
        return _html(_DONE)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what is served under which path."""
        path, tag = "/unsubscribe/{token}", "Unsubscribing"
        patterns = {"token": "^[A-Za-z0-9_-]{1,2000}$"}
        return (
            Endpoint(
                "GET",
                path,
                self.ask,
                "askToUnsubscribe",
                "The page that a reader's link opens",
                {200: "text/html"},
                tag,
                refusals=(404,),
                path_patterns=patterns,
                scope=None,
            ),
            Endpoint(
                "POST",
                path,
                self.unsubscribe,
                "unsubscribe",
                "Unsubscribe with one click (RFC 8058)",
                {200: "text/html"},
                tag,
                "Mail programs post here by themselves; the token in the link is all that is asked "
                "for.",
                refusals=(404, 503),
                path_patterns=patterns,
                scope=None,
            ),
        )

    def _recipient(self, request: Request) -> tuple[Channel, str]:
        token = request.path_params["token"]
        recipient = None if self._links is None else self._links.read(token)
        if recipient is None:
            raise Problem(404, "this link is not, or no longer, one of ours")
        return recipient


def _html(page: str) -> Response:
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": _POLICY})
