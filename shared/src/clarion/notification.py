"""The notification: one message to one recipient on one channel, and what may become of it."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Channel(StrEnum):
    """How a notification reaches its recipient; each has its own worker."""

    EMAIL = "email"
    WHATSAPP = "whatsapp"
    PUSH = "push"


class Priority(StrEnum):
    """Which lane a notification queues in; a lane never waits behind another."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    """The queue of one priority of one channel."""

    channel: Channel
    priority: Priority

    @property
    def routing_key(self) -> str:
        """The lane's topic, and the name of its queue."""
        return f"notifications.{self.channel}.{self.priority}"


LANES = tuple(Lane(channel, priority) for channel in Channel for priority in Priority)


class Status(StrEnum):
    """Where a notification stands; changed only along TRANSITIONS."""

    SCHEDULED = "scheduled"  # stored, and waits for its send_at
    ACCEPTED = "accepted"  # stored: from here on nothing can lose it
    QUEUED = "queued"  # the broker has confirmed it
    SENDING = "sending"  # a worker holds the lease and is calling the provider
    RETRYING = "retrying"  # waits in a delay queue for its next attempt
    IN_DOUBT = "in_doubt"  # the provider may or may not have accepted the last attempt
    SENT = "sent"  # the provider accepted it
    DELIVERED = "delivered"  # a receipt says that it arrived
    BOUNCED = "bounced"  # a receipt says that the address refused it
    UNDELIVERED = "undelivered"  # a receipt says that the provider gave up
    FAILED = "failed"  # we gave up: see the reason
    CANCELLED = "cancelled"  # called off before it was sent
    EXPIRED = "expired"  # its expires_at passed before it was sent
    SUPPRESSED = "suppressed"  # its recipient must not be written to


FINAL = frozenset(
    {
        Status.SENT,
        Status.DELIVERED,
        Status.BOUNCED,
        Status.UNDELIVERED,
        Status.FAILED,
        Status.CANCELLED,
        Status.EXPIRED,
        Status.SUPPRESSED,
    }
)
"""From these no attempt starts by itself: only a receipt, or an operator's replay, moves on."""


class OnDoubt(StrEnum):
    """What follows when nobody knows whether the provider accepted the last attempt."""

    RESEND = "resend"  # at least once: wait a grace for a receipt, then send again
    HOLD = "hold"  # at most once: wait for a receipt or an operator


class Reason(StrEnum):
    """Why a notification is not (yet) sent; the vendor's own words are kept beside it."""

    INVALID_RECIPIENT = "invalid_recipient"
    UNREACHABLE = "unreachable"
    BLOCKED = "blocked"
    SUPPRESSED = "suppressed"
    SPAM = "spam"
    UNSUBSCRIBED = "unsubscribed"
    OUTSIDE_WINDOW = "outside_window"
    TOKEN_UNREGISTERED = "token_unregistered"  # noqa: S105  a device's token, not a secret
    TEMPLATE_ERROR = "template_error"
    INVALID_EVENT = "invalid_event"
    PROVIDER_AUTH = "provider_auth"
    PROVIDER_REJECTED = "provider_rejected"
    RATE_LIMITED = "rate_limited"
    PROVIDER_DOWN = "provider_down"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    EXPIRED = "expired"
    RETRIES_EXHAUSTED = "retries_exhausted"


_BEFORE_SENDING = {Status.CANCELLED, Status.EXPIRED, Status.SUPPRESSED}

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.SCHEDULED: frozenset({Status.ACCEPTED, Status.CANCELLED}),
    Status.ACCEPTED: frozenset({Status.QUEUED, Status.SENDING, Status.FAILED, *_BEFORE_SENDING}),
    Status.QUEUED: frozenset({Status.SENDING, Status.FAILED, *_BEFORE_SENDING}),
    Status.SENDING: frozenset({Status.SENT, Status.RETRYING, Status.IN_DOUBT, Status.FAILED}),
    Status.RETRYING: frozenset({Status.SENDING, Status.FAILED, *_BEFORE_SENDING}),
    Status.IN_DOUBT: frozenset(
        {
            Status.SENDING,
            Status.SENT,
            Status.DELIVERED,
            Status.RETRYING,
            Status.FAILED,
            Status.ACCEPTED,
        }
    ),
    Status.SENT: frozenset({Status.DELIVERED, Status.BOUNCED, Status.UNDELIVERED}),
    Status.DELIVERED: frozenset({Status.BOUNCED}),
    Status.BOUNCED: frozenset(),
    Status.UNDELIVERED: frozenset(),
    Status.FAILED: frozenset({Status.ACCEPTED}),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
    Status.SUPPRESSED: frozenset(),
}
"""Every change of status that is allowed. A message may reach a worker before the publisher has
marked its row `queued`, hence accepted -> sending; `in_doubt` -> `sending` is a resend, and what
leads back to `accepted` is an operator's replay. A receipt knows better than any of it, and moves a
status by a rule of its own: see `clarion.receipt`."""


def sources(target: Status) -> tuple[Status, ...]:
    """Return the statuses from which `target` may be reached, for the guard of an UPDATE."""
    return tuple(status for status, targets in TRANSITIONS.items() if target in targets)


class Notification(BaseModel):
    """One message to one recipient on one channel, as stored and as carried by the broker."""

    # a field that a newer gateway added must not make an older worker refuse the message
    model_config = ConfigDict(frozen=True, extra="ignore")

    notification_id: str
    message_id: str
    target_user_id: str
    channel: Channel
    template_id: str
    recipient: str
    payload: dict[str, Any]
    priority: Priority = Priority.NORMAL
    locale: str | None = None
    metadata: dict[str, str] = {}
    send_at: datetime | None = None
    expires_at: datetime | None = None
    on_doubt: OnDoubt | None = None
    """None until it is stored: then its template's word, or the default."""
    replay_no: int = Field(0, ge=0, lt=2**31)
    """How often an operator has had it sent again; a message of an earlier run is out of date."""

    def to_bytes(self) -> bytes:
        """Return the body of its message on the queue: JSON, UTF-8 (RFC 8259)."""
        return self.model_dump_json(exclude_none=True).encode()


def seconds_left(expires_at: datetime) -> int:
    """Return the whole seconds until a deadline, for a provider that takes one; at least 1.

    What has less left, or none, is the store's to refuse at the claim.
    """
    return max(math.floor(expires_at.timestamp() - time.time()), 1)


def new_notification_id() -> str:
    """Return `notif_` and a UUIDv7 in hex (RFC 9562, 5.7): unique, and in the order of creation."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | (0x7 << 76)  # version 7
    value = value & ~(0x3 << 62) | (0x2 << 62)  # variant of RFC 9562
    return f"notif_{value:032x}"


def id_at(seconds: float) -> str:
    """Return what every id of that moment or later sorts behind, in seconds since 1970."""
    return f"notif_{max(int(seconds * 1000), 0) << 80:032x}"
