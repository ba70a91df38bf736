"""What every store must do with receipts: note each once, and let the strongest decide."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clarion.notification import Reason, Status
from clarion.receipt import Fact, Receipt
from clarion.store import open_store
from clarion.store.base import ReceiptResult, Store, Verdict
from clarion_testing.store_contract import (
    LEASE,
    NOBODY,
    Address,
    accepted,
    brought_to,
    outcome,
    status_of,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)

Told = tuple[Fact, int]
TwoOrders = list[list[list[Told]]]
"""Twice the same receipts, each time in batches of its own."""

_numbers = count()


@st.composite
def told_in_two_orders(draw: st.DrawFn) -> TwoOrders:
    """Draw receipts with moments that may be equal, and two ways in which they may come."""
    one = st.tuples(st.sampled_from(Fact), st.integers(0, 3))
    told = draw(st.lists(one, min_size=1, max_size=6, unique=True))
    orders: TwoOrders = []
    for _ in range(2):
        order = draw(st.permutations(told))
        cuts = sorted(draw(st.sets(st.integers(1, len(told)))))
        edges = [0, *cuts, len(told)]
        orders.append([order[a:b] for a, b in pairwise(edges) if a < b])
    return orders


def receipt(notification_id: str, fact: Fact, second: int = 0, **changes: Any) -> Receipt:
    """Return what the provider `fake` tells of a first attempt."""
    made = Receipt(
        key=f"fake/{notification_id}/{fact}/{second}",
        provider="fake",
        notification_id=notification_id,
        attempt=1,
        fact=fact,
        at=NOON + timedelta(seconds=second),
        provider_message_id="vendor_1",
        reason=Reason.INVALID_RECIPIENT if fact is Fact.BOUNCED else None,
        code="550" if fact is Fact.BOUNCED else None,
        text="no such user" if fact is Fact.BOUNCED else None,
    )
    return replace(made, **changes)


class ReceiptContract:
    """Holds for every store; the fixtures are those of `StoreContract`."""

    @pytest.mark.parametrize(
        ("fact", "status"),
        [
            (Fact.PROCESSED, Status.SENT),
            (Fact.DELIVERED, Status.DELIVERED),
            (Fact.BOUNCED, Status.BOUNCED),
            (Fact.UNDELIVERED, Status.UNDELIVERED),
            (Fact.READ, Status.DELIVERED),
        ],
    )
    async def test_a_receipt_settles_what_is_in_doubt(
        self, store: Store, fact: Fact, status: Status
    ) -> None:
        notification_id = await brought_to(store, Status.IN_DOUBT)

        results = await store.note_receipts([receipt(notification_id, fact)])

        assert results == [ReceiptResult.MOVED]
        assert await status_of(store, notification_id) is status
        claim = await store.claim(notification_id, worker="w2", lease=LEASE)
        assert claim.verdict is Verdict.FINISHED

    async def test_the_row_keeps_the_providers_words_and_the_timeline_its_receipts(
        self, store: Store
    ) -> None:
        notification_id = await brought_to(store, Status.SENT)

        await store.note_receipts(
            [
                receipt(notification_id, Fact.BOUNCED, 2),
                receipt(notification_id, Fact.DEFERRED, 1),
            ]
        )

        history = await store.get(notification_id)
        assert history is not None
        assert history.record.status is Status.BOUNCED
        assert history.record.reason is Reason.INVALID_RECIPIENT
        assert (history.record.provider_code, history.record.provider_text) == (
            "550",
            "no such user",
        )
        told = [entry for entry in history.timeline if isinstance(entry.status, Fact)]
        assert [entry.status for entry in told] == [Fact.DEFERRED, Fact.BOUNCED]
        assert told[1].at == NOON + timedelta(seconds=2)
        assert told[1].detail["text"] == "no such user"

    async def test_engagement_is_a_set_beside_the_status_with_the_first_moments(
        self, store: Store
    ) -> None:
        notification_id = await brought_to(store, Status.SENT)

        await store.note_receipts(
            [
                receipt(notification_id, Fact.DELIVERED, 1),
                receipt(notification_id, Fact.OPENED, 5),
                receipt(notification_id, Fact.OPENED, 3),
                receipt(notification_id, Fact.UNSUBSCRIBED, 9),
            ]
        )

        history = await store.get(notification_id)
        assert history is not None
        assert history.record.status is Status.DELIVERED
        assert history.engagement == {
            Fact.OPENED: NOON + timedelta(seconds=3),
            Fact.UNSUBSCRIBED: NOON + timedelta(seconds=9),
        }

    async def test_what_is_told_again_is_a_duplicate_in_a_batch_and_later(
        self, store: Store
    ) -> None:
        notification_id = await brought_to(store, Status.SENT)
        told = receipt(notification_id, Fact.DELIVERED)

        first = await store.note_receipts([told, told])
        second = await store.note_receipts([told])

        assert first == [ReceiptResult.MOVED, ReceiptResult.DUPLICATE]
        assert second == [ReceiptResult.DUPLICATE]

    async def test_what_two_gateways_are_told_at_once_counts_once(
        self, store: Store, address: Address
    ) -> None:
        ids = [await brought_to(store, Status.SENT, f"m{index}") for index in range(40)]
        told = [receipt(notification_id, Fact.DELIVERED) for notification_id in ids]
        other = open_store(address.url)

        results = await asyncio.gather(
            store.note_receipts(told), other.note_receipts(list(reversed(told)))
        )

        await other.close()
        counted = [result for each in results for result in each]
        assert counted.count(ReceiptResult.MOVED) == 40
        assert counted.count(ReceiptResult.DUPLICATE) == 40

    async def test_a_receipt_for_nobody_is_unknown_and_leaves_the_others_alone(
        self, store: Store
    ) -> None:
        notification_id = await brought_to(store, Status.SENT)

        results = await store.note_receipts(
            [receipt(NOBODY, Fact.DELIVERED), receipt(notification_id, Fact.DELIVERED)]
        )

        assert results == [ReceiptResult.UNKNOWN, ReceiptResult.MOVED]

    async def test_thousands_at_once_are_all_noted(self, store: Store) -> None:
        notification_id = await brought_to(store, Status.SENT)
        told = [receipt(notification_id, Fact.CLICKED, second) for second in range(2_500)]

        results = await store.note_receipts(told)

        assert set(results) <= {ReceiptResult.MOVED, ReceiptResult.NOTED}
        assert results.count(ReceiptResult.MOVED) == 1  # who clicks has got it

    # -- a receipt that is faster than the record of its own attempt

    @pytest.mark.parametrize("facts", [["processed"], ["bounced"], ["processed", "delivered"]])
    async def test_receipts_may_come_before_their_worker_records_the_attempt(
        self, store: Store, facts: list[str]
    ) -> None:
        notification_id = await accepted(store)
        await store.claim(notification_id, worker="w1", lease=LEASE)
        for fact in facts:
            await store.note_receipts([receipt(notification_id, Fact(fact))])
        told = await status_of(store, notification_id)
        stands = await store.record(outcome(notification_id, 1, Status.SENT))

        history = await store.get(notification_id)
        assert history is not None
        assert stands
        assert history.record.status is told
        assert [attempt.status for attempt in history.attempts] == [Status.SENT]
        assert history.record.provider_message_id == "vendor_1"
        assert await store.record(outcome(notification_id, 1, Status.SENT))  # its answer was lost

    async def test_a_silence_that_a_receipt_has_settled_starts_no_other_attempt(
        self, store: Store
    ) -> None:
        notification_id = await accepted(store)
        await store.claim(notification_id, worker="w1", lease=LEASE)
        await store.note_receipts([receipt(notification_id, Fact.DELIVERED)])

        stands = await store.record(
            outcome(notification_id, 1, Status.IN_DOUBT, retry_in=0.0, reason=Reason.TIMEOUT)
        )
        claim = await store.claim(notification_id, worker="w2", lease=LEASE)

        history = await store.get(notification_id)
        assert history is not None
        assert stands
        assert claim.verdict is Verdict.FINISHED
        assert history.record.status is Status.DELIVERED
        assert history.record.reason is None
        assert [attempt.status for attempt in history.attempts] == [Status.IN_DOUBT]

    async def test_a_receipt_settles_an_attempt_that_its_worker_died_on(self, store: Store) -> None:
        notification_id = await accepted(store)
        await store.claim(notification_id, worker="w1", lease=0.0)

        await store.note_receipts([receipt(notification_id, Fact.DELIVERED)])
        claim = await store.claim(notification_id, worker="w2", lease=LEASE)

        history = await store.get(notification_id)
        assert history is not None
        assert claim.verdict is Verdict.FINISHED
        assert {Status.SENDING, Fact.DELIVERED} <= {entry.status for entry in history.timeline}

    # -- attempts

    async def test_a_delivery_of_an_earlier_attempt_ends_the_next_one(self, store: Store) -> None:
        notification_id = await brought_to(store, Status.RETRYING)
        await store.claim(notification_id, worker="w2", lease=LEASE)

        results = await store.note_receipts([receipt(notification_id, Fact.DELIVERED)])

        assert results == [ReceiptResult.MOVED]
        assert await status_of(store, notification_id) is Status.DELIVERED

    @pytest.mark.parametrize("fact", [Fact.PROCESSED, Fact.BOUNCED, Fact.UNDELIVERED])
    async def test_a_failure_of_an_earlier_attempt_says_nothing_of_the_next(
        self, store: Store, fact: Fact
    ) -> None:
        notification_id = await brought_to(store, Status.RETRYING)
        await store.claim(notification_id, worker="w2", lease=LEASE)

        results = await store.note_receipts([receipt(notification_id, fact)])

        assert results == [ReceiptResult.NOTED]
        assert await status_of(store, notification_id) is Status.SENDING

    async def test_what_was_given_up_and_arrived_is_delivered(self, store: Store) -> None:
        notification_id = await brought_to(store, Status.FAILED)

        await store.note_receipts([receipt(notification_id, Fact.DELIVERED)])

        history = await store.get(notification_id)
        assert history is not None
        assert history.record.status is Status.DELIVERED
        assert history.record.reason is None

    async def test_a_word_that_it_was_sent_does_not_send_what_is_queued(self, store: Store) -> None:
        notification_id = await brought_to(store, Status.QUEUED)

        await store.note_receipts([receipt(notification_id, Fact.PROCESSED, attempt=0)])

        assert await status_of(store, notification_id) is Status.QUEUED

    # -- order

    @pytest.mark.parametrize("status", [Status.SENT, Status.IN_DOUBT, Status.FAILED])
    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(told=told_in_two_orders())
    async def test_the_order_of_receipts_does_not_matter(
        self, store: Store, status: Status, told: TwoOrders
    ) -> None:
        ends = []
        for batches in told:
            notification_id = await brought_to(store, status, f"m{next(_numbers)}")
            for batch in batches:
                await store.note_receipts([receipt(notification_id, *one) for one in batch])
            ends.append(await status_of(store, notification_id))

        assert ends[0] is ends[1]
