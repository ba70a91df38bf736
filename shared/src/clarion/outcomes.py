"""What an attempt's answer means for its notification: pure decisions."""

from __future__ import annotations

from clarion.errors import Ambiguous, Misconfigured, SendError, Throttled, Transient
from clarion.notification import Reason, Status
from clarion.provider import Attempt, SentMessage
from clarion.retry import RetryPolicy
from clarion.store.base import Outcome

THROTTLED_SECONDS = 60.0
"""The wait after a 429 that names none."""

MISCONFIGURED_SECONDS = 60.0
"""The wait of a notification that met a provider set up wrong; operators need minutes."""


def judge(
    answer: SentMessage | SendError,
    attempt: Attempt,
    failures: int,
    policy: RetryPolicy,
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
    status, spent, retry_in = _verdict(answer, failures, policy)
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
    error: SendError, failures: int, policy: RetryPolicy
) -> tuple[Status, bool, float | None]:
    """Return the status that an error leaves, whether it spends an attempt, and the wait."""
    if isinstance(error, Throttled):
        return Status.RETRYING, False, error.retry_after or THROTTLED_SECONDS
    if isinstance(error, Misconfigured):
        return Status.RETRYING, False, MISCONFIGURED_SECONDS
    if isinstance(error, Transient | Ambiguous):
        retry_in = policy.next_delay(failures + 1, error.retry_after)
        if retry_in is not None:
            put_off = Status.IN_DOUBT if isinstance(error, Ambiguous) else Status.RETRYING
            return put_off, True, retry_in
    return Status.FAILED, True, None
