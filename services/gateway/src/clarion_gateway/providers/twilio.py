"""Twilio's status callbacks: https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks
and how they are signed: https://www.twilio.com/docs/usage/webhooks/webhooks-security

The SDK checks the signature; it raises for a header that is missing. The URL that Twilio signed is
put together from PUBLIC_URL: behind a proxy the request tells another one.
"""

from __future__ import annotations

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

from clarion.notification import Reason
from clarion.provider import excerpt, report_unknown
from clarion.receipt import Fact, Receipt
from clarion.suppression import KINDS, Kind
from clarion.vendors.twilio_errors import MEANINGS
from clarion_gateway.providers.received import (
    NOT_OURS,
    UNKNOWN_TYPE,
    UNREADABLE,
    Received,
    forged,
    unsigned,
)

# MessageStatus of the Message resource; any of them proves that Twilio took the message
FACTS: dict[str, Fact] = {
    **dict.fromkeys(("accepted", "scheduled", "queued", "sending", "sent"), Fact.PROCESSED),
    "delivered": Fact.DELIVERED,
    "read": Fact.READ,
    **dict.fromkeys(("undelivered", "failed", "canceled"), Fact.UNDELIVERED),
}

BY_CODE = {str(code): meaning for code, meaning in MEANINGS.items()}

_MOST_FIELDS = 200


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


def receipt_of(
    notification_id: str,
    attempt: int,
    sid: str,
    status: str,
    error_code: str | None,
    error_message: str | None,
    now: datetime,
) -> Receipt:
    """Return what a status of FACTS says of an attempt, whether Twilio told it or was asked."""
    fact = FACTS[status]
    reason, suppresses = _meaning(fact, error_code)
    return Receipt(
        key=f"twilio/{excerpt(sid)[:64]}/{status}",
        provider="twilio",
        notification_id=excerpt(notification_id),
        attempt=attempt,
        fact=fact,
        at=now,
        provider_message_id=excerpt(sid)[:64],
        reason=reason,
        code=excerpt(error_code)[:64] if error_code else None,
        text=excerpt(error_message) if error_message else status,
        suppresses=suppresses,
    )


def _meaning(fact: Fact, error_code: str | None) -> tuple[Reason | None, Kind | None]:
    """Return why a message did not arrive, by the table of what Twilio answers at once."""
    if fact is not Fact.UNDELIVERED:
        return None, None
    meaning = BY_CODE.get(error_code or "")
    if meaning is None:
        if error_code:
            report_unknown("twilio", excerpt(error_code)[:64])
        return Reason.PROVIDER_REJECTED, None
    reason = Reason(meaning.to_error("", "").reason)
    return reason, KINDS.get(reason)


def _form(body: bytes) -> ImmutableMultiDict[str, str]:
    # what is blank is signed too
    fields = parse_qsl(
        body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
    )
    return ImmutableMultiDict(fields)
