"""What a webhook's request holds, whichever provider sent it."""

from __future__ import annotations

from dataclasses import dataclass, field

from clarion.receipt import Receipt
from clarion_gateway.problems import Problem


@dataclass(frozen=True, slots=True)
class Received:
    """The receipts of one request, and how many of its entries were none, by why."""

    receipts: list[Receipt] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)

    def ignore(self, why: str) -> None:
        """Count an entry that is not a receipt of ours."""
        self.ignored[why] = self.ignored.get(why, 0) + 1


UNREADABLE = "unreadable"  # an entry of the wrong shape
UNKNOWN_TYPE = "unknown_type"  # a kind of event that is newer than this table
NOT_OURS = "not_ours"  # without our id and attempt: sent by somebody else over the same account


def unsigned(detail: str) -> Problem:
    """Return the refusal of a request that carries no signature that could be checked."""
    return Problem(401, detail, headers={"WWW-Authenticate": "Signature"})


def forged(detail: str) -> Problem:
    """Return the refusal of a request whose signature is wrong."""
    return Problem(403, detail)
