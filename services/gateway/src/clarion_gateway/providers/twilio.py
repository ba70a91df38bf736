"""Twilio's status callbacks and inbound messages:
https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks
and how they are signed: https://www.twilio.com/docs/usage/webhooks/webhooks-security

The SDK checks the signature; it raises for a header that is missing. The URL that Twilio signed is
put together from PUBLIC_URL: behind a proxy the request tells another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qs, parse_qsl

from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import (
    SIGNATURE_HEADER,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
    get_signature_algorithm,
)

from clarion.inbound import Inbound, Wish, other_forms, wish_in
from clarion.notification import Channel
from clarion.provider import excerpt
from clarion.vendors.twilio_receipts import FACTS, receipt_of
from clarion_gateway.providers.received import (
    NOT_OURS,
    UNKNOWN_TYPE,
    UNREADABLE,
    Received,
    forged,
    unsigned,
)

_MOST_FIELDS = 200
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_OPT_OUT_TYPES = {"STOP": Wish.STOP, "START": Wish.START}


class TwilioCallbacks:
    """Checks and reads what Twilio posts to `public_url`."""

    def __init__(self, auth_token: str, public_url: str) -> None:
        self._validator = RequestValidator(auth_token)
        self._public_url = public_url.rstrip("/")

    def verify(self, path: str, query: str, headers: Mapping[str, str], body: bytes) -> None:
        """Return if Twilio signed this form for this path. Raises `Problem`: 401 or 403."""
        signature = headers.get(SIGNATURE_HEADER.lower())
        if not signature:
            raise unsigned(f"the header {SIGNATURE_HEADER} is missing")
        url = f"{self._public_url}{path}{'?' if query else ''}{query}"
        algorithm = get_signature_algorithm(headers.get(SIGNATURE_SETTINGS_HEADER.lower(), ""))
        try:
            genuine = self._validator.validate(url, _form(body), signature, algorithm)
        except Exception as error:  # whatever a stranger's bytes make of the SDK
            raise unsigned("the signature or the form cannot be read") from error
        if not genuine:
            raise forged(
                "the signature is not Twilio's for this form at this URL: compare PUBLIC_URL with"
                " the URL that Twilio was given"
            )


def read(query: str, body: bytes, now: datetime) -> Received:
    """Return the receipt of a callback, told `now`: Twilio names no moment."""
    received = Received()
    form = dict(_form(body))
    asked = parse_qs(query)
    notification_id, attempt = asked.get("nid", [""])[0], asked.get("att", [""])[0]
    sid, status = form.get("MessageSid", ""), form.get("MessageStatus", "")
    if not sid or not status:
        received.ignore(UNREADABLE)
    elif status not in FACTS:
        received.ignore(UNKNOWN_TYPE)
    elif not notification_id or not (attempt.isascii() and attempt.isdigit() and len(attempt) <= 6):
        received.ignore(NOT_OURS)
    else:
        received.receipts.append(
            receipt_of(
                notification_id,
                int(attempt),
                sid,
                status,
                form.get("ErrorCode") or None,
                form.get("ErrorMessage") or form.get("ChannelStatusMessage") or None,
                now,
            )
        )
    return received


def read_inbound(body: bytes) -> Inbound | None:
    """Return what a form says that a person wrote by WhatsApp; None for anything else.

    https://www.twilio.com/docs/messaging/guides/webhook-request: it tells no moment. `OptOutType`
    is there where Twilio knew the word itself (Advanced Opt-Out), and then it decides.
    """
    form = dict(_form(body))
    sid, (scheme, _, number) = form.get("MessageSid", ""), form.get("From", "").partition(":")
    if not sid or scheme != "whatsapp" or not _E164.fullmatch(number):
        return None
    told = form.get("OptOutType")
    return Inbound(
        key=f"twilio/{excerpt(sid)[:64]}",
        channel=Channel.WHATSAPP,
        address=number,
        source="twilio inbound",
        also=other_forms(number),
        wish=_OPT_OUT_TYPES.get(told) if told else wish_in(form.get("Body", "")),
    )


def _form(body: bytes) -> ImmutableMultiDict[str, str]:
    # what is blank is signed too
    fields = parse_qsl(
        body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
    )
    return ImmutableMultiDict(fields)
