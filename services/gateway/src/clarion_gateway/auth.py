"""API keys: who sent a request. Only their SHA-256 is configured, so that settings hold no key."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Mapping

from clarion.errors import SettingsError
from clarion_gateway.problems import Problem

ANONYMOUS = "anonymous"
"""The producer of every request where no keys are asked for."""

_ENTRY = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):([0-9a-fA-F]{64})")
_HOW = "make one with `python -m clarion_gateway keys new NAME`"


class ApiKeys:
    """The keys that may use the API; none at all lets everyone in as `anonymous`."""

    def __init__(self, digests: Mapping[str, str]) -> None:
        self._digests = [(name, digest.lower()) for name, digest in digests.items()]

    @property
    def required(self) -> bool:
        """Whether a request needs a key."""
        return bool(self._digests)

    def producer(self, authorization: str | None) -> str:
        """Return the name of the key in an `Authorization` header. Raises `Problem` 401."""
        if not self._digests:
            return ANONYMOUS
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise _unauthorized("send your API key as Authorization: Bearer <key>", "")
        digest = hashlib.sha256(key.strip().encode("latin-1", "replace")).hexdigest()
        found = None
        # every entry is compared, each in constant time: how long it takes tells nothing
        for name, known in self._digests:
            if hmac.compare_digest(digest, known):
                found = name
        if found is None:
            raise _unauthorized("this API key is not known", ', error="invalid_token"')
        return found


def parse_keys(text: str) -> ApiKeys:
    """Return the keys of `API_KEYS`: `name:sha256` entries, with commas or white space between.

    Raises `SettingsError` without repeating the entry, which may hold a key by mistake.
    """
    digests: dict[str, str] = {}
    for number, entry in enumerate(re.split(r"[,\s]+", text.strip(", \t\r\n")), start=1):
        if not entry:
            continue
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise SettingsError(
                f"API_KEYS: entry {number} is not name:sha256 in hexadecimal; {_HOW}"
            )
        if match[1] in digests:
            raise SettingsError(f"API_KEYS: the name {match[1]!r} is there twice")
        digests[match[1]] = match[2]
    return ApiKeys(digests)


def require_keys(keys: ApiKeys, *, host: str, auth: str) -> ApiKeys:
    """Return the keys to ask for, given where the gateway listens.

    Keys that are set are asked for, whatever `auth` says. Raises `SettingsError` when there are
    none, anyone on the network could send, and nobody said that this is meant (`off`).
    """
    if not keys.required and auth != "off" and not _is_loopback(host):
        raise SettingsError(
            f"API_KEYS: set at least one key to listen on {host}; {_HOW}, or set AUTH=off"
        )
    return keys


def new_key(name: str) -> tuple[str, str]:
    """Return a new key and its entry for `API_KEYS`. Raises `SettingsError` for a bad name."""
    key = f"clarion_{secrets.token_urlsafe(32)}"
    entry = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"
    if _ENTRY.fullmatch(entry) is None:
        raise SettingsError("a key's name is 1 to 64 letters, digits, dots, dashes or underscores")
    return key, entry


def _unauthorized(detail: str, error: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": f'Bearer realm="clarion"{error}'})


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
