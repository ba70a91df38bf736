"""Suppressions: addresses that are not written to, and why."""

from __future__ import annotations

import string
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


AT_ONCE = frozenset(KINDS) - {Reason.INVALID_RECIPIENT, Reason.SUPPRESSED}
"""Those for which an immediate answer suppresses. An address that is refused as malformed costs
nothing to try again, and the fault may be in how it was written."""


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
    """Return the address as suppressions hold it: of emails, the case does not count.

    Of ASCII alone: that is what a database lowers in every locale.
    """
    return address.translate(_LOWER) if channel is Channel.EMAIL else address


_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
