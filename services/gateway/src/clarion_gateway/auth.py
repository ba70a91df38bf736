"""API keys: who sent a request and what it may do. Only their SHA-256 is configured."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from clarion.errors import SettingsError
from clarion_gateway.problems import Problem

Scope = Literal["send", "read", "operate"]
"""What a key is for: to send events, to look at its own notifications, to run the system."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_SCOPES: frozenset[Scope] = frozenset({"send", "read"})

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""The pattern of a key's name."""

_ENTRY = re.compile(rf"({NAME}):([0-9a-fA-F]{{64}})(?::([a-z+]+))?")
_HOW = "make one with `python -m clarion_gateway keys new NAME`"


@dataclass(frozen=True, slots=True)
class Key:
    """A key that may use the API: its owner, the SHA-256 of its text, and what it is for."""

    name: str
    digest: str
    scopes: frozenset[Scope]

    @property
    def sees(self) -> str | None:
        """Whose notifications it may look at: its owner's, or everyone's (None) to operate."""
        return None if "operate" in self.scopes else self.name

    def require(self, scope: Scope) -> None:
        """Return if the key is for this. Raises `Problem` 403 naming the scope that it lacks."""
        if scope not in self.scopes:
            raise Problem(
                403,
                f"this needs a key with the scope {scope}; "
                f"the key of {self.name} has {describe(self.scopes)}",
                headers={"WWW-Authenticate": _challenge("insufficient_scope", scope)},
            )


ANONYMOUS = Key("anonymous", "", frozenset(SCOPES))
"""Who sent every request where no keys are asked for."""


class ApiKeys:
    """The keys that may use the API; none at all lets everyone in as `anonymous`."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys = tuple(keys)

    @property
    def required(self) -> bool:
        """Whether a request needs a key."""
        return bool(self._keys)

    @property
    def names(self) -> tuple[str, ...]:
        """The owners of the keys, in order."""
        return tuple(sorted({key.name for key in self._keys}))

    def replace(self, other: ApiKeys) -> None:
        """Let in the keys of `other` from now on, and no more those that it lacks."""
        self._keys = other._keys

    def identify(self, authorization: str | None) -> Key:
        """Return the key in an `Authorization` header. Raises `Problem` 401."""
        if not self._keys:
            return ANONYMOUS
        scheme, _, text = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise _unauthorized("send your API key as Authorization: Bearer <key>", None)
        digest = hashlib.sha256(text.strip().encode("latin-1", "replace")).hexdigest()
        found = None
        # every entry is compared, each in constant time: how long it takes tells nothing
        for key in self._keys:
            if hmac.compare_digest(digest, key.digest):
                found = key
        if found is None:
            raise _unauthorized("this API key is not known", "invalid_token")
        return found


def parse_keys(text: str) -> ApiKeys:
    """Return the keys of `API_KEYS`: `name:sha256[:scope+scope]`, with commas or spaces between.

    An entry without scopes is to send and read. One name may have several keys, so that a new one
    can be handed out before the old one goes. Raises `SettingsError` without repeating the entry,
    which may hold a key by mistake.
    """
    keys: dict[str, Key] = {}
    for number, entry in enumerate(re.split(r"[,\s]+", text.strip(", \t\r\n")), start=1):
        if not entry:
            continue
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise SettingsError(
                f"API_KEYS: entry {number} is not name:sha256 or name:sha256:scope+scope, "
                f"the SHA-256 in hexadecimal; {_HOW}"
            )
        digest = match[2].lower()
        if digest in keys:
            raise SettingsError(f"API_KEYS: entry {number} is a key that is there already")
        keys[digest] = Key(match[1], digest, _entry_scopes(match[3], number))
    return ApiKeys(keys.values())


def parse_scopes(text: str) -> frozenset[Scope]:
    """Return the scopes in `send+read`. Raises `SettingsError` naming one that does not exist."""
    found: set[Scope] = set()
    for word in text.split("+"):
        scope = next((known for known in SCOPES if known == word), None)
        if scope is None:
            raise SettingsError(f"{word!r} is not a scope; there are {', '.join(SCOPES)}")
        found.add(scope)
    return frozenset(found)


def describe(scopes: frozenset[Scope]) -> str:
    """Return the scopes as an entry has them: `send+read`."""
    return "+".join(scope for scope in SCOPES if scope in scopes)


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


def new_key(name: str, scopes: frozenset[Scope] = DEFAULT_SCOPES) -> tuple[str, str]:
    """Return a new key and its entry for `API_KEYS`. Raises `SettingsError` for a bad name."""
    key = f"clarion_{secrets.token_urlsafe(32)}"
    entry = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"
    if _ENTRY.fullmatch(entry) is None:
        raise SettingsError("a key's name is 1 to 64 letters, digits, dots, dashes or underscores")
    return key, entry if scopes == DEFAULT_SCOPES else f"{entry}:{describe(scopes)}"


def _entry_scopes(text: str | None, number: int) -> frozenset[Scope]:
    if text is None:
        return DEFAULT_SCOPES
    try:
        return parse_scopes(text)
    except SettingsError as error:
        raise SettingsError(f"API_KEYS: entry {number}: {error}") from error


def _unauthorized(detail: str, error: str | None) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": _challenge(error)})


def _challenge(error: str | None, scope: Scope | None = None) -> str:
    """Return how RFC 6750 tells a client what its token lacks."""
    challenge = 'Bearer realm="clarion"'
    if error is not None:
        challenge += f', error="{error}"'
    return challenge if scope is None else f'{challenge}, scope="{scope}"'


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
