"""Asking Twilio what became of a message:
https://www.twilio.com/docs/messaging/api/message-resource#fetch-a-message-resource
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from clarion.errors import Transient
from clarion.provider import HttpTransport, excerpt, report_unknown
from clarion.receipt import Receipt
from clarion.store.dialogue import Silent
from clarion.vendors.twilio_receipts import FACTS, receipt_of
from clarion_whatsapp.providers.twilio import error_of, headers, messages_url


class Unknown(Exception):
    """Twilio has no such message, and will not have it later."""


class TwilioInquiries:
    """Asks about messages with the credentials that they were sent with."""

    name = "twilio"

    def __init__(
        self,
        transport: HttpTransport,
        account_sid: str,
        auth_token: str,
        *,
        base_url: str = "https://api.twilio.com",
    ) -> None:
        self._transport = transport
        self._auth_token = auth_token
        self._url = messages_url(base_url, account_sid)
        self._headers = headers(account_sid, auth_token)

    async def ask(self, silent: Silent) -> Receipt | None:
        """Return what a callback would have told; None for a status that is in no table.

        Raises `Unknown`, or the `SendError` that says why there is no answer.
        """
        sid = silent.provider_message_id
        reply = await self._transport.get(f"{self._url}/{quote(sid, safe='')}.json", self._headers)
        if reply.status == 404:
            raise Unknown(sid)
        if not reply.accepted:
            raise error_of(reply, hide=self._auth_token)
        told = reply.json()
        status = told.get("status")
        if not isinstance(status, str):
            raise Transient("the answer is not a message resource", code=str(reply.status))
        if status not in FACTS:
            report_unknown("twilio", excerpt(status)[:64])
            return None
        return receipt_of(
            silent.notification_id,
            silent.attempt,
            sid,
            status,
            _text(told.get("error_code")),
            _text(told.get("error_message")),
            _moment(told.get("date_updated")),
        )


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and value else None


def _moment(value: Any) -> datetime:
    """Return an RFC 2822 date, or else now."""
    try:
        return parsedate_to_datetime(value).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return datetime.now(UTC)
