"""Receipts: what a provider tells later of a message, and which status follows from several.

Receipts come late, twice, and in any order. Of all that were told of a notification the strongest
decides, so that the order in which they came does not: see `Standing`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from clarion.notification import Reason, Status
from clarion.suppression import Kind


class Fact(StrEnum):
    """What a receipt says."""

    PROCESSED = "processed"  # the provider took the message, and has not said more
    DEFERRED = "deferred"  # the recipient's side asked for patience; the provider tries again
    DELIVERED = "delivered"  # it arrived
    BOUNCED = "bounced"  # the address refused it
    UNDELIVERED = "undelivered"  # the provider gave up
    OPENED = "opened"
    CLICKED = "clicked"
    READ = "read"
    COMPLAINED = "complained"  # its reader called it spam
    UNSUBSCRIBED = "unsubscribed"
    RESUBSCRIBED = "resubscribed"


ENGAGEMENT = frozenset({Fact.OPENED, Fact.CLICKED, Fact.READ, Fact.COMPLAINED, Fact.UNSUBSCRIBED})
"""What the recipient did: a set beside the status, not a status."""

# who read it has got it, whatever became of the provider's word that it arrived
_IMPLY_DELIVERED = frozenset({Fact.OPENED, Fact.CLICKED, Fact.READ, Fact.COMPLAINED})


@dataclass(frozen=True, slots=True)
class Receipt:
    """One thing that a provider told of one attempt.

    `key` is the same when the same is told again. `suppresses` says that the address is not to be
    written to from now on. `code` and `text` are the vendor's own.
    """

    key: str
    provider: str
    notification_id: str
    attempt: int
    fact: Fact
    at: datetime
    provider_message_id: str | None = None
    reason: Reason | None = None
    code: str | None = None
    text: str | None = None
    suppresses: Kind | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a receipt makes of the status, and how strongly.

    A higher rank wins. Between `delivered` and `bounced` the later moment does, since a mail that
    was taken may still come back; a bounce of the same second came after. `at` is None where
    arrival only follows from what the reader did: anything told in words is stronger.
    """

    status: Status
    rank: int
    at: datetime | None

    def beats(self, other: Standing) -> bool:
        """Return whether this decides, and not the other."""
        if self.rank != other.rank or self.at is None or other.at is None:
            return (self.rank, self.at is not None) > (other.rank, other.at is not None)
        return (self.at, self.status is Status.BOUNCED) > (other.at, other.status is Status.BOUNCED)


RANKS: dict[Status, int] = {
    **dict.fromkeys(Status, 0),
    # what we found ourselves: a receipt knows better, unless it only says that it was sent
    **dict.fromkeys((Status.SENT, Status.FAILED), 1),
    Status.UNDELIVERED: 2,
    Status.BOUNCED: 3,
    Status.DELIVERED: 3,
}
"""How firmly a status stands against a receipt."""

_STATUSES = {
    Fact.PROCESSED: Status.SENT,
    Fact.DELIVERED: Status.DELIVERED,
    Fact.BOUNCED: Status.BOUNCED,
    Fact.UNDELIVERED: Status.UNDELIVERED,
}


def standing(receipt: Receipt) -> Standing | None:
    """Return what the receipt makes of the status; None when it leaves it alone."""
    if receipt.fact in _IMPLY_DELIVERED:
        return Standing(Status.DELIVERED, RANKS[Status.DELIVERED], None)
    status = _STATUSES.get(receipt.fact)
    if status is None:
        return None
    rank = RANKS[status]
    return Standing(status, rank, receipt.at if rank == RANKS[Status.DELIVERED] else None)


def waves(receipts: Iterable[Receipt]) -> list[dict[str, Receipt]]:
    """Return the receipts to apply one after the other, at most one per notification in each.

    Whether one counts may depend on its attempt, which only the row knows; so of each attempt the
    strongest is kept, and the strongest `delivered`, which counts whatever the attempt. Mostly
    that is one per notification, and so one wave.
    """
    kept: dict[str, dict[int, Receipt]] = {}
    for receipt in receipts:
        told = standing(receipt)
        if told is None:
            continue
        of_any = told.status is Status.DELIVERED
        slots = kept.setdefault(receipt.notification_id, {})
        slot = _DELIVERED if of_any else receipt.attempt
        held = standing(slots[slot]) if slot in slots else None
        if held is None or told.beats(held):
            slots[slot] = receipt
    ordered: list[dict[str, Receipt]] = []
    for notification_id, slots in kept.items():
        for depth, receipt in enumerate(_needed(slots)):
            if depth == len(ordered):
                ordered.append({})
            ordered[depth][notification_id] = receipt
    return ordered


_DELIVERED = -1


def _needed(slots: dict[int, Receipt]) -> list[Receipt]:
    """Leave out what a `delivered` that counts in any case would beat."""
    delivered = slots.get(_DELIVERED)
    if delivered is None:
        return list(slots.values())
    known = standing(delivered)
    return [
        receipt
        for slot, receipt in slots.items()
        if slot == _DELIVERED or _beats(standing(receipt), known)
    ]


def _beats(one: Standing | None, other: Standing | None) -> bool:
    return one is not None and other is not None and one.beats(other)
