"""Links by which a reader unsubscribes with one click (RFC 8058): signed, and good for ever."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from clarion.notification import Channel

_SIGNATURE = 16  # bytes: nobody guesses 128 bits, and the link stays short


class UnsubscribeLinks:
    """Makes the links that the gateway at `public_url` takes, and reads their tokens.

    A token holds the address: what is known of a notification may long be forgotten when its
    reader clicks.
    """

    def __init__(self, secret: str, public_url: str = "") -> None:
        self._secret = secret.encode()
        self._base = f"{public_url.rstrip('/')}/unsubscribe/"

    def url(self, channel: Channel, address: str) -> str:
        """Return the link for one recipient."""
        content = f"{channel}:{address}".encode()
        token = base64.urlsafe_b64encode(self._sign(content) + content).decode().rstrip("=")
        return self._base + token

    def read(self, token: str) -> tuple[Channel, str] | None:
        """Return the recipient that a token is for; None when it is not one of ours."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            signature, content = raw[:_SIGNATURE], raw[_SIGNATURE:]
            if not hmac.compare_digest(signature, self._sign(content)):
                return None
            channel, _, address = content.decode().partition(":")
            return Channel(channel), address
        except (binascii.Error, ValueError):
            return None

    def _sign(self, content: bytes) -> bytes:
        digest = hmac.new(self._secret, b"unsubscribe:" + content, hashlib.sha256).digest()
        return digest[:_SIGNATURE]
