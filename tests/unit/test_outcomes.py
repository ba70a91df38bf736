"""What an answer means: each kind of error leaves one status, and spends an attempt or not."""

import pytest

from clarion.errors import (
    Ambiguous,
    BadMessage,
    BadRecipient,
    Misconfigured,
    PartlyMisconfigured,
    SendError,
    Throttled,
    Transient,
)
from clarion.notification import TRANSITIONS, OnDoubt, Reason, Status
from clarion.outcomes import Doubts, judge, spare
from clarion.provider import Attempt, SentMessage
from clarion.retry import RetryPolicy
from clarion.store.base import Outcome

POLICY = RetryPolicy(attempts=3, delay=2.0)


def outcome(
    answer: SentMessage | SendError, failures: int = 0, doubts: Doubts | None = None
) -> Outcome:
    attempt = Attempt("notif_1", 1)
    return judge(answer, attempt, failures, POLICY, doubts or Doubts(), "vendor", 12.5)


@pytest.mark.parametrize(
    ("answer", "failures", "status", "spent", "reason", "retry_in"),
    [
        (Transient("503"), 0, Status.RETRYING, True, Reason.PROVIDER_DOWN, 2.0),
        (Transient("503"), 1, Status.RETRYING, True, Reason.PROVIDER_DOWN, 4.0),
        (Transient("503", retry_after=30), 0, Status.RETRYING, True, Reason.PROVIDER_DOWN, 30),
        (Transient("503"), 3, Status.FAILED, True, Reason.RETRIES_EXHAUSTED, None),
        (Throttled("429", retry_after=7), 3, Status.RETRYING, False, Reason.RATE_LIMITED, 7),
        (Throttled("429"), 0, Status.RETRYING, False, Reason.RATE_LIMITED, 60.0),
        (Throttled("429", retry_after=0), 0, Status.RETRYING, False, Reason.RATE_LIMITED, 0),
        (Ambiguous("no answer"), 0, Status.IN_DOUBT, True, Reason.TIMEOUT, 2.0),
        (Ambiguous("no answer"), 3, Status.FAILED, True, Reason.RETRIES_EXHAUSTED, None),
        (BadRecipient("no such"), 0, Status.FAILED, True, Reason.INVALID_RECIPIENT, None),
        (
            BadRecipient("gone", reason="token_unregistered"),
            0,
            Status.FAILED,
            True,
            Reason.TOKEN_UNREGISTERED,
            None,
        ),
        (BadMessage("too long"), 0, Status.FAILED, True, Reason.PROVIDER_REJECTED, None),
        (Misconfigured("bad key"), 3, Status.RETRYING, False, Reason.PROVIDER_AUTH, 60.0),
    ],
)
def test_an_error_decides_what_follows(
    answer: SendError,
    failures: int,
    status: Status,
    spent: bool,
    reason: Reason,
    retry_in: float | None,
) -> None:
    result = outcome(answer, failures)

    assert (result.status, result.spent, result.reason, result.retry_in) == (
        status,
        spent,
        reason,
        retry_in,
    )
    assert result.status in TRANSITIONS[Status.SENDING]


def test_the_vendors_own_words_are_kept() -> None:
    result = outcome(BadRecipient("not a number", code="21211"))

    assert (result.provider, result.provider_code, result.provider_text) == (
        "vendor",
        "21211",
        "not a number",
    )


def test_an_accepted_message_is_sent_under_the_vendors_id() -> None:
    result = outcome(SentMessage("SM1"))

    assert result.status is Status.SENT
    assert result.provider_message_id == "SM1"
    assert result.reason is None


@pytest.mark.parametrize(("grace", "retry_in"), [(0.0, 2.0), (1.5, 2.0), (90.0, 90.0)])
def test_a_doubt_is_left_to_receipts_for_its_grace(grace: float, retry_in: float) -> None:
    result = outcome(Ambiguous("no answer"), doubts=Doubts(OnDoubt.RESEND, grace))

    assert (result.status, result.retry_in, result.gives_up) == (Status.IN_DOUBT, retry_in, False)


@pytest.mark.parametrize("failures", [0, 3])
def test_what_is_held_is_never_sent_again_by_itself(failures: int) -> None:
    result = outcome(Ambiguous("no answer"), failures, Doubts(OnDoubt.HOLD, 90.0))

    assert (result.status, result.reason) == (Status.IN_DOUBT, Reason.TIMEOUT)
    assert (result.retry_in, result.gives_up) == (None, True)


def test_a_grace_delays_no_fault_that_is_certain() -> None:
    result = outcome(Transient("503"), doubts=Doubts(OnDoubt.HOLD, 90.0))

    assert (result.status, result.retry_in) == (Status.RETRYING, 2.0)


@pytest.mark.parametrize(("attempt", "wait"), [(1, 60), (2, 120), (4, 480), (5, 900), (5000, 900)])
def test_a_fault_of_some_recipients_is_met_again_less_and_less_often(
    attempt: int, wait: float
) -> None:
    answer = PartlyMisconfigured("no APNs key")

    result = judge(answer, Attempt("notif_1", attempt), 0, POLICY, Doubts(), "vendor", 1.0)

    assert (result.status, result.spent, result.retry_in) == (Status.RETRYING, False, wait)


@pytest.mark.parametrize(
    ("answer", "failures", "status", "spent", "reason", "retry_in"),
    [
        (Transient("503"), 0, Status.RETRYING, False, Reason.PROVIDER_DOWN, 45),
        (Transient("503", retry_after=90), 0, Status.RETRYING, False, Reason.PROVIDER_DOWN, 90),
        (Transient("503"), 3, Status.RETRYING, False, Reason.PROVIDER_DOWN, 45),
        (Ambiguous("no answer"), 0, Status.IN_DOUBT, True, Reason.TIMEOUT, 45),
        (Ambiguous("no answer"), 3, Status.FAILED, True, Reason.RETRIES_EXHAUSTED, None),
        (Misconfigured("key"), 0, Status.RETRYING, False, Reason.PROVIDER_AUTH, 60),
        (Throttled("429", retry_after=7), 0, Status.RETRYING, False, Reason.RATE_LIMITED, 7),
        (BadMessage("long"), 0, Status.FAILED, True, Reason.PROVIDER_REJECTED, None),
    ],
)
def test_an_outage_that_is_known_costs_no_attempt_but_a_doubt_does(
    answer: SendError,
    failures: int,
    status: Status,
    spent: bool,
    reason: Reason,
    retry_in: float | None,
) -> None:
    result = spare(outcome(answer, failures), answer, 45)

    assert (result.status, result.spent, result.reason, result.retry_in) == (
        status,
        spent,
        reason,
        retry_in,
    )
