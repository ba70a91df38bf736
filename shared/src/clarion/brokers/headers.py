"""Which headers travel with a message through RabbitMQ, and what its copies carry: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
_REASON, _DETAIL, _DEAD_AT = "x-reason", "x-detail", "x-dead-at"
_MAX_DETAIL = 500


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a message was given up, and whether RabbitMQ did it by itself."""

    reason: str
    detail: str
    by_broker: bool


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
        _REASON: reason,
        _DETAIL: detail[:_MAX_DETAIL],
        _DEAD_AT: datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
    }


def cause(headers: Mapping[str, object]) -> Cause:
    """Return what a dead letter's headers say of its end.

    A worker's copy carries no `x-death`, so one that does was given up by RabbitMQ. The first
    reason there is of no use: a message that waited in a delay queue once has `expired` as its own.
    """
    deaths = headers.get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], Mapping):
        last = deaths[0]
        reason = headers.get("x-last-death-reason", last.get("reason", ""))  # since RabbitMQ 3.13
        queue = headers.get("x-last-death-queue", last.get("queue", ""))
        return Cause(str(reason), f"given up by RabbitMQ in {queue}", by_broker=True)
    return Cause(str(headers.get(_REASON, "")), str(headers.get(_DETAIL, "")), by_broker=False)


def mourned(headers: Mapping[str, object]) -> Headers:
    """Return the headers of a dead letter as its message was published with them."""
    return {
        key: value
        for key, value in shown(headers).items()
        if key not in (_REASON, _DETAIL, _DEAD_AT)
    }
