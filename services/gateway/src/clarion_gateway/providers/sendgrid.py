"""SendGrid's Event Webhook:
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event

The SDK checks the signature; it raises four kinds of errors for what a stranger may send, and has
no notion of a request that is too old.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sendgrid.helpers.eventwebhook import EventWebhook

from clarion.errors import SettingsError
from clarion.notification import Reason
from clarion.provider import excerpt
from clarion.receipt import Fact, Receipt
from clarion.suppression import Kind
from clarion_gateway.providers.received import (
    NOT_OURS,
    UNKNOWN_TYPE,
    UNREADABLE,
    Received,
    forged,
    unsigned,
)

SIGNATURE = "x-twilio-email-event-webhook-signature"
TIMESTAMP = "x-twilio-email-event-webhook-timestamp"

PAST_SECONDS = 26 * 3600.0
"""SendGrid tries for 24 hours, and says nowhere that it signs each try anew."""
FUTURE_SECONDS = 15 * 60.0
"""How far its clock may be ahead of ours."""

FACTS: dict[str, Fact] = {
    "processed": Fact.PROCESSED,
    "deferred": Fact.DEFERRED,
    "delivered": Fact.DELIVERED,
    "bounce": Fact.BOUNCED,
    "dropped": Fact.UNDELIVERED,
    "open": Fact.OPENED,
    "click": Fact.CLICKED,
    "spamreport": Fact.COMPLAINED,
    "unsubscribe": Fact.UNSUBSCRIBED,
    "group_unsubscribe": Fact.UNSUBSCRIBED,
    "group_resubscribe": Fact.RESUBSCRIBED,
}

# a `dropped` event's reason, as far as it tells them apart
DROPPED: dict[str, tuple[Reason, Kind | None]] = {
    "invalid": (Reason.INVALID_RECIPIENT, Kind.FAULT),
    "bounced address": (Reason.INVALID_RECIPIENT, Kind.FAULT),
    "unsubscribed address": (Reason.UNSUBSCRIBED, Kind.WISH),
    "spam reporting address": (Reason.SPAM, Kind.WISH),
    "spam content": (Reason.PROVIDER_REJECTED, None),
    "invalid smtpapi header": (Reason.PROVIDER_REJECTED, None),
    "recipient list over package quota": (Reason.PROVIDER_AUTH, None),
}

# what the person did tells of the person
_WISHES: dict[Fact, Reason] = {
    Fact.COMPLAINED: Reason.SPAM,
    Fact.UNSUBSCRIBED: Reason.UNSUBSCRIBED,
}

_MOST_KEY = 120


class SendGridEvents:
    """Checks and reads what SendGrid posts; `now` is the time in seconds since 1970."""

    def __init__(self, public_key: str, now: Callable[[], float] = time.time) -> None:
        try:
            # the SDK takes an empty key, and fails at the first request
            self._webhook = EventWebhook(_without_armour(public_key) or "none")
        except Exception as error:
            raise SettingsError(
                "SENDGRID_WEBHOOK_PUBLIC_KEY: not a public key; copy the verification key of the"
                " Signed Event Webhook from SendGrid's mail settings"
            ) from error
        self._now = now

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Return if SendGrid signed this body lately. Raises `Problem`: 401 or 403."""
        signature, timestamp = headers.get(SIGNATURE), headers.get(TIMESTAMP)
        if not signature or not timestamp:
            raise unsigned("the signature's headers are missing: turn the Signed Webhook on")
        try:
            genuine = self._webhook.verify_signature(body.decode(), signature, timestamp)
            age = self._now() - int(timestamp)
        except Exception as error:  # binascii, Unicode, ASN.1: whatever a stranger sends
            raise unsigned("the signature cannot be read") from error
        if not genuine:
            raise forged("the signature is not SendGrid's, or the body was changed on its way")
        if not -FUTURE_SECONDS <= age <= PAST_SECONDS:
            raise forged("the signature is too old, or of a time to come")


def read(body: bytes) -> Received:
    """Return the receipts in a request's body. Raises `ValueError` when it is no JSON array."""
    received = Received()
    try:
        entries = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(entries, list):
        raise ValueError("expected an array of events")
    for entry in entries:
        _read(entry, received)
    return received


def _read(entry: Any, received: Received) -> None:
    if not isinstance(entry, dict):
        return received.ignore(UNREADABLE)
    fact = FACTS.get(str(entry.get("event")))
    if fact is None:
        return received.ignore(UNKNOWN_TYPE)
    notification_id, attempt = entry.get("nid"), _number(entry.get("att"))
    if not isinstance(notification_id, str) or attempt is None:
        return received.ignore(NOT_OURS)
    moment = _moment(entry.get("timestamp"))
    if moment is None:
        return received.ignore(UNREADABLE)
    received.receipts.append(_receipt(entry, fact, notification_id, attempt, moment))
    return None


def _receipt(
    entry: dict[str, Any], fact: Fact, notification_id: str, attempt: int, moment: datetime
) -> Receipt:
    reason, suppresses = _meaning(entry, fact)
    if fact is Fact.BOUNCED and entry.get("type") == "blocked":
        # refused for what it was or whom it came from; the address is as good as before
        fact = Fact.UNDELIVERED
    message_id = entry.get("sg_message_id")
    return Receipt(
        key=_key(entry),
        provider="sendgrid",
        notification_id=excerpt(notification_id),
        attempt=attempt,
        fact=fact,
        at=moment,
        # beyond the first dot is the server that handled it; `X-Message-Id` has the rest alone
        provider_message_id=excerpt(message_id.partition(".")[0])
        if isinstance(message_id, str)
        else None,
        reason=reason,
        code=_text(entry.get("status")),
        text=_text(entry.get("reason")) or _text(entry.get("response")) or _text(entry.get("url")),
        suppresses=suppresses,
    )


def _meaning(entry: dict[str, Any], fact: Fact) -> tuple[Reason | None, Kind | None]:
    if fact in _WISHES:
        return _WISHES[fact], Kind.WISH
    if fact is Fact.BOUNCED:
        if entry.get("type") == "blocked":
            return Reason.PROVIDER_REJECTED, None
        return Reason.INVALID_RECIPIENT, Kind.FAULT
    if fact is Fact.UNDELIVERED:
        said = str(entry.get("reason", "")).strip().lower()
        return DROPPED.get(said, (Reason.PROVIDER_REJECTED, None))
    return None, None


def _without_armour(public_key: str) -> str:
    """Return the key as the dashboard shows it, without the lines that a PEM file has around it."""
    lines = (line.strip() for line in public_key.splitlines())
    return "".join(line for line in lines if not line.startswith("-----"))


def _key(entry: dict[str, Any]) -> str:
    """Return `sg_event_id`, or a digest of the whole where it is missing or beyond an index."""
    told = entry.get("sg_event_id")
    if isinstance(told, str) and told.isascii() and told.isprintable() and len(told) <= _MOST_KEY:
        return f"sendgrid/{told}"
    whole = json.dumps(entry, sort_keys=True).encode()
    return f"sendgrid/{hashlib.sha256(whole).hexdigest()}"


def _number(value: Any) -> int | None:
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else None


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _text(value: Any) -> str | None:
    return excerpt(value) or None if isinstance(value, str) else None
