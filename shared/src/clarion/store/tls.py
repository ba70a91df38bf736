"""TLS to PostgreSQL, from the options of `DATABASE_URL` that libpq and all its tools share."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from clarion.errors import SettingsError

OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
SYSTEM = "system"
"""The `sslrootcert` that means the authorities which this machine trusts."""

_PLAIN = ("disable", "allow", "prefer", "require")
_VERIFIED = ("verify-ca", "verify-full")


def tls(options: Mapping[str, str]) -> str | ssl.SSLContext | None:
    """Return what asyncpg takes as `ssl` for these options of a URL.

    Raises `SettingsError` for a mode that is none, a file that cannot be read, and for a
    certificate that is to be verified against nobody or only perhaps.
    """
    mode = options.get("sslmode")
    if mode is not None and mode not in (*_PLAIN, *_VERIFIED):
        raise SettingsError(
            f"DATABASE_URL: sslmode must be one of {', '.join((*_PLAIN, *_VERIFIED))}"
        )
    files = [name for name in OPTIONS[1:] if name in options]
    if not files and mode not in _VERIFIED:
        return mode
    if mode not in ("require", *_VERIFIED):
        raise SettingsError(f"DATABASE_URL: {files[0]} needs sslmode=verify-full beside it")
    if "sslrootcert" not in options and mode in _VERIFIED:
        raise SettingsError(
            f"DATABASE_URL: sslmode={mode} needs sslrootcert=/path/of/ca.pem, or "
            f"sslrootcert={SYSTEM} for the authorities that this machine trusts"
        )
    return _context(mode, options)


def _context(mode: str, options: Mapping[str, str]) -> ssl.SSLContext:
    for name in OPTIONS[1:]:
        path = options.get(name)
        if path is not None and path != SYSTEM and not Path(path).is_file():
            raise SettingsError(f"DATABASE_URL: {name}: there is no file {path}")
    root = options.get("sslrootcert")
    try:
        context = ssl.create_default_context(cafile=None if root == SYSTEM else root)
        if "sslcert" in options:
            context.load_cert_chain(options["sslcert"], options.get("sslkey"))
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(f"DATABASE_URL: a certificate cannot be used: {error}") from error
    context.check_hostname = mode == "verify-full"
    if root is None:
        context.verify_mode = ssl.CERT_NONE  # as libpq does for `require`
    return context
