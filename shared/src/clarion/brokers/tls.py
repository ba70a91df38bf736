"""What the TLS options of `BROKER_URL` need before anyone connects."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl

FILES = ("cafile", "certfile", "keyfile")
"""The options that name files: the authority to trust, our certificate and its key."""


def check_tls(url: str) -> None:
    """Raise `ValueError` if a certificate file is not there, or TLS options have no TLS to serve.

    The client library would find out at each attempt to connect, and the service try for ever.
    """
    options = dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))
    for name in FILES:
        path = options.get(name)
        if path is None:
            continue
        if not url.startswith("amqps://"):
            raise ValueError(f"{name} is of no use with amqp://; write amqps://")
        if not Path(path).is_file():
            raise ValueError(f"{name}: there is no file {path}")
