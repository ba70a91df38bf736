"""Twilio's Messages API, 2010-04-01, as a sender of WhatsApp messages."""

from __future__ import annotations

import base64
import json
from urllib.parse import urlencode

from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.base.version import Version
from twilio.http.response import Response

from clarion.errors import SendError
from clarion.notification import seconds_left
from clarion.provider import (
    Attempt,
    HttpTransport,
    Meaning,
    Reply,
    SentMessage,
    excerpt,
    of_status,
    report_unknown,
)
from clarion.vendors.twilio_errors import MEANINGS, OUTSIDE_WINDOW, OUTSIDE_WINDOW_CODE
from clarion_whatsapp.content import Content, Form, WhatsAppMessage
from clarion_whatsapp.window import Window

MAX_VALIDITY = 36_000
"""The seconds for which Twilio tries to pass a message on at most, and by default."""


_NO_CONTENT = (
    "free text, and no message came from this number in the last 24 hours; add a"
    " whatsapp.content.json with the content_sid of an approved template to this one"
)


class Twilio:
    """Hands WhatsApp messages to Twilio.

    The form is encoded here and the SDK reads the errors: its `create_async` over our session
    takes 100 us more, a quarter of a worker's whole time for a message. Its own HTTP clients are
    not used, see `HttpTransport`.
    """

    name = "twilio"

    def __init__(
        self,
        transport: HttpTransport,
        account_sid: str,
        auth_token: str,
        *,
        sender: str,
        messaging_service_sid: str | None = None,
        prefer: Form = Form.CONTENT,
        public_url: str | None = None,
        base_url: str = "https://api.twilio.com",
        window: Window | None = None,
    ) -> None:
        self._transport = transport
        self._auth_token = auth_token
        self._url = f"{messages_url(base_url, account_sid)}.json"
        self._headers = {
            **headers(account_sid, auth_token),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        # a messaging service chooses among its own senders
        self._sender = (
            {"MessagingServiceSid": messaging_service_sid}
            if messaging_service_sid
            else {"From": sender}
        )
        self._prefer = prefer
        self._window = window
        self._callback = f"{public_url.rstrip('/')}/webhooks/twilio" if public_url else None

    async def send(self, message: WhatsAppMessage, attempt: Attempt) -> SentMessage:
        """Return once Twilio has answered 201; the id is the message's SID.

        Free text whose window is closed goes as the template's content, if it has one: whether we
        know that it is closed, or Twilio says so now (it says so mostly later, by a callback).
        """
        chosen = await self._choose(message)
        try:
            return await self._post(message, chosen, attempt)
        except SendError as error:
            if error.code != str(OUTSIDE_WINDOW_CODE) or message.content is None:
                raise
            if isinstance(chosen, Content):
                raise
        return await self._post(message, message.choose(Form.CONTENT), attempt)

    async def _choose(self, message: WhatsAppMessage) -> str | Content:
        chosen = message.choose(self._prefer)
        if isinstance(chosen, Content) or self._window is None or await self._window(message.to):
            return chosen
        if message.content is None:
            raise OUTSIDE_WINDOW.to_error(_NO_CONTENT, "window")
        return message.choose(Form.CONTENT)

    async def _post(
        self, message: WhatsAppMessage, chosen: str | Content, attempt: Attempt
    ) -> SentMessage:
        body = urlencode(self._form(message, chosen, attempt)).encode()
        reply = await self._transport.post(self._url, body, self._headers)
        if reply.accepted:
            sid = reply.json().get("sid")
            return SentMessage(sid if isinstance(sid, str) and sid else None)
        raise error_of(reply, hide=self._auth_token)

    def _form(
        self, message: WhatsAppMessage, chosen: str | Content, attempt: Attempt
    ) -> dict[str, str]:
        form = {"To": f"whatsapp:{message.to}", **self._sender}
        if isinstance(chosen, Content):
            form["ContentSid"] = chosen.sid
            if chosen.variables:
                form["ContentVariables"] = json.dumps(dict(chosen.variables))
        else:
            form["Body"] = chosen
        if message.expires_at is not None:
            form["ValidityPeriod"] = str(min(seconds_left(message.expires_at), MAX_VALIDITY))
        if self._callback:
            # Twilio signs the whole URL, query and all, so that nobody can change these
            query = urlencode({"nid": attempt.notification_id, "att": attempt.number})
            form["StatusCallback"] = f"{self._callback}?{query}"
        return form


def messages_url(base_url: str, account_sid: str) -> str:
    """Return where an account's messages are."""
    return f"{base_url.rstrip('/')}/2010-04-01/Accounts/{account_sid}/Messages"


def headers(account_sid: str, auth_token: str) -> dict[str, str]:
    """Return the headers of every request."""
    credentials = base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode()
    return {"Authorization": f"Basic {credentials}", "Accept": "application/json"}


def error_of(reply: Reply, *, hide: str) -> SendError:
    """Return what an answer that is not 2xx means; `hide` is the credential."""
    answer = Response(reply.status, reply.body.decode(errors="replace"), reply.headers)
    parsed = Version.exception("POST", "/Messages.json", answer, "")
    code = _code(parsed)
    return _meaning(code, reply.status).to_error(
        excerpt(_words(parsed), hide=hide) or reply.text(hide=hide),
        str(code or reply.status),
        reply.retry_after(),
    )


def _code(parsed: TwilioRestException | TwilioServiceException) -> int | None:
    """Return Twilio's own code; the SDK puts the HTTP status where there is none."""
    try:
        code = int(str(parsed.code))
    except ValueError:
        return None
    return code if code >= 10_000 else None


def _words(parsed: TwilioRestException | TwilioServiceException) -> str:
    if isinstance(parsed, TwilioServiceException):
        return f"{parsed.title}: {parsed.detail}" if parsed.detail else str(parsed.title)
    return str(parsed.msg).removeprefix(": ")


def _meaning(code: int | None, status: int) -> Meaning:
    if code is None:
        return of_status(status)
    meaning = MEANINGS.get(code)
    if meaning is None:
        report_unknown("twilio", str(code))
        return of_status(status)
    return meaning
