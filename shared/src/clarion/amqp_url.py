"""Where RabbitMQ is: one address, or one of several nodes that form a cluster. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

FORM = "amqp://user:password@host:5672,host:5672/vhost"


def node_urls(url: str) -> tuple[str, ...]:
    """Return one URL for each node that `url` names, separated by commas.

    All share user, password, vhost and options. Raises `ValueError`, which never shows a password.
    """
    scheme, found, rest = url.partition("://")
    if scheme not in {"amqp", "amqps"} or not found:
        raise ValueError(f"must start with amqp:// or amqps://, as in {FORM}")
    end = next((at for at, sign in enumerate(rest) if sign in "/?#"), len(rest))
    user, at, hosts = rest[:end].rpartition("@")
    nodes = hosts.split(",")
    for number, node in enumerate(nodes, 1):
        _check(node, f"host {number}" if len(nodes) > 1 else "the host")
    return tuple(f"{scheme}://{user}{at}{node}{rest[end:]}" for node in nodes)


def _check(node: str, name: str) -> None:
    # the text is not shown: an unescaped / in a password makes its first half look like a port
    try:
        parts = urlsplit(f"//{node}")
        known = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ValueError(
            f"{name} has a port that is none; write {FORM}, with % codes for / @ : , # ? in a "
            "password"
        ) from error
    if not known or node != node.strip() or " " in node:
        raise ValueError(f"{name} is missing or malformed; write {FORM}, without spaces")
