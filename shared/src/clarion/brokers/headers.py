"""Which headers travel with a message through RabbitMQ, and what its copies carry: pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

from clarion.brokers.base import Headers

Value = TypeVar("Value")

QUEUED_AT = "x-published-at"
"""When the message entered its lane, or comes back to it: milliseconds since 1970."""

DUE_AT = "x-due-at"
"""When a delay of several rounds is over: milliseconds since 1970."""

DELIVERY_COUNT = "x-delivery-count"

# A copied x-death makes RabbitMQ 3.10 take the second pass of a delay queue for a cycle and drop
# it; a copied x-delivery-count is believed by 4.0.
_BROKERS_OWN = (
    "x-death",
    "x-first-death",
    "x-last-death",
    DELIVERY_COUNT,
    "x-acquired-count",
    "x-opt-",
)
_MAX_DETAIL = 500


def kept(headers: Mapping[str, Value]) -> dict[str, Value]:
    """Return what a copy keeps: all that neither the broker nor this adapter had put there."""
    return {
        key: value
        for key, value in headers.items()
        if not key.startswith(_BROKERS_OWN) and key not in (QUEUED_AT, DUE_AT)
    }


def shown(headers: Mapping[str, object]) -> Headers:
    """Return what a handler sees: text and whole numbers."""
    return {key: value for key, value in kept(headers).items() if isinstance(value, str | int)}


def number(headers: Mapping[str, object], key: str) -> int | None:
    """Return a header that we, or the broker, write as a whole number; None where it is not one."""
    value = headers.get(key)
    return value if isinstance(value, int) else None


def obituary(reason: str, detail: str, now: float) -> dict[str, str]:
    """Return what a dead letter says of its end; `now` in seconds since 1970."""
    return {
        "x-reason": reason,
        "x-detail": detail[:_MAX_DETAIL],
        "x-dead-at": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
    }
