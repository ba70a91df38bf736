"""Signs webhooks as the vendors do, with keys that are made for a test."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"


class SendGridKey:
    """The key pair of one Signed Event Webhook."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())

    @property
    def public(self) -> str:
        """The verification key as SendGrid's dashboard shows it."""
        der = self._private.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(der).decode()

    def headers(self, body: bytes, at: float | None = None) -> dict[str, str]:
        """Return the headers of a request with this body, signed `at` or now."""
        timestamp = str(int(time.time() if at is None else at))
        signature = self._private.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "Content-Type": "application/json",
            SIGNATURE: base64.b64encode(signature).decode(),
            TIMESTAMP: timestamp,
        }


def twilio_headers(
    token: str, url: str, form: Sequence[tuple[str, str]], algorithm: str = "sha1"
) -> dict[str, str]:
    """Return the headers of a callback to this URL: the values after the sorted names."""
    signed = url + "".join(name + value for name, value in sorted(form))
    digest = hmac.new(token.encode(), signed.encode(), algorithm).digest()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": base64.b64encode(digest).decode(),
    }
    if algorithm != "sha1":
        settings = f"key=webhooks_sharedkey_1,algorithm=HMAC_{algorithm.upper()}"
        headers["X-Twilio-Webhooks-Signature-Settings"] = settings
    return headers


def encoded(form: Sequence[tuple[str, str]]) -> bytes:
    """Return the body of a form."""
    return urlencode(form).encode()


def sendgrid_event(notification_id: str, event: str, **fields: Any) -> dict[str, Any]:
    """Return an event about the first attempt, in the shape that SendGrid documents."""
    return {
        "email": "ann@example.com",
        "timestamp": int(time.time()),
        "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "event": event,
        "category": ["welcome", "priority-normal"],
        "sg_event_id": f"{event}-{notification_id}",
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
        "nid": notification_id,
        "att": "1",
        **fields,
    }


def dumped(events: Sequence[Mapping[str, Any] | Any]) -> bytes:
    """Return the body of an array of events."""
    return json.dumps(list(events)).encode()
