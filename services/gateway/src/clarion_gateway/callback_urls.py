"""Where applications want to be called, and with which secrets that is signed."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from clarion.errors import SettingsError
from clarion_gateway.auth import NAME

_HOW = "write `name https://host/path whsec_...`, entries with semicolons or line breaks between"
_INSIDE = (".internal", ".local", ".localhost", ".svc", ".test")
SECRET_BYTES = (24, 64)
"""What the Standard Webhooks specification asks of a secret."""


@dataclass(frozen=True, slots=True)
class CallbackUrl:
    """Where the events of one API key's notifications go; signed with each of its secrets."""

    name: str
    url: str
    secrets: tuple[str, ...]

    def __repr__(self) -> str:
        """Name it, and keep its address and secrets to itself."""
        return f"CallbackUrl({self.name!r})"


class CallbackUrls:
    """The applications that are called, by the names of their API keys."""

    def __init__(self, urls: Iterable[CallbackUrl] = ()) -> None:
        self._urls = {each.name: each for each in urls}

    @property
    def names(self) -> tuple[str, ...]:
        """Who is called, in order."""
        return tuple(sorted(self._urls))

    def get(self, name: str) -> CallbackUrl | None:
        """Return where this application is called; None where it is not."""
        return self._urls.get(name)

    def __contains__(self, name: object) -> bool:
        """Return whether an application is called."""
        return name in self._urls

    def replace(self, other: CallbackUrls) -> None:
        """Call those of `other` from now on, and no more those that it lacks."""
        self._urls = other._urls


def parse_callbacks(text: str) -> CallbackUrls:
    """Return what `CALLBACKS` says: `name url secret [secret ...]`, `;` or line breaks between.

    Several secrets sign each call, so that an application can go over to a new one. Raises
    `SettingsError` naming the entry, without repeating it: it holds secrets.
    """
    urls: dict[str, CallbackUrl] = {}
    for number, entry in enumerate(re.split(r"[;\r\n]", text), start=1):
        words = entry.split()
        if not words:
            continue
        if len(words) < 3 or not re.fullmatch(NAME, words[0]):
            raise SettingsError(f"CALLBACKS: entry {number} is not complete; {_HOW}")
        name, url, *secrets = words
        if name in urls:
            raise SettingsError(f"CALLBACKS: entry {number}: {name} has an entry already")
        _check_url(url, f"CALLBACKS: entry {number} ({name})")
        for secret in secrets:
            _check_secret(secret, f"CALLBACKS: entry {number} ({name})")
        urls[name] = CallbackUrl(name, url, tuple(secrets))
    return CallbackUrls(urls.values())


def _check_url(url: str, where: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise SettingsError(f"{where}: the second word is not a URL; {_HOW}")
    if parts.scheme == "http" and not _is_inside(host):
        raise SettingsError(
            f"{where}: the URL must be https://; http:// is for this network alone: a private "
            "address, or a name without a dot or ending in .internal, .local or .svc"
        )


def _is_inside(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.rstrip(".").lower()
        return "." not in name or name.endswith((*_INSIDE, ".svc.cluster.local"))
    return address.is_private or address.is_loopback


def _check_secret(secret: str, where: str) -> None:
    shortest, longest = SECRET_BYTES
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith("whsec_") or not shortest <= len(key) <= longest:
        raise SettingsError(
            f"{where}: a secret is whsec_ and {shortest} to {longest} random bytes in base64; "
            'make one with `echo "whsec_$(openssl rand -base64 32)"`'
        )
