"""SendGrid's Signed Event Webhook, as SendGrid posts it:
www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from clarion_sandbox.inbox import Message

EVENTS: dict[str, dict[str, Any]] = {
    "process": {"event": "processed"},
    "defer": {"event": "deferred", "response": "451 4.7.1 try again later", "attempt": "1"},
    "deliver": {"event": "delivered", "response": "250 2.0.0 OK"},
    "bounce": {
        "event": "bounce",
        "type": "bounce",
        "bounce_classification": "Invalid Address",
        "status": "5.1.1",
        "reason": "550 5.1.1 The email account that you tried to reach does not exist",
    },
    "block": {
        "event": "bounce",
        "type": "blocked",
        "bounce_classification": "Reputation",
        "status": "5.7.1",
        "reason": "550 5.7.1 blocked for its reputation",
    },
    "read": {"event": "open", "sg_machine_open": False, "useragent": "Sandbox/1.0"},
    "click": {"event": "click", "url": "https://example.com/", "useragent": "Sandbox/1.0"},
    "report_spam": {"event": "spamreport"},
    "unsubscribe": {"event": "unsubscribe"},
}


def event_of(message: Message, act: str, at: float) -> dict[str, Any]:
    """Return the event for what became of a mail; our ids lie among its fields."""
    own = {"nid": message.recipient.notification_id, "att": message.recipient.attempt}
    return {
        "email": message.recipient.to,
        "timestamp": int(at),
        "smtp-id": f"<{message.provider_message_id}@sandbox.test>",
        "category": message.content.get("categories", []),
        "sg_event_id": secrets.token_urlsafe(24),
        "sg_message_id": f"{message.provider_message_id}.recvd-sandbox-1.0",
        **{name: str(value) for name, value in own.items() if value is not None},
        **EVENTS[act],
    }


class Signer:
    """Signs with the key that follows from a secret; whoever knows it knows the public key."""

    def __init__(self, secret: str) -> None:
        curve = ec.SECP256R1()
        digest = int.from_bytes(hashlib.sha256(secret.encode()).digest())
        self._key = ec.derive_private_key(digest % (curve.group_order - 1) + 1, curve)

    def request(self, events: list[dict[str, Any]]) -> tuple[bytes, dict[str, str]]:
        """Return the body and the headers of one request with these events."""
        # SendGrid ends it with a line break, and signs that too
        body = json.dumps(events, separators=(",", ":")).encode() + b"\r\n"
        timestamp = str(int(time.time()))
        signature = self._key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return body, {
            "Content-Type": "application/json",
            "User-Agent": "SendGrid Event API",
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }
