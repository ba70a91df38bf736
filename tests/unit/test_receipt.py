"""Which of several receipts decides, whatever the order in which they came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.notification import Status
from clarion.receipt import Fact, Receipt, Standing, standing, waves

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def receipt(fact: Fact, second: int = 0, attempt: int = 1) -> Receipt:
    return Receipt(
        f"{fact}/{second}/{attempt}",
        "fake",
        "notif_1",
        attempt,
        fact,
        NOON + timedelta(seconds=second),
    )


RECEIPTS = st.builds(
    receipt, st.sampled_from(Fact), second=st.integers(0, 3), attempt=st.integers(1, 3)
)


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        (receipt(Fact.UNDELIVERED), receipt(Fact.PROCESSED, 9)),
        (receipt(Fact.BOUNCED), receipt(Fact.UNDELIVERED, 9)),
        (receipt(Fact.DELIVERED), receipt(Fact.UNDELIVERED, 9)),
        (receipt(Fact.DELIVERED, 2), receipt(Fact.BOUNCED, 1)),
        (receipt(Fact.BOUNCED, 2), receipt(Fact.DELIVERED, 1)),  # it came back
        (receipt(Fact.BOUNCED, 1), receipt(Fact.DELIVERED, 1)),
        (receipt(Fact.BOUNCED, 1), receipt(Fact.OPENED, 9)),
        (receipt(Fact.READ), receipt(Fact.UNDELIVERED)),
    ],
)
def test_the_stronger_receipt_decides(stronger: Receipt, weaker: Receipt) -> None:
    one, other = standing(stronger), standing(weaker)

    assert one is not None
    assert other is not None
    assert one.beats(other)
    assert not other.beats(one)


@pytest.mark.parametrize("fact", [Fact.DEFERRED, Fact.UNSUBSCRIBED, Fact.RESUBSCRIBED])
def test_some_receipts_leave_the_status_alone(fact: Fact) -> None:
    assert standing(receipt(fact)) is None


@given(st.lists(RECEIPTS, max_size=3))
def test_beating_is_an_order(told: list[Receipt]) -> None:
    known = [one for one in map(standing, told) if one is not None]

    for one in known:
        assert not one.beats(one)
        for other in known:
            assert not (one.beats(other) and other.beats(one))
            assert one.beats(other) or other.beats(one) or one == other
            for third in known:
                if one.beats(other) and other.beats(third):
                    assert one.beats(third)


@given(st.lists(RECEIPTS, max_size=8))
def test_waves_keep_what_may_decide_for_any_attempt(told: list[Receipt]) -> None:
    kept = [wave["notif_1"] for wave in waves(told)]

    for attempt in (1, 2, 3):
        assert _decided(kept, attempt) == _decided(told, attempt)


def _decided(told: list[Receipt], attempt: int) -> Standing | None:
    best: Standing | None = None
    for one in told:
        known = standing(one)
        if known is None or (one.attempt != attempt and known.status is not Status.DELIVERED):
            continue
        if best is None or known.beats(best):
            best = known
    return best


def test_receipts_of_many_notifications_are_one_wave() -> None:
    told = [
        Receipt(f"{n}{fact}", "fake", f"notif_{n}", 1, fact, NOON)
        for n in range(50)
        for fact in (Fact.PROCESSED, Fact.DELIVERED, Fact.OPENED)
    ]

    assert [len(wave) for wave in waves(told)] == [50]
