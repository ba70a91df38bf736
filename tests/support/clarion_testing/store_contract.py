"""What every store must do: the same tests run on SQLite and on PostgreSQL.

A subclass gives the fixture `address`: a migrated, empty database, and a way behind the store's
back to make a lease end.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from clarion.errors import MessageIdConflict, RowRefused
from clarion.notification import (
    TRANSITIONS,
    Channel,
    Lane,
    Notification,
    OnDoubt,
    Priority,
    Reason,
    Status,
)
from clarion.store import open_store
from clarion.store.base import Accepted, Intake, Outcome, Query, Store, Verdict
from clarion_testing.marking import mark_queued

LEASE = 60.0
# as new_notification_id makes them, a millisecond apart: in order even within one
_milliseconds = time.time_ns() // 1_000_000
LONG_AGO = "'2020-01-01 00:00:00.000'"
NOBODY = "notif_00000000000000000000000000000000"
OUTCOMES = sorted(TRANSITIONS[Status.SENDING])


@dataclass(frozen=True, slots=True)
class Address:
    """A database, and how to run SQL in it behind the store's back."""

    url: str
    execute: Callable[..., None]


def _next_id() -> str:
    global _milliseconds
    # never behind the clock for longer than a listing's `since` allows, however long a run takes
    _milliseconds = max(_milliseconds + 1, time.time_ns() // 1_000_000)
    return f"notif_{_milliseconds << 80:032x}"


def notification(message_id: str = "m1", **changes: Any) -> Notification:
    """Return a notification that nothing has happened to."""
    fields: dict[str, Any] = {
        "notification_id": _next_id(),
        "message_id": message_id,
        "target_user_id": "user_1",
        "channel": Channel.EMAIL,
        "template_id": "welcome",
        "recipient": "ada@example.test",
        "payload": {"user_name": "Ada", "n": [1, 2.5, None, True], "text": "žluť \N{ROCKET}"},
        "metadata": {"source": "test"},
        "on_doubt": OnDoubt.RESEND,
    }
    return Notification(**(fields | changes))


def event(message_id: str = "m1", *notifications: Notification, **changes: Any) -> Intake:
    """Return an event of one notification, or of those given."""
    intake = Intake(
        producer="shop",
        message_id=message_id,
        body_hash="hash",
        notifications=notifications or (notification(message_id),),
    )
    return replace(intake, **changes)


def outcome(notification_id: str, attempt: int, status: Status, **changes: Any) -> Outcome:
    """Return what the provider `fake` answered."""
    made = Outcome(
        notification_id=notification_id,
        attempt=attempt,
        status=status,
        provider="fake",
        duration_ms=12.5,
        reason=None if status is Status.SENT else Reason.PROVIDER_DOWN,
        retry_in=0.0 if status in (Status.RETRYING, Status.IN_DOUBT) else None,
        provider_message_id="vendor_1" if status is Status.SENT else None,
        provider_code=None if status is Status.SENT else "503",
        provider_text=None if status is Status.SENT else "try later",
    )
    return replace(made, **changes)


async def accepted(store: Store, message_id: str = "m1", **changes: Any) -> str:
    """Accept one notification; return its id."""
    made = notification(message_id, **changes)
    await store.accept(event(message_id, made))
    return made.notification_id


async def brought_to(store: Store, status: Status, message_id: str = "m1") -> str:
    """Return the id of a notification in a status that this store can bring it to."""
    notification_id = await accepted(store, message_id)
    if status is Status.ACCEPTED:
        return notification_id
    await mark_queued(store, notification_id)
    if status is Status.QUEUED:
        return notification_id
    await store.claim(notification_id, worker="w1", lease=LEASE)
    if status is not Status.SENDING:
        assert await store.record(outcome(notification_id, 1, status))
    return notification_id


async def status_of(store: Store, notification_id: str) -> Status:
    """Return where a notification stands."""
    history = await store.get(notification_id)
    assert history is not None
    return history.record.status


def backdate(address: Address, column: str, notification_id: str) -> None:
    """Move a moment of a notification into the past, as if the time had gone by."""
    address.execute(
        f"UPDATE notifications SET {column} = {LONG_AGO} WHERE id = '{notification_id}'"  # noqa: S608
    )


REACHABLE = (Status.ACCEPTED, Status.QUEUED, Status.SENDING, *OUTCOMES)
"""The statuses that this store can bring a row to; receipts come with a later issue."""


class StoreContract:
    """Holds for every store."""

    @pytest_asyncio.fixture
    async def store(self, address: Address) -> AsyncIterator[Store]:
        store = open_store(address.url)
        yield store
        await store.close()

    @pytest_asyncio.fixture
    async def other(self, address: Address) -> AsyncIterator[Store]:
        """A second process's store."""
        store = open_store(address.url)
        yield store
        await store.close()

    # -- accept

    async def test_an_accepted_event_is_read_back_as_it_was(self, store: Store) -> None:
        made = notification(locale="pt-BR", priority=Priority.HIGH)

        answer = await store.accept(event("m1", made))

        history = await store.get(made.notification_id)
        assert answer == [Accepted(made.notification_id, Channel.EMAIL, Status.ACCEPTED, False)]
        assert history is not None
        assert history.record.notification == made
        assert history.record.producer == "shop"
        assert (history.record.status, history.record.attempt) == (Status.ACCEPTED, 0)
        assert history.record.created_at.tzinfo is UTC
        assert abs(history.record.created_at - datetime.now(UTC)) < timedelta(minutes=5)

    async def test_the_same_event_again_is_a_duplicate_with_its_status_now(
        self, store: Store
    ) -> None:
        first = await store.accept(event())
        await mark_queued(store, first[0].notification_id)

        again = await store.accept(event())

        assert again == [replace(first[0], status=Status.QUEUED, duplicate=True)]

    async def test_another_body_under_the_same_message_id_is_a_conflict(self, store: Store) -> None:
        await store.accept(event())

        with pytest.raises(MessageIdConflict, match="m1"):
            await store.accept(event(body_hash="other"))

    async def test_two_producers_may_use_the_same_message_id(self, store: Store) -> None:
        await store.accept(event())

        answer = await store.accept(event(producer="billing", body_hash="other"))

        assert not answer[0].duplicate

    async def test_fifty_equal_events_at_once_are_accepted_once(
        self, store: Store, other: Store
    ) -> None:
        stores = [store, other] * 25

        answers = await asyncio.gather(*(each.accept(event()) for each in stores))

        assert Counter(answer[0].duplicate for answer in answers) == {False: 1, True: 49}
        assert len({answer[0].notification_id for answer in answers}) == 1

    async def test_of_two_bodies_at_once_one_is_a_conflict(self, store: Store) -> None:
        answers = await asyncio.gather(
            store.accept(event()),
            store.accept(event(body_hash="other")),
            return_exceptions=True,
        )

        assert [type(answer) for answer in answers] == [list, MessageIdConflict]

    async def test_a_fan_out_is_accepted_whole_and_in_its_order(self, store: Store) -> None:
        parts = tuple(notification(channel=channel) for channel in Channel)

        first = await store.accept(event("m1", *parts))
        again = await store.accept(event("m1", *(notification(channel=c) for c in Channel)))

        assert [item.notification_id for item in first] == [p.notification_id for p in parts]
        assert [item.channel for item in first] == list(Channel)
        assert again == [replace(item, duplicate=True) for item in first]

    async def test_fan_outs_that_half_overlap_never_mix(self, store: Store, other: Store) -> None:
        def one(number: int) -> Intake:
            parts = (notification(f"m{number}"), notification(f"m{number}", channel=Channel.PUSH))
            return event(f"m{number}", *parts, body_hash="one")

        def two(number: int) -> Intake:
            parts = (
                notification(f"m{number}", channel=Channel.PUSH),
                notification(f"m{number}", channel=Channel.WHATSAPP),
                notification(f"m{number}"),
            )
            return event(f"m{number}", *parts, body_hash="two")

        answers = await asyncio.gather(
            *(store.accept(one(number)) for number in range(20)),
            *(other.accept(two(number)) for number in range(20)),
            return_exceptions=True,
        )

        for number in range(20):
            winners = [a for a in (answers[number], answers[20 + number]) if isinstance(a, list)]
            page = await store.find(Query(message_id=f"m{number}"), limit=10)
            assert len(winners) == 1
            assert {record.notification.notification_id for record in page.records} == {
                item.notification_id for item in winners[0]
            }

    async def test_a_message_of_another_producer_is_stored_as_queued(self, store: Store) -> None:
        made = notification()

        answer = await store.accept(event("m1", made, status=Status.QUEUED))

        history = await store.get(made.notification_id)
        assert answer[0].status is Status.QUEUED
        assert history is not None
        assert [entry.status for entry in history.timeline] == [Status.ACCEPTED, Status.QUEUED]

    async def test_an_event_cannot_begin_as_sent(self, store: Store) -> None:
        with pytest.raises(ValueError, match="accepted or queued"):
            await store.accept(event(status=Status.SENT))

    async def test_a_row_that_the_database_cannot_hold_takes_no_other_with_it(
        self, store: Store
    ) -> None:
        good = [event(f"m{number}") for number in range(20)]
        bad = [
            event(f"b{number}", notification(f"b{number}", target_user_id="a lone \ud800"))
            for number in range(3)
        ]

        answers = await asyncio.gather(
            *(store.accept(intake) for intake in [*good[:7], *bad, *good[7:]]),
            return_exceptions=True,
        )

        assert [type(answer) for answer in answers] == [list] * 7 + [RowRefused] * 3 + [list] * 13
        assert await store.unpublished() == 20

    async def test_events_accepted_together_each_have_their_own_answer(self, store: Store) -> None:
        await store.accept(event("known"))
        lone = notification("bad", target_user_id="a lone \ud800")
        scheduled = notification("later", send_at=datetime.now(UTC) + timedelta(hours=1))

        answers = await store.accept_all(
            [
                event("new"),
                event("known"),
                event("known", body_hash="other"),
                event("bad", lone),
                event("later", scheduled, status=Status.SCHEDULED),
            ]
        )

        new, known, conflict, bad, later = answers
        assert isinstance(new, list)
        assert isinstance(known, list)
        assert isinstance(later, list)
        assert [item.duplicate for item in (*new, *known, *later)] == [False, True, False]
        assert later[0].status is Status.SCHEDULED
        assert isinstance(conflict, MessageIdConflict)
        assert isinstance(bad, RowRefused)
        assert (await store.find(Query(message_id="new"), limit=2)).records
        assert not (await store.find(Query(message_id="bad"), limit=2)).records

    async def test_a_refusal_does_not_quote_what_was_refused(self, store: Store) -> None:
        with pytest.raises(RowRefused) as refusal:
            await store.accept(event("m1", notification(target_user_id="secret \ud800")))

        assert "secret" not in str(refusal.value)

    # -- publishing

    async def test_a_queued_row_is_queued_once(self, store: Store) -> None:
        notification_id = await accepted(store)

        answers = await asyncio.gather(
            mark_queued(store, notification_id), mark_queued(store, notification_id)
        )

        assert sorted(answers) == [False, True]
        assert await status_of(store, notification_id) is Status.QUEUED

    @pytest.mark.parametrize("status", [s for s in REACHABLE if s is not Status.ACCEPTED])
    async def test_only_an_accepted_row_becomes_queued(self, store: Store, status: Status) -> None:
        notification_id = await brought_to(store, status)

        assert not await mark_queued(store, notification_id)

        assert await status_of(store, notification_id) is status

    async def test_a_fresh_row_is_left_to_its_own_gateway(self, store: Store) -> None:
        await accepted(store)

        assert await store.take_due(10, LEASE) == []
        assert await store.unpublished() == 1

    async def test_what_was_left_behind_is_taken_once_and_oldest_first(
        self, address: Address, other: Store
    ) -> None:
        store = open_store(address.url, grace=-1.0)
        made = [notification(f"m{number}") for number in range(30)]
        for each in made:
            await store.accept(event(each.message_id, each))
        await mark_queued(store, made[0].notification_id)

        first = await store.take_due(10, LEASE)
        rest = await asyncio.gather(store.take_due(50, LEASE), other.take_due(50, LEASE))

        await store.close()
        assert first == made[1:11]
        assert sorted([*rest[0], *rest[1]], key=lambda n: n.notification_id) == made[11:]

    async def test_what_was_taken_is_due_again_after_its_lease(self, address: Address) -> None:
        store = open_store(address.url, grace=-1.0)
        notification_id = await accepted(store)
        await store.take_due(10, -1.0)

        again = await store.take_due(10, LEASE)

        await store.close()
        assert [taken.notification_id for taken in again] == [notification_id]

    async def test_unfinished_walks_what_a_broker_should_hold(self, store: Store) -> None:
        ids = {status: await brought_to(store, status, f"m_{status}") for status in REACHABLE}
        held = [ids[s] for s in REACHABLE if s in _HELD]
        seen: list[str] = []

        while page := await store.unfinished(seen[-1] if seen else "", 2):
            seen += [each.notification_id for each in page]

        assert seen == sorted(held)

    async def test_oldest_queued_tells_each_lane_that_has_one(
        self, store: Store, address: Address
    ) -> None:
        old = await accepted(store, "m1", priority=Priority.HIGH)
        young = await accepted(store, "m2", priority=Priority.HIGH)
        push = await accepted(store, "m3", channel=Channel.PUSH)
        for notification_id in (old, young, push):
            await mark_queued(store, notification_id)
        backdate(address, "queued_at", old)

        ages = await store.oldest_queued()

        assert set(ages) == {
            Lane(Channel.EMAIL, Priority.HIGH),
            Lane(Channel.PUSH, Priority.NORMAL),
        }
        assert ages[Lane(Channel.EMAIL, Priority.HIGH)] > 86400
        assert 0 <= ages[Lane(Channel.PUSH, Priority.NORMAL)] < 3600

    # -- claim

    @pytest.mark.parametrize("status", REACHABLE)
    async def test_a_claim_is_granted_where_sending_may_follow(
        self, store: Store, status: Status
    ) -> None:
        notification_id = await brought_to(store, status)

        claim = await store.claim(notification_id, worker="w2", lease=LEASE)

        allowed = Status.SENDING in TRANSITIONS[status]
        assert (claim.verdict is Verdict.CLAIMED) is allowed
        if not allowed:
            expected = Verdict.LEASED if status is Status.SENDING else Verdict.FINISHED
            assert claim.verdict is expected
            assert await status_of(store, notification_id) is status

    async def test_a_claim_tells_its_attempt_and_the_attempts_spent(self, store: Store) -> None:
        notification_id = await accepted(store)
        await store.claim(notification_id, worker="w1", lease=LEASE)
        await store.record(outcome(notification_id, 1, Status.RETRYING))
        await store.claim(notification_id, worker="w1", lease=LEASE)
        await store.record(outcome(notification_id, 2, Status.RETRYING, spent=False))

        claim = await store.claim(notification_id, worker="w1", lease=LEASE)

        assert (claim.attempt, claim.failures) == (3, 1)

    async def test_a_retry_is_claimed_when_it_is_due_and_not_before(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await accepted(store)
        await store.claim(notification_id, worker="w1", lease=LEASE)
        put_off = replace(outcome(notification_id, 1, Status.RETRYING), retry_in=30.0)
        await store.record(put_off)

        early = await store.claim(notification_id, worker="w2", lease=LEASE)
        backdate(address, "lease_until", notification_id)
        due = await store.claim(notification_id, worker="w2", lease=LEASE)

        assert early.verdict is Verdict.LEASED
        assert 0 < early.lease_left <= 30
        assert (due.verdict, due.attempt) == (Verdict.CLAIMED, 2)

    async def test_an_unknown_notification_is_told(self, store: Store) -> None:
        claim = await store.claim(NOBODY, worker="w1", lease=LEASE)

        assert claim.verdict is Verdict.UNKNOWN

    async def test_a_live_lease_is_told_with_what_is_left_of_it(self, store: Store) -> None:
        notification_id = await accepted(store)
        await store.claim(notification_id, worker="w1", lease=LEASE)

        claim = await store.claim(notification_id, worker="w2", lease=LEASE)

        assert claim.verdict is Verdict.LEASED
        assert LEASE / 2 < claim.lease_left <= LEASE

    async def test_of_claims_for_one_row_in_one_batch_one_wins(self, store: Store) -> None:
        notification_id = await accepted(store)

        claims = await asyncio.gather(
            *(store.claim(notification_id, worker=f"w{n}", lease=LEASE) for n in range(5))
        )

        assert Counter(claim.verdict for claim in claims) == {
            Verdict.CLAIMED: 1,
            Verdict.LEASED: 4,
        }

    async def test_a_dead_lease_is_claimed_in_doubt_with_the_crash_on_record(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await accepted(store)
        await store.claim(notification_id, worker="w1", lease=LEASE)
        backdate(address, "lease_until", notification_id)

        claim = await store.claim(notification_id, worker="w2", lease=LEASE)

        history = await store.get(notification_id)
        assert (claim.verdict, claim.attempt, claim.failures) == (Verdict.CLAIMED, 2, 1)
        assert history is not None
        (crashed,) = history.attempts
        assert (crashed.attempt, crashed.status, crashed.reason, crashed.duration_ms) == (
            1,
            Status.IN_DOUBT,
            Reason.CRASHED,
            None,
        )
        assert [entry.status for entry in history.timeline] == [
            Status.ACCEPTED,
            Status.SENDING,
            Status.IN_DOUBT,
            Status.SENDING,
        ]

    @pytest.mark.parametrize("lease_is_over", [False, True])
    @pytest.mark.parametrize("on_doubt", OnDoubt)
    async def test_a_claim_whose_answer_was_lost_is_found_again(
        self, store: Store, address: Address, on_doubt: OnDoubt, lease_is_over: bool
    ) -> None:
        made = notification(on_doubt=on_doubt)
        await store.accept(event("m1", made))
        first = await store.claim(made.notification_id, worker="w1", lease=1.0)
        if lease_is_over:
            backdate(address, "lease_until", made.notification_id)

        again = await store.claim(made.notification_id, worker="w1", lease=LEASE)

        history = await store.get(made.notification_id)
        assert again == replace(first, lease_left=again.lease_left)
        assert again.lease_left > LEASE / 2
        assert history is not None
        assert history.attempts == ()
        assert [entry.status for entry in history.timeline] == [Status.ACCEPTED, Status.SENDING]

    async def test_a_claim_after_a_crash_is_found_again_as_it_was(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await accepted(store)
        await store.claim(notification_id, worker="w1", lease=LEASE)
        backdate(address, "lease_until", notification_id)
        second = await store.claim(notification_id, worker="w2", lease=LEASE)

        again = await store.claim(notification_id, worker="w2", lease=LEASE)

        history = await store.get(notification_id)
        assert (again.verdict, again.attempt, again.failures) == (Verdict.CLAIMED, 2, 1)
        assert second.attempt == again.attempt
        assert history is not None
        assert [attempt.attempt for attempt in history.attempts] == [1]

    async def test_a_claim_that_has_its_outcome_is_not_found_again(self, store: Store) -> None:
        notification_id = await accepted(store)
        await store.claim(notification_id, worker="w1", lease=LEASE)
        await store.record(outcome(notification_id, 1, Status.SENT))

        claim = await store.claim(notification_id, worker="w1", lease=LEASE)

        assert claim.verdict is Verdict.FINISHED

    async def test_a_lease_ends_by_itself(self, store: Store) -> None:
        notification_id = await accepted(store)
        await store.claim(notification_id, worker="w1", lease=0.02)

        claim = await store.claim(notification_id, worker="w2", lease=LEASE)
        while claim.verdict is Verdict.LEASED:
            claim = await store.claim(notification_id, worker="w2", lease=LEASE)

        assert (claim.verdict, claim.failures) == (Verdict.CLAIMED, 1)

    async def test_each_of_500_rows_is_claimed_by_one_of_two_processes(
        self, store: Store, other: Store
    ) -> None:
        made = [notification(f"m{number}") for number in range(500)]
        await asyncio.gather(*(store.accept(event(each.message_id, each)) for each in made))

        claims = await asyncio.gather(
            *(
                each.claim(row.notification_id, worker=worker, lease=LEASE)
                for row in made
                for each, worker in ((store, "w1"), (other, "w2"))
            )
        )

        verdicts = [{claims[i].verdict, claims[i + 1].verdict} for i in range(0, 1000, 2)]
        assert verdicts == [{Verdict.CLAIMED, Verdict.LEASED}] * 500

    # -- record

    @pytest.mark.parametrize("target", OUTCOMES)
    @pytest.mark.parametrize("status", REACHABLE)
    async def test_an_outcome_is_written_only_over_its_own_claim(
        self, store: Store, status: Status, target: Status
    ) -> None:
        notification_id = await brought_to(store, status)
        history = await store.get(notification_id)
        assert history is not None
        # an outcome that was written before, or that no claim preceded
        attempt = history.record.attempt

        applied = await store.record(outcome(notification_id, attempt, target))

        stands = status is Status.SENDING or status is target
        assert applied is stands
        assert await status_of(store, notification_id) is (target if stands else status)

    async def test_an_outcome_written_again_by_its_worker_stands_and_counts_once(
        self, store: Store
    ) -> None:
        notification_id = await brought_to(store, Status.SENDING)
        made = outcome(notification_id, 1, Status.RETRYING)

        answers = [await store.record(made), await store.record(made)]

        history = await store.get(notification_id)
        assert answers == [True, True]
        assert history is not None
        assert (len(history.attempts), history.record.failures) == (1, 1)

    async def test_the_outcome_of_an_older_attempt_is_refused(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await brought_to(store, Status.SENDING)
        backdate(address, "lease_until", notification_id)
        await store.claim(notification_id, worker="w2", lease=LEASE)

        late = await store.record(outcome(notification_id, 1, Status.SENT))

        assert not late
        assert await status_of(store, notification_id) is Status.SENDING
        assert await store.record(outcome(notification_id, 2, Status.SENT))

    async def test_an_outcome_is_kept_with_the_vendors_words(self, store: Store) -> None:
        notification_id = await brought_to(store, Status.SENDING)

        await store.record(outcome(notification_id, 1, Status.FAILED, retry_in=None))

        history = await store.get(notification_id)
        assert history is not None
        (attempt,) = history.attempts
        for record in (attempt, history.record):
            assert record.reason is Reason.PROVIDER_DOWN
            assert (record.provider, record.provider_code) == ("fake", "503")
            assert record.provider_text == "try later"
        assert attempt.duration_ms == 12.5
        assert attempt.started_at <= attempt.finished_at

    @pytest.mark.parametrize(
        ("status", "spent", "failures"),
        [
            (Status.SENT, True, 0),
            (Status.RETRYING, True, 1),
            (Status.RETRYING, False, 0),
            (Status.FAILED, True, 1),
        ],
    )
    async def test_a_spent_attempt_counts_unless_it_was_sent(
        self, store: Store, status: Status, spent: bool, failures: int
    ) -> None:
        notification_id = await brought_to(store, Status.SENDING)

        await store.record(outcome(notification_id, 1, status, spent=spent))

        history = await store.get(notification_id)
        assert history is not None
        assert history.record.failures == failures

    @pytest.mark.parametrize("status", sorted(set(Status) - set(OUTCOMES)))
    async def test_an_attempt_cannot_end_otherwise(self, store: Store, status: Status) -> None:
        with pytest.raises(ValueError, match=status):
            await store.record(outcome(NOBODY, 1, status))

    async def test_an_outcome_that_cannot_be_held_takes_no_other_with_it(
        self, store: Store
    ) -> None:
        ids = [await brought_to(store, Status.SENDING, f"m{number}") for number in range(5)]
        words = ["fine", "fine", "a lone \ud800", "fine", "fine"]

        answers = await asyncio.gather(
            *(
                store.record(outcome(each, 1, Status.FAILED, provider_text=text))
                for each, text in zip(ids, words, strict=True)
            ),
            return_exceptions=True,
        )

        assert [type(answer) for answer in answers] == [bool, bool, RowRefused, bool, bool]

    # -- give up

    @pytest.mark.parametrize("status", REACHABLE)
    async def test_giving_up_is_for_what_no_worker_holds(
        self, store: Store, status: Status
    ) -> None:
        notification_id = await brought_to(store, status)

        given_up = await store.give_up(notification_id, Reason.TEMPLATE_ERROR, "no such name")

        held = status is Status.SENDING or Status.FAILED not in TRANSITIONS[status]
        assert given_up is not held
        assert await status_of(store, notification_id) is (status if held else Status.FAILED)

    async def test_what_was_given_up_says_why(self, store: Store) -> None:
        notification_id = await accepted(store)

        await store.give_up(notification_id, Reason.TEMPLATE_ERROR, "no such name")

        history = await store.get(notification_id)
        assert history is not None
        assert history.record.reason is Reason.TEMPLATE_ERROR
        assert history.timeline[-1].status is Status.FAILED
        assert history.timeline[-1].detail == {"reason": "template_error", "text": "no such name"}

    async def test_giving_up_a_dead_lease_keeps_the_crash_on_record(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await brought_to(store, Status.SENDING)
        backdate(address, "lease_until", notification_id)

        given_up = await store.give_up(notification_id, Reason.TEMPLATE_ERROR, "no such name")

        history = await store.get(notification_id)
        assert given_up
        assert history is not None
        assert [attempt.reason for attempt in history.attempts] == [Reason.CRASHED]
        assert [entry.status for entry in history.timeline][-2:] == [
            Status.IN_DOUBT,
            Status.FAILED,
        ]

    # -- reading

    async def test_a_timeline_tells_all_in_order(self, store: Store) -> None:
        notification_id = await brought_to(store, Status.RETRYING)
        await store.claim(notification_id, worker="w1", lease=LEASE)
        await store.record(outcome(notification_id, 2, Status.SENT))

        history = await store.get(notification_id)

        assert history is not None
        assert [entry.status for entry in history.timeline] == [
            Status.ACCEPTED,
            Status.QUEUED,
            Status.SENDING,
            Status.RETRYING,
            Status.SENDING,
            Status.SENT,
        ]
        assert history.timeline[3].detail == {
            "attempt": 1,
            "reason": "provider_down",
            "provider": "fake",
            "code": "503",
            "text": "try later",
            "duration_ms": 12.5,
            "retry_in": 0.0,
        }
        moments = [entry.at for entry in history.timeline]
        assert moments == sorted(moments)

    async def test_nobody_has_no_history(self, store: Store) -> None:
        assert await store.get(NOBODY) is None

    async def test_what_cannot_be_held_is_not_found(self, store: Store) -> None:
        await accepted(store)

        assert await store.get("a lone \ud800") is None
        assert (await store.find(Query(user="a lone \ud800"), limit=5)).records == ()
        assert (await store.find(Query(user="a NUL \x00"), limit=5)).records == ()

    @pytest.mark.parametrize("query", [Query(), Query(channel=Channel.EMAIL)])
    async def test_pages_neither_skip_nor_repeat_while_rows_come_in(
        self, store: Store, query: Query
    ) -> None:
        before = [await accepted(store, f"m{number}") for number in range(25)]
        seen: list[str] = []
        cursor = None

        for number in range(100):
            page = await store.find(query, limit=4, cursor=cursor)
            seen += [record.notification.notification_id for record in page.records]
            await accepted(store, f"late{number}")
            cursor = page.cursor
            if cursor is None:
                break

        assert seen == sorted(before, reverse=True)

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (Query(producer="shop"), {"a", "b", "c"}),
            (Query(producer="billing"), {"d"}),
            (Query(status=Status.QUEUED), {"b"}),
            (Query(channel=Channel.PUSH), {"b", "d"}),
            (Query(priority=Priority.LOW), {"c"}),
            (Query(user="user_2"), {"c"}),
            (Query(template="otp"), {"a"}),
            (Query(message_id="a"), {"a"}),
            (Query(channel=Channel.PUSH, producer="shop", status=Status.QUEUED), {"b"}),
            (Query(status=Status.FAILED), set()),
        ],
    )
    async def test_every_filter_narrows(
        self, store: Store, query: Query, expected: set[str]
    ) -> None:
        await accepted(store, "a", template_id="otp")
        b = await accepted(store, "b", channel=Channel.PUSH)
        await mark_queued(store, b)
        await accepted(store, "c", priority=Priority.LOW, target_user_id="user_2")
        await store.accept(event("d", notification("d", channel=Channel.PUSH), producer="billing"))

        page = await store.find(query, limit=10)

        assert {record.notification.message_id for record in page.records} == expected
        assert page.cursor is None

    async def test_since_compares_with_the_moment_of_acceptance(self, store: Store) -> None:
        ids = [await accepted(store, f"m{number}") for number in range(3)]
        history = await store.get(ids[1])
        assert history is not None
        moment = history.record.created_at

        page = await store.find(Query(since=moment), limit=10)
        later = await store.find(Query(since=moment + timedelta(days=1)), limit=10)

        found = [record.notification.notification_id for record in page.records]
        assert found[:2] == [ids[2], ids[1]]
        assert later.records == ()

    @pytest.mark.parametrize("cursor", ["", "nonsense", "notif_", "notif_\x00", "notif_' OR 1=1"])
    async def test_a_cursor_that_no_page_gave_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(ValueError, match=re.escape("not a cursor")):
            await store.find(Query(), limit=1, cursor=cursor)

    async def test_closing_writes_what_is_under_way(self, address: Address, other: Store) -> None:
        store = open_store(address.url)
        writes = [asyncio.create_task(store.accept(event(f"m{n}"))) for n in range(20)]
        await asyncio.sleep(0)  # each has handed its row in

        await store.close()

        assert len(await asyncio.gather(*writes)) == 20
        assert await other.unpublished() == 20


_HELD = {Status.QUEUED, Status.RETRYING, Status.IN_DOUBT, Status.SENDING}
