"""The judge: what a provider's call log and the store say of the promise; pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

ARRIVED = frozenset({"sent", "delivered"})
FINAL = ARRIVED | {"bounced", "undelivered", "failed", "cancelled", "expired", "suppressed"}
IN_DOUBT = "in_doubt"
RESEND, HOLD = "resend", "hold"


@dataclass(frozen=True, slots=True)
class Call:
    """One call that the provider counted: for which attempt, and whether it took the message."""

    attempt: int
    accepted: bool


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one accepted notification; `status` is None when the store has no row.

    `attempts` are the statuses of the finished ones by their number.
    """

    notification_id: str
    on_doubt: str
    status: str | None
    attempts: Mapping[int, str] = field(default_factory=dict)
    calls: tuple[Call, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether nothing more is to happen to it by itself."""
        return self.status in FINAL or self.held

    @property
    def held(self) -> bool:
        """Whether it waits, in doubt, for a receipt or an operator: an announced answer."""
        return self.status == IN_DOUBT and self.on_doubt == HOLD


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a scenario's notifications; each list holds their ids."""

    accepted: int
    delivered: int
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    announced: tuple[str, ...]
    held: tuple[str, ...]
    breaches: tuple[str, ...]


def judge(stories: Iterable[Story]) -> Verdict:
    """Return the verdict over every accepted notification; `breaches` says what broke it."""
    stories = list(stories)
    breaches: list[str] = []
    lost, doubled = [], []
    for story in stories:
        if loss := _loss(story):
            lost.append(story.notification_id)
            breaches.append(f"lost: {loss}: {story}")
        if fault := _doubling(story):
            doubled.append(story.notification_id)
            breaches.append(f"sent twice unannounced: {fault}: {story}")
    return Verdict(
        accepted=len(stories),
        delivered=sum(story.status in ARRIVED for story in stories),
        lost=tuple(lost),
        doubled=tuple(doubled),
        announced=tuple(
            story.notification_id
            for story in stories
            if _accepted_calls(story) > 1 and not _doubling(story)
        ),
        held=tuple(story.notification_id for story in stories if story.held),
        breaches=tuple(breaches),
    )


def _loss(story: Story) -> str | None:
    """Return why a notification counts as lost: every recipient of these scenarios is good."""
    if story.status is None:
        return "the store does not know it"
    if not story.settled:
        return "it was left without an answer"
    if story.status not in ARRIVED:
        return None if story.held else f"it ended as {story.status}"
    told = [number for number, status in story.attempts.items() if status in ARRIVED]
    taken = {call.attempt for call in story.calls if call.accepted}
    if not taken or not taken.issuperset(told):
        return "it is said to be sent, and the provider did not take it"
    return None


def _doubling(story: Story) -> str | None:
    """Return in which way a provider was called again without the timeline saying why."""
    numbers = [call.attempt for call in story.calls]
    if len(set(numbers)) < len(numbers):
        return "one attempt called the provider twice"
    doubted = {number for number, status in story.attempts.items() if status == IN_DOUBT}
    taken = sorted(call.attempt for call in story.calls if call.accepted)
    if any(number not in doubted for number in taken[:-1]):
        return "an attempt that was taken, and is not in doubt, was followed by another"
    if story.on_doubt == HOLD:
        if len(taken) > 1:
            return "it is to be held, and was taken twice"
        if doubted and max(numbers, default=0) > min(doubted):
            return "it is to be held, and was called again after an attempt in doubt"
    if unknown := set(numbers) - set(story.attempts):
        return f"the timeline does not show attempt {min(unknown)}"
    return None


def _accepted_calls(story: Story) -> int:
    return sum(call.accepted for call in story.calls)
