"""The page: the inbox as its readers would see it."""

from __future__ import annotations

from importlib.resources import files
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from clarion_sandbox.addresses import ADDRESSES, TELLING
from clarion_sandbox.api import channel_of, limit_of, sandbox_of
from clarion_sandbox.inbox import Message
from clarion_sandbox.problems import problem
from clarion_sandbox.state import Sandbox

STATIC = files("clarion_sandbox") / "static"
PREVIEW = 140
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; frame-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
# the mail is a stranger's HTML: no script, no form, no origin, whoever opens it
MAIL_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; img-src data: https:; "
    "style-src 'unsafe-inline'; font-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


async def page(_request: Request) -> Response:
    """`GET /`."""
    html = (STATIC / "inbox.html").read_bytes()
    return Response(html, media_type="text/html", headers=HEADERS)


async def mail(request: Request) -> Response:
    """`GET /messages/{id}/html`: the HTML part of a mail, locked up."""
    message = sandbox_of(request).inbox.get(request.path_params["id"])
    html = None if message is None else message.content.get("html")
    if not html:
        return problem(404, f"no message {request.path_params['id']} with an HTML part")
    return Response(html, media_type="text/html", headers=MAIL_HEADERS)


async def overview(request: Request) -> Response:
    """`GET /api/overview`: what the page shows, in one answer; 304 while nothing has changed."""
    sandbox = sandbox_of(request)
    channel, limit = channel_of(request), limit_of(request, 200)
    etag = f'W/"{id(sandbox):x}.{sandbox.version()}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return JSONResponse(
        {
            "contracts": "loaded" if sandbox.contracts else "not loaded",
            "kept": len(sandbox.inbox),
            "messages": [
                _line(sandbox, message) for message in islice(sandbox.inbox.find(channel), limit)
            ],
            "calls": [
                record.as_json()
                for record in islice(sandbox.calls.newest(), limit)
                if channel in {None, record.channel}
            ],
            "summary": sandbox.calls.summary(),
            "rejections": list(sandbox.rejections),
            "faults": sandbox.faults.rules(),
        },
        headers=headers,
    )


async def addresses(_request: Request) -> Response:
    """`GET /api/addresses`: the magic addresses."""
    return JSONResponse([one.as_json() for one in (*ADDRESSES, *TELLING)])


def routes() -> list[Route | Mount]:
    """Return the routes of the page."""
    return [
        Route("/", page),
        Route("/messages/{id}/html", mail),
        Route("/api/overview", overview),
        Route("/api/addresses", addresses),
        Mount("/static", StaticFiles(packages=[("clarion_sandbox", "static")])),
    ]


def _line(sandbox: Sandbox, message: Message) -> dict[str, Any]:
    record = sandbox.calls.get(message.recipient.notification_id or "")
    content = message.content
    title = content.get("subject") or content.get("title")
    preview = content.get("text") or content.get("body") or ""
    if content.get("content_sid"):
        title = f"Template {content['content_sid']}"
        preview = ", ".join(map(str, (content["content_variables"] or {}).values()))
    return {
        **message.summary(),
        "acts": sandbox.teller.acts(message),
        "from": _sender(content.get("from")),
        "title": title,
        "preview": " ".join(preview[: 2 * PREVIEW].split())[:PREVIEW],
        "calls": record.calls if record else 0,
        "accepted": record.accepted if record else 0,
        "outcome": record.as_json()["outcome"] if record else "",
    }


def _sender(sender: object) -> str:
    if isinstance(sender, dict):
        return str(sender.get("name") or sender.get("email", ""))
    return str(sender or "")
