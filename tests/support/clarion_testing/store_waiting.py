"""What every store must do with what waits: for its time, its deadline, or an end of doubt."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from clarion.notification import (
    TRANSITIONS,
    Channel,
    Lane,
    OnDoubt,
    Priority,
    Reason,
    Status,
)
from clarion.store.base import Store, Verdict
from clarion_testing.marking import mark_queued
from clarion_testing.store_contract import (
    LEASE,
    NOBODY,
    REACHABLE,
    Address,
    accepted,
    backdate,
    brought_to,
    event,
    notification,
    outcome,
    status_of,
)

LATER = datetime(2099, 1, 1, tzinfo=UTC)


class WaitingContract:
    """Holds for every store; the fixtures are those of `StoreContract`."""

    # -- scheduled

    async def test_a_scheduled_one_is_taken_when_its_time_has_come_and_not_before(
        self, store: Store, address: Address
    ) -> None:
        made = notification(send_at=LATER)
        await store.accept(event("m1", made, status=Status.SCHEDULED))

        early = await store.take_due(10, LEASE)
        backdate(address, "publish_at", made.notification_id)
        due = await store.take_due(10, LEASE)

        assert early == []
        assert [each.notification_id for each in due] == [made.notification_id]
        assert due[0].send_at == LATER
        assert await status_of(store, made.notification_id) is Status.ACCEPTED

    async def test_the_timeline_of_a_scheduled_one_begins_with_its_time(self, store: Store) -> None:
        made = notification(send_at=LATER)
        await store.accept(event("m1", made, status=Status.SCHEDULED))

        history = await store.get(made.notification_id)

        assert history is not None
        assert history.record.status is Status.SCHEDULED
        assert [(entry.status, entry.detail) for entry in history.timeline] == [
            (Status.SCHEDULED, {"send_at": LATER.isoformat()})
        ]

    async def test_a_message_of_a_scheduled_one_is_none_of_its_own(self, store: Store) -> None:
        made = notification(send_at=LATER)
        await store.accept(event("m1", made, status=Status.SCHEDULED))

        claim = await store.claim(made.notification_id, worker="w1", lease=LEASE)

        assert claim.verdict is Verdict.FINISHED
        assert await status_of(store, made.notification_id) is Status.SCHEDULED

    async def test_what_is_due_is_taken_by_priority_and_then_by_age(
        self, store: Store, address: Address
    ) -> None:
        low = await accepted(store, "m1", priority=Priority.LOW)
        older = await accepted(store, "m2")
        newer = await accepted(store, "m3")
        high = await accepted(store, "m4", priority=Priority.HIGH)
        for each in (low, older, newer, high):
            backdate(address, "publish_at", each)

        due = await store.take_due(10, LEASE)

        assert [each.notification_id for each in due] == [high, older, newer, low]

    async def test_a_lane_that_is_left_out_waits(self, store: Store, address: Address) -> None:
        email = await accepted(store, "m1")
        push = await accepted(store, "m2", channel=Channel.PUSH)
        for each in (email, push):
            backdate(address, "publish_at", each)

        due = await store.take_due(10, LEASE, without=[Lane(Channel.EMAIL, Priority.NORMAL)])

        assert [each.notification_id for each in due] == [push]

    # -- deadline

    @pytest.mark.parametrize("status", [Status.ACCEPTED, Status.QUEUED, Status.RETRYING])
    async def test_after_its_deadline_no_attempt_starts(
        self, store: Store, address: Address, status: Status
    ) -> None:
        notification_id = await brought_to(store, status)
        backdate(address, "expires_at", notification_id)

        claim = await store.claim(notification_id, worker="w1", lease=LEASE)

        history = await store.get(notification_id)
        assert (claim.verdict, claim.status, claim.reason) == (
            Verdict.ENDED,
            Status.EXPIRED,
            Reason.EXPIRED,
        )
        assert history is not None
        assert history.record.status is Status.EXPIRED
        assert history.record.dead_at is None
        assert history.timeline[-1].status is Status.EXPIRED
        assert history.timeline[-1].detail == {"reason": "expired"}

    async def test_before_its_deadline_it_is_claimed(self, store: Store) -> None:
        notification_id = await accepted(store, expires_at=LATER)

        claim = await store.claim(notification_id, worker="w1", lease=LEASE)

        assert claim.verdict is Verdict.CLAIMED

    @pytest.mark.parametrize("status", [Status.SENDING, Status.IN_DOUBT])
    async def test_what_may_have_been_sent_does_not_count_as_expired(
        self, store: Store, address: Address, status: Status
    ) -> None:
        notification_id = await brought_to(store, status)
        backdate(address, "lease_until", notification_id)
        backdate(address, "expires_at", notification_id)

        claim = await store.claim(notification_id, worker="w2", lease=LEASE)

        history = await store.get(notification_id)
        assert (claim.verdict, claim.status) == (Verdict.ENDED, Status.FAILED)
        assert history is not None
        assert (history.record.status, history.record.reason) == (Status.FAILED, Reason.EXPIRED)
        assert history.record.dead_at is not None
        assert Status.IN_DOUBT in [entry.status for entry in history.timeline]

    async def test_a_running_attempt_is_not_cut_short_by_the_deadline(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await brought_to(store, Status.SENDING)
        backdate(address, "expires_at", notification_id)

        claim = await store.claim(notification_id, worker="w2", lease=LEASE)
        stands = await store.record(outcome(notification_id, 1, Status.SENT))

        assert claim.verdict is Verdict.LEASED
        assert stands

    # -- doubt

    async def test_a_crash_is_in_doubt_for_its_grace_and_then_attempted_again(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await brought_to(store, Status.SENDING)
        backdate(address, "lease_until", notification_id)

        found = await store.claim(notification_id, worker="w2", lease=LEASE, grace=30.0)
        again = await store.claim(notification_id, worker="w2", lease=LEASE, grace=30.0)
        doubted = await status_of(store, notification_id)
        backdate(address, "lease_until", notification_id)
        due = await store.claim(notification_id, worker="w2", lease=LEASE, grace=30.0)

        history = await store.get(notification_id)
        assert (found.verdict, found.attempt, found.failures) == (Verdict.LEASED, 1, 1)
        assert 0 < found.lease_left <= 30
        assert again.verdict is Verdict.LEASED
        assert doubted is Status.IN_DOUBT
        assert (due.verdict, due.attempt, due.failures) == (Verdict.CLAIMED, 2, 1)
        assert history is not None
        assert [(each.attempt, each.status, each.reason) for each in history.attempts] == [
            (1, Status.IN_DOUBT, Reason.CRASHED)
        ]

    async def test_a_crash_of_what_is_held_is_never_attempted_again(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await accepted(store, on_doubt=OnDoubt.HOLD)
        await store.claim(notification_id, worker="w1", lease=LEASE)
        backdate(address, "lease_until", notification_id)

        found = await store.claim(notification_id, worker="w2", lease=LEASE, grace=30.0)
        again = await store.claim(notification_id, worker="w2", lease=LEASE)

        history = await store.get(notification_id)
        assert (found.verdict, found.status, found.reason) == (
            Verdict.ENDED,
            Status.IN_DOUBT,
            Reason.CRASHED,
        )
        assert again.verdict is Verdict.FINISHED
        assert history is not None
        assert history.record.status is Status.IN_DOUBT
        assert history.record.dead_at is not None
        assert [(each.attempt, each.status) for each in history.attempts] == [(1, Status.IN_DOUBT)]

    async def test_an_unanswered_call_of_what_is_held_is_never_attempted_again(
        self, store: Store
    ) -> None:
        notification_id = await accepted(store, on_doubt=OnDoubt.HOLD)
        claim = await store.claim(notification_id, worker="w1", lease=LEASE)
        await store.record(replace(outcome(notification_id, 1, Status.IN_DOUBT), retry_in=None))

        again = await store.claim(notification_id, worker="w1", lease=LEASE)

        history = await store.get(notification_id)
        assert claim.on_doubt is OnDoubt.HOLD
        assert again.verdict is Verdict.FINISHED
        assert history is not None
        assert history.record.status is Status.IN_DOUBT
        assert history.record.dead_at is not None

    async def test_what_is_in_a_workers_hands_is_no_dead_letter(self, store: Store) -> None:
        notification_id = await brought_to(store, Status.FAILED)
        other_id = await brought_to(store, Status.RETRYING, "m2")

        failed, retrying = await store.get(notification_id), await store.get(other_id)

        assert failed is not None
        assert failed.record.dead_at is not None
        assert retrying is not None
        assert retrying.record.dead_at is None

    # -- cancel

    @pytest.mark.parametrize("status", [Status.SCHEDULED, *REACHABLE])
    async def test_only_what_is_not_being_sent_can_be_called_off(
        self, store: Store, status: Status
    ) -> None:
        if status is Status.SCHEDULED:
            made = notification(send_at=LATER)
            await store.accept(event("m1", made, status=status))
            notification_id = made.notification_id
        else:
            notification_id = await brought_to(store, status)

        cancelled = await store.cancel(notification_id, "ann")

        allowed = Status.CANCELLED in TRANSITIONS[status]
        history = await store.get(notification_id)
        assert cancelled is allowed
        assert history is not None
        assert history.record.status is (Status.CANCELLED if allowed else status)
        if allowed:
            assert history.timeline[-1].status is Status.CANCELLED
            assert history.timeline[-1].detail == {"by": "ann"}

    async def test_what_was_called_off_is_neither_published_nor_claimed(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await accepted(store)
        await store.cancel(notification_id, "ann")
        backdate(address, "publish_at", notification_id)

        claim = await store.claim(notification_id, worker="w1", lease=LEASE)

        assert claim.verdict is Verdict.FINISHED
        assert await store.take_due(10, LEASE) == []
        assert not await mark_queued(store, notification_id)
        assert not await store.cancel(notification_id, "ann")

    async def test_nobody_cannot_be_called_off(self, store: Store) -> None:
        assert not await store.cancel(NOBODY, "ann")

    async def test_times_and_policy_are_read_back_as_they_were(self, store: Store) -> None:
        made = notification(
            send_at=LATER, expires_at=LATER + timedelta(hours=1), on_doubt=OnDoubt.HOLD
        )
        await store.accept(event("m1", made, status=Status.SCHEDULED))

        history = await store.get(made.notification_id)

        assert history is not None
        assert history.record.notification == made
