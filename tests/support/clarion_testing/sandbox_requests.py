"""Requests as the three vendors want them, and what the sandbox answers to them."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from clarion_sandbox.oauth import new_token
from clarion_testing.sandbox import RunningSandbox

ACCOUNT = "AC" + "a" * 32
CONTENT = "HX" + "1" * 32
BEARER = {"Authorization": "Bearer SG.key"}
BASIC = {"Authorization": "Basic " + base64.b64encode(f"{ACCOUNT}:token".encode()).decode()}


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    document: Any


def mail(to: str = "ann@example.com", nid: str = "n1", att: int = 1, **more: Any) -> dict[str, Any]:
    """Return a mail that SendGrid takes; a None in `more` leaves the field out."""
    document = {
        "personalizations": [
            {"to": [{"email": to}], "custom_args": {"nid": nid, "att": str(att)}},
        ],
        "from": {"email": "hello@example.com", "name": "Example"},
        "subject": "Welcome",
        "content": [
            {"type": "text/plain", "value": "Hello Ann"},
            {"type": "text/html", "value": "<p>Hello <b>Ann</b></p>"},
        ],
        **more,
    }
    return {key: value for key, value in document.items() if value is not None}


def whatsapp(
    to: str = "+14155550123", nid: str = "n1", att: int = 1, **more: str | None
) -> dict[str, str]:
    """Return a form that Twilio takes; a None in `more` leaves the field out."""
    form = {
        "To": f"whatsapp:{to}",
        "From": "whatsapp:+14155550199",
        "Body": "Hello Ann",
        "StatusCallback": f"https://example.com/webhooks/twilio?nid={nid}&att={att}",
        **more,
    }
    return {key: value for key, value in form.items() if value is not None}


def push(to: str = "a-device", nid: str = "n1", att: int = 1, **more: Any) -> dict[str, Any]:
    """Return a message that FCM takes; a None in `more` leaves the field out."""
    message = {
        "token": to,
        "notification": {"title": "Welcome", "body": "Hello Ann"},
        "data": {"nid": nid, "att": str(att)},
        **more,
    }
    return {"message": {key: value for key, value in message.items() if value is not None}}


class Sender:
    """Sends to a sandbox as the workers do, with credentials that it takes."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self._sandbox = sandbox

    async def mail(self, document: object, **options: Any) -> Answered:
        """Send a mail to SendGrid."""
        options = {"headers": BEARER, "json": document, **options}
        return await self.post("/v3/mail/send", **options)

    async def whatsapp(self, form: Any, **options: Any) -> Answered:
        """Send a form to Twilio."""
        options = {"headers": BASIC, "data": form, **options}
        return await self.post(f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", **options)

    async def push(self, document: object, **options: Any) -> Answered:
        """Send a message to FCM."""
        token = {"Authorization": f"Bearer {new_token(time.time())}"}
        options = {"headers": token, "json": document, **options}
        return await self.post("/v1/projects/p/messages:send", **options)

    async def over(self, channel: str, document: Any) -> Answered:
        """Send a request to the vendor of a channel."""
        if channel == "email":
            return await self.mail(document)
        return await (self.whatsapp if channel == "whatsapp" else self.push)(document)

    async def to(self, channel: str, recipient: str, nid: str = "n1", **options: Any) -> Answered:
        """Send a message that is right to a recipient on a channel."""
        if channel == "email":
            return await self.mail(mail(recipient, nid), **options)
        if channel == "whatsapp":
            return await self.whatsapp(whatsapp(recipient, nid), **options)
        return await self.push(push(recipient, nid), **options)

    async def post(self, path: str, patience: float | None = None, **options: Any) -> Answered:
        """Return the answer to one POST, within `patience` seconds; raises what aiohttp raises."""
        # a new connection each: a pool would hide which call the sandbox closed
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=patience)) as session,
            session.post(self._sandbox.url + path, **options) as response,
        ):
            body = await response.read()
            is_json = response.content_type.endswith("json") and body
            document = await response.json(content_type=None) if is_json else body
            return Answered(response.status, response.headers, document)
