"""What an attempt's answer means for its notification: pure decisions."""

from __future__ import annotations

from dataclasses import dataclass, replace

from clarion.errors import (
    Ambiguous,
    Misconfigured,
    PartlyMisconfigured,
    SendError,
    Throttled,
    Transient,
)
from clarion.notification import OnDoubt, Reason, Status
from clarion.provider import Attempt, SentMessage
from clarion.retry import RetryPolicy
from clarion.store.base import Outcome

THROTTLED_SECONDS = 60.0
"""The wait after a 429 that names none."""

MISCONFIGURED_SECONDS = 60.0
"""The wait of a notification that met a provider set up wrong; operators need minutes."""

PARTLY_CAP_SECONDS = 900.0
"""The longest wait of one that met a provider set up wrong for some recipients: nothing stops the
calls for these, so that their wait doubles instead."""


@dataclass(frozen=True, slots=True)
class Doubts:
    """What follows an attempt that was never answered; `grace` is how many seconds a receipt has
    to settle it before another attempt starts."""

    policy: OnDoubt = OnDoubt.RESEND
    grace: float = 0.0


def judge(
    answer: SentMessage | SendError,
    attempt: Attempt,
    failures: int,
    policy: RetryPolicy,
    doubts: Doubts,
    provider: str,
    duration_ms: float,
) -> Outcome:
    """Return what became of an attempt; `failures` counts the attempts spent before it."""
    if isinstance(answer, SentMessage):
        return Outcome(
            attempt.notification_id,
            attempt.number,
            Status.SENT,
            provider,
            duration_ms,
            provider_message_id=answer.provider_message_id,
        )
    status, spent, retry_in = _verdict(answer, failures, policy, doubts)
    if isinstance(answer, PartlyMisconfigured):
        retry_in = min(
            MISCONFIGURED_SECONDS * 2.0 ** min(attempt.number - 1, 10), PARTLY_CAP_SECONDS
        )
    exhausted = status is Status.FAILED and isinstance(answer, Transient | Ambiguous)
    return Outcome(
        attempt.notification_id,
        attempt.number,
        status,
        provider,
        duration_ms,
        spent=spent,
        reason=Reason.RETRIES_EXHAUSTED if exhausted else Reason(answer.reason),
        retry_in=retry_in,
        provider_code=answer.code,
        provider_text=answer.text,
    )


def _verdict(
    error: SendError, failures: int, policy: RetryPolicy, doubts: Doubts
) -> tuple[Status, bool, float | None]:
    """Return the status that an error leaves, whether it spends an attempt, and the wait."""
    if isinstance(error, Throttled):
        told = error.retry_after
        return Status.RETRYING, False, THROTTLED_SECONDS if told is None else told
    if isinstance(error, Misconfigured):
        return Status.RETRYING, False, MISCONFIGURED_SECONDS
    if isinstance(error, Ambiguous) and doubts.policy is OnDoubt.HOLD:
        return Status.IN_DOUBT, True, None
    if isinstance(error, Transient | Ambiguous):
        retry_in = policy.next_delay(failures + 1, error.retry_after)
        if retry_in is not None and isinstance(error, Ambiguous):
            return Status.IN_DOUBT, True, max(retry_in, doubts.grace)
        if retry_in is not None:
            return Status.RETRYING, True, retry_in
    return Status.FAILED, True, None


def spare(outcome: Outcome, answer: SentMessage | SendError, stand_back: float) -> Outcome:
    """Return the outcome of an attempt that ended while the circuit was not closed.

    The provider's outage, known by then, costs no attempt; a doubt is still one. The notification
    stays away for `stand_back` seconds at least.
    """
    if isinstance(answer, Transient):
        wait = max(stand_back, outcome.retry_in or 0.0, answer.retry_after or 0.0)
        return replace(
            outcome,
            status=Status.RETRYING,
            spent=False,
            reason=Reason(answer.reason),
            retry_in=wait,
        )
    if outcome.retry_in is not None and not isinstance(answer, Throttled):
        return replace(outcome, retry_in=max(outcome.retry_in, stand_back))
    return outcome
