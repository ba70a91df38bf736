"""The sandbox's API for receipts: the plan, and the buttons under each message."""

from __future__ import annotations

import json

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from clarion_sandbox.api import read_body, sandbox_of
from clarion_sandbox.inbox import Message
from clarion_sandbox.problems import problem
from clarion_sandbox.receipts import Plan

MAX_REPLY = 1600


async def plan(request: Request) -> Response:
    """`GET` and `PUT /api/receipts`."""
    teller = sandbox_of(request).teller
    if request.method == "PUT":
        try:
            teller.plan = Plan.model_validate_json(await read_body(request) or b"")
        except ValidationError as error:
            errors = [
                {"path": ".".join(map(str, one["loc"])), "message": one["msg"]}
                for one in error.errors(include_url=False, include_input=False)
            ]
            return problem(422, "this is not a plan for receipts: see errors", errors)
    return JSONResponse(teller.state())


async def tell(request: Request) -> Response:
    """`POST /api/messages/{id}/receipts`: tell one thing of one message, now."""
    message = _message(request)
    if isinstance(message, Response):
        return message
    sandbox = sandbox_of(request)
    acts = sandbox.teller.acts(message)
    act = _field(await read_body(request) or b"", "tell")
    if act not in acts:
        told = f"one of {', '.join(acts)}" if acts else "nothing: this message has no receipts"
        return problem(422, f"tell: must be {told}", [{"path": "tell", "message": told}])
    return JSONResponse((await sandbox.teller.tell(message, act)).model_dump())


async def reply(request: Request) -> Response:
    """`POST /api/messages/{id}/replies`: the recipient of a WhatsApp message writes back."""
    message = _message(request)
    if isinstance(message, Response):
        return message
    text = _field(await read_body(request) or b"", "text")
    if not text or len(text) > MAX_REPLY:
        told = f"1 to {MAX_REPLY} characters"
        return problem(422, f"text: must be {told}", [{"path": "text", "message": told}])
    if message.channel != "whatsapp":
        return problem(409, "only a WhatsApp message can be replied to")
    return JSONResponse((await sandbox_of(request).teller.reply(message, text)).model_dump())


def _message(request: Request) -> Message | Response:
    """Return the message that a request is about, or the refusal of the request."""
    message = sandbox_of(request).inbox.get(request.path_params["id"])
    if message is None:
        return problem(404, f"no message {request.path_params['id']} is in the inbox")
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        # a page of another origin cannot send this type unasked
        return problem(415, "send JSON, with Content-Type: application/json")
    return message


def routes() -> list[Route]:
    """Return the routes."""
    return [
        Route("/api/receipts", plan, methods=["GET", "PUT"]),
        Route("/api/messages/{id}/receipts", tell, methods=["POST"]),
        Route("/api/messages/{id}/replies", reply, methods=["POST"]),
    ]


def _field(body: bytes, name: str) -> str:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(document.get(name) or "") if isinstance(document, dict) else ""
