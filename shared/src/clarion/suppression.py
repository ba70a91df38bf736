"""Suppressions: addresses that are not written to, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from clarion.notification import Channel, Reason


class Kind(StrEnum):
    """Whether an address cannot be reached, or its owner does not want to be."""

    FAULT = "fault"  # of the address: nothing that is sent there can arrive
    WISH = "wish"  # of the person: what a template marks `transactional` still goes


KINDS: dict[Reason, Kind] = {
    Reason.INVALID_RECIPIENT: Kind.FAULT,
    Reason.UNREACHABLE: Kind.FAULT,
    Reason.TOKEN_UNREGISTERED: Kind.FAULT,
    Reason.UNSUBSCRIBED: Kind.WISH,
    Reason.SPAM: Kind.WISH,
    Reason.BLOCKED: Kind.WISH,
    Reason.SUPPRESSED: Kind.WISH,
}
"""The reasons for which an address is suppressed. `suppressed` is an operator's own word."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that is not written to; of each kind there is at most one per address."""

    channel: Channel
    address: str
    kind: Kind
    reason: Reason
    source: str
    created_at: datetime


def normal(channel: Channel, address: str) -> str:
    """Return the address as suppressions hold it: of emails, the case does not count."""
    return address.lower() if channel is Channel.EMAIL else address
