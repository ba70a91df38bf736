"""The sandbox's own API: inbox, calls, faults."""

from __future__ import annotations

from itertools import islice

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from clarion_sandbox.faults import RULES
from clarion_sandbox.problems import problem
from clarion_sandbox.state import Sandbox

CHANNELS = ("email", "whatsapp", "push")
MAX_BODY_BYTES = 1024 * 1024


class BadQuery(Exception):
    """Raised when a query parameter is wrong; the message names it."""


def sandbox_of(request: Request) -> Sandbox:
    """Return the state of the application that serves a request."""
    sandbox: Sandbox = request.app.state.sandbox
    return sandbox


def limit_of(request: Request, default: int) -> int:
    """Return `?limit=`, a whole number from 1. Raises `BadQuery`."""
    text = request.query_params.get("limit", str(default))
    if not (text.isascii() and text.isdigit() and int(text[:9]) >= 1 and len(text) <= 9):
        raise BadQuery("limit: must be a whole number from 1")
    return int(text)


def channel_of(request: Request) -> str | None:
    """Return `?channel=`, if it is set. Raises `BadQuery`."""
    channel = request.query_params.get("channel") or None
    if channel not in {None, *CHANNELS}:
        raise BadQuery(f"channel: must be one of {', '.join(CHANNELS)}")
    return channel


async def on_bad_query(_request: Request, error: Exception) -> Response:
    """Answer a wrong query parameter."""
    field, _, text = str(error).partition(": ")
    return problem(400, str(error), [{"path": field, "message": text}])


async def messages(request: Request) -> Response:
    """`GET` and `DELETE /api/messages`."""
    sandbox = sandbox_of(request)
    if request.method == "DELETE":
        sandbox.inbox.clear()
        sandbox.rejections.clear()
        return Response(status_code=204)
    limit = limit_of(request, 100)
    found = sandbox.inbox.find(channel_of(request), _address(request))
    return JSONResponse([message.as_json() for message in islice(found, limit)])


async def message(request: Request) -> Response:
    """`GET /api/messages/{id}`."""
    found = sandbox_of(request).inbox.get(request.path_params["id"])
    if found is None:
        return problem(404, f"no message {request.path_params['id']} is in the inbox")
    return JSONResponse(found.as_json())


async def calls(request: Request) -> Response:
    """`GET` and `DELETE /api/calls`."""
    log = sandbox_of(request).calls
    if request.method == "DELETE":
        log.clear()
        return Response(status_code=204)
    limit = limit_of(request, 1000)
    wanted = request.query_params.get("notification_id")
    if wanted is None:
        return JSONResponse([record.as_json() for record in islice(log.newest(), limit)])
    record = log.get(wanted)
    return JSONResponse([] if record is None else [record.as_json()])


async def calls_summary(request: Request) -> Response:
    """`GET /api/calls/summary`."""
    return JSONResponse(sandbox_of(request).calls.summary())


async def rejections(request: Request) -> Response:
    """`GET /api/rejections`: the newest requests that broke a rule or a contract."""
    return JSONResponse(list(sandbox_of(request).rejections))


async def faults(request: Request) -> Response:
    """`GET`, `PUT` and `DELETE /api/faults`."""
    book = sandbox_of(request).faults
    if request.method == "DELETE":
        book.replace([])
    elif request.method == "PUT":
        body = await read_body(request)
        if body is None:
            return problem(413, f"the rules are longer than {MAX_BODY_BYTES} bytes")
        try:
            rules = RULES.validate_json(body)
        except ValidationError as error:
            errors = [
                {"path": ".".join(map(str, one["loc"])), "message": one["msg"]}
                for one in error.errors(include_url=False, include_input=False)
            ]
            return problem(422, "these are not fault rules: see errors", errors)
        book.replace(rules)
    return JSONResponse(book.rules())


async def health(_request: Request) -> Response:
    """`GET /health`, `/health/live` and `/health/ready`: a sandbox that answers is ready."""
    return JSONResponse({"status": "ok"})


def routes() -> list[Route]:
    """Return the routes of the API."""
    return [
        Route("/api/messages", messages, methods=["GET", "DELETE"]),
        Route("/api/messages/{id}", message),
        Route("/api/calls", calls, methods=["GET", "DELETE"]),
        Route("/api/calls/summary", calls_summary),
        Route("/api/rejections", rejections),
        Route("/api/faults", faults, methods=["GET", "PUT", "DELETE"]),
        *(Route(path, health) for path in ("/health", "/health/live", "/health/ready")),
    ]


def _address(request: Request) -> str | None:
    to = request.query_params.get("to") or None
    # a plus sign that was not percent-encoded reads as a blank
    return None if to is None else "+" + to[1:] if to.startswith(" ") else to


async def read_body(request: Request) -> bytes | None:
    """Return the body; None when it is longer than MAX_BODY_BYTES."""
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > MAX_BODY_BYTES:
            return None
    return bytes(chunks)
