"""Google's token endpoint, and a service account that needs no key in any repository.

The tokens carry their own expiry and a checksum, so that they outlive a restart of the sandbox.
They guard nothing: the point is that a sender which skips the token flow is refused.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from enum import Enum
from functools import cache
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME = 3600
CLOCK_SKEW = 300
PROJECT = "clarion-sandbox"
CLIENT = f"push@{PROJECT}.iam.gserviceaccount.com"
_CHECKSUM_KEY = b"clarion sandbox: not a secret"
_MAX_ASSERTION_BYTES = 16 * 1024
_making_key = threading.Lock()


class TokenState(Enum):
    """What the FCM endpoint makes of a token."""

    VALID = "valid"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class InvalidGrant(Exception):
    """Raised when an assertion is not one that Google would take; its text says why."""


def new_token(now: float) -> str:
    """Return an access token that is valid for one hour."""
    text = f"{int(now) + LIFETIME}.{secrets.token_hex(8)}"
    return f"ya29.sandbox.{text}.{_checksum(text)}"


def token_state(token: str) -> TokenState:
    """Return whether a token is ours and still valid."""
    parts = token.split(".")
    if len(parts) != 5 or parts[:2] != ["ya29", "sandbox"]:
        return TokenState.UNKNOWN
    text = f"{parts[2]}.{parts[3]}"
    if not hmac.compare_digest(_checksum(text).encode(), parts[4].encode()):
        return TokenState.UNKNOWN
    return TokenState.VALID if float(parts[2]) > time.time() else TokenState.EXPIRED


def service_account(base_url: str) -> dict[str, str]:
    """Return a service account file whose `token_uri` is the sandbox at `base_url`.

    Its RSA key is made once per process, which takes up to a second: call it off the loop.
    """
    base_url = base_url.rstrip("/")
    pem = _key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": _key_id(),
        "private_key": pem.decode(),
        "client_email": CLIENT,
        "client_id": "100000000000000000000",
        "auth_uri": f"{base_url}/auth",
        "token_uri": f"{base_url}/token",
        "auth_provider_x509_cert_url": f"{base_url}/certs",
        "client_x509_cert_url": f"{base_url}/certs",
        "universe_domain": "googleapis.com",
    }


async def serve_service_account(request: Request) -> Response:
    """`GET /service-account.json`."""
    account = await asyncio.to_thread(service_account, str(request.base_url))
    return JSONResponse(account, headers={"Cache-Control": "no-store"})


async def serve_token(request: Request) -> Response:
    """`POST /token`: change a signed assertion for an access token (RFC 7523)."""
    body = await request.body()
    try:
        form = parse_qs(body.decode("ascii"))
    except ValueError:
        return _refused("invalid_request", "The body is not a form.")
    if form.get("grant_type") != [GRANT]:
        return _refused("unsupported_grant_type", f"Invalid grant_type: it must be {GRANT}")
    try:
        check_assertion(form.get("assertion", [""])[0], time.time())
    except InvalidGrant as error:
        return _refused("invalid_grant", str(error))
    token = {"access_token": new_token(time.time()), "expires_in": LIFETIME, "token_type": "Bearer"}
    return JSONResponse(token, headers={"Cache-Control": "no-store"})


def check_assertion(assertion: str, now: float) -> None:
    """Check a JWT's structure and times, and its signature where we handed out the key.

    Raises `InvalidGrant`. An assertion under another key is taken on its structure alone: the
    sandbox has no way to know that key.
    """
    if len(assertion) > _MAX_ASSERTION_BYTES or assertion.count(".") != 2:
        raise InvalidGrant("The assertion must be a signed JWT of three parts.")
    head, payload, signature = assertion.split(".")
    header, claims = _decode(head), _decode(payload)
    if header.get("alg") != "RS256":
        raise InvalidGrant("The JWT must be signed with RS256.")
    missing = [name for name in ("iss", "aud", "iat", "exp") if not claims.get(name)]
    if missing:
        raise InvalidGrant(f"Invalid JWT: it lacks {', '.join(missing)}.")
    if not isinstance(claims["exp"], int) or not isinstance(claims["iat"], int):
        raise InvalidGrant("Invalid JWT: iat and exp must be whole seconds.")
    if claims["exp"] < now - CLOCK_SKEW or claims["iat"] > now + CLOCK_SKEW:
        raise InvalidGrant(
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
            "timeframe. Check your iat and exp values in the JWT claim."
        )
    if header.get("kid") == _key_id_if_made():
        _verify(f"{head}.{payload}".encode(), _base64(signature))


def _verify(signed: bytes, signature: bytes) -> None:
    try:
        _key().public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise InvalidGrant("Invalid JWT Signature.") from None


def _decode(part: str) -> dict[str, Any]:
    try:
        document = json.loads(_base64(part))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidGrant("Invalid JWT: a part is not a JSON object in base64url.")
    return document


def _base64(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise InvalidGrant("Invalid JWT: a part is not base64url.") from None


def _checksum(text: str) -> str:
    return hmac.new(_CHECKSUM_KEY, text.encode(), hashlib.sha256).hexdigest()[:16]


def _refused(error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status_code=400)


def _key() -> rsa.RSAPrivateKey:
    with _making_key:  # two threads must not make two keys
        return _make_key()


@cache
def _make_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _key_id() -> str:
    public = (
        _key()
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return hashlib.sha256(public).hexdigest()[:40]


def _key_id_if_made() -> str | None:
    return _key_id() if _make_key.cache_info().currsize else None
