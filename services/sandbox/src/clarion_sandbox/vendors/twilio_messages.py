"""Twilio: ask what became of a message (www.twilio.com/docs/messaging/api/message-resource)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from clarion_sandbox.api import sandbox_of
from clarion_sandbox.vendor import VendorRequest
from clarion_sandbox.vendors.twilio import Twilio, resource_of


async def show(request: Request) -> Response:
    """`GET /2010-04-01/Accounts/{account}/Messages/{sid}.json`."""
    twilio, sandbox = Twilio(), sandbox_of(request)
    account, sid = request.path_params["account"], request.path_params["sid"]
    refused = twilio.unauthorised(VendorRequest({"sid": account}, request.headers, None))
    if refused is None:
        message = sandbox.inbox.known_as(sid)
        if message is not None and message.channel == "whatsapp":
            told = sandbox.teller.standing(message)
            document = resource_of(sid, account, twilio.read(message.request.body))
            document |= {
                "status": told["MessageStatus"],
                "error_code": int(told["ErrorCode"]) if "ErrorCode" in told else None,
                "error_message": told.get("ErrorMessage"),
                "date_sent": document["date_created"],
                "date_updated": format_datetime(datetime.now(UTC)),
            }
            return JSONResponse(document)
        refused = twilio.unknown(request.url.path)
    return Response(refused.body, refused.status, dict(refused.headers))
