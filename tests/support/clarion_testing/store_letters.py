"""What every store must do with dead letters: find, count, replay and discard them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from clarion.notification import Channel, OnDoubt, Reason, Status
from clarion.receipt import Fact
from clarion.store.base import ReceiptResult, Verdict
from clarion.store.letters import DeadGroup, DeadLetterStore, DeadQuery, Replay
from clarion_testing.marking import mark_queued
from clarion_testing.store_contract import (
    LEASE,
    NOBODY,
    REACHABLE,
    Address,
    accepted,
    backdate,
    brought_to,
    outcome,
    status_of,
)
from clarion_testing.store_receipts import receipt

EVERYTHING = DeadQuery()


async def dead(store: DeadLetterStore, message_id: str = "m1", **changes: object) -> str:
    """Return the id of a notification that the provider `fake` refused."""
    notification_id = await accepted(store, message_id, **changes)
    await mark_queued(store, notification_id)
    await store.claim(notification_id, worker="w1", lease=LEASE)
    await store.record(outcome(notification_id, 1, Status.FAILED))
    return notification_id


async def held(store: DeadLetterStore, message_id: str = "m1") -> str:
    """Return the id of a notification that nobody knows to be sent, and that is held."""
    notification_id = await accepted(store, message_id, on_doubt=OnDoubt.HOLD)
    await store.claim(notification_id, worker="w1", lease=LEASE)
    await store.record(replace(outcome(notification_id, 1, Status.IN_DOUBT), retry_in=None))
    return notification_id


def again(*ids: str, replay_no: int = 0) -> list[Replay]:
    return [Replay(each, replay_no) for each in ids]


class DeadLetterContract:
    """Holds for every store; the fixtures are those of `StoreContract`."""

    # -- looking

    async def test_dead_letters_that_ended_alike_are_one_group(
        self, store: DeadLetterStore, address: Address
    ) -> None:
        ids = [await dead(store, f"m{number}") for number in range(3)]
        await dead(store, "push", channel=Channel.PUSH)
        await held(store, "held")
        await brought_to(store, Status.RETRYING, "retrying")
        backdate(address, "dead_at", ids[1])

        found = await store.dead_groups(EVERYTHING)

        largest = found.groups[0]
        assert found.complete
        assert [(group.channel, group.status, group.count) for group in found.groups] == [
            (Channel.EMAIL, Status.FAILED, 3),
            (Channel.EMAIL, Status.IN_DOUBT, 1),
            (Channel.PUSH, Status.FAILED, 1),
        ]
        assert largest == DeadGroup(
            channel=Channel.EMAIL,
            status=Status.FAILED,
            reason=Reason.PROVIDER_DOWN,
            template_id="welcome",
            provider="fake",
            provider_code="503",
            count=3,
            oldest=datetime(2020, 1, 1, tzinfo=UTC),
            newest=largest.newest,
        )
        assert abs(largest.newest - datetime.now(UTC)) < timedelta(minutes=5)

    async def test_they_are_counted_by_channel(self, store: DeadLetterStore) -> None:
        await dead(store, "m1")
        await dead(store, "m2", channel=Channel.PUSH)

        assert await store.dead_by_channel() == {
            Channel.EMAIL: 1,
            Channel.WHATSAPP: 0,
            Channel.PUSH: 1,
        }

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            (DeadQuery(), ["plain", "push", "otp", "held", "old"]),
            (DeadQuery(channel=Channel.PUSH), ["push"]),
            (DeadQuery(status=Status.IN_DOUBT), ["held"]),
            (DeadQuery(reason=Reason.PROVIDER_DOWN, status=Status.FAILED, template="otp"), ["otp"]),
            (DeadQuery(reason=Reason.SPAM), []),
            (DeadQuery(provider_code="503", until=datetime(2021, 1, 1, tzinfo=UTC)), ["old"]),
            (
                DeadQuery(since=datetime(2021, 1, 1, tzinfo=UTC), template="welcome"),
                ["plain", "push", "held"],
            ),
            (DeadQuery(producer="shop", template="welcome"), ["plain", "push", "held", "old"]),
            (DeadQuery(producer="nobody"), []),
        ],
    )
    async def test_a_query_narrows_every_way_of_looking(
        self, store: DeadLetterStore, address: Address, query: DeadQuery, found: list[str]
    ) -> None:
        ids = {
            "plain": await dead(store, "m1"),
            "push": await dead(store, "m2", channel=Channel.PUSH),
            "otp": await dead(store, "m3", template_id="otp"),
            "held": await held(store, "m4"),
            "old": await dead(store, "m5"),
        }
        backdate(address, "dead_at", ids["old"])
        wanted = [ids[name] for name in found]

        page = await store.find_dead(query, limit=10)
        following = await store.next_dead(query, after="", limit=10)
        groups = await store.dead_groups(query)

        assert [each.notification.notification_id for each in page.records] == wanted[::-1]
        assert [each.notification.notification_id for each in following] == wanted
        assert sum(group.count for group in groups.groups) == len(wanted)
        assert await store.count_dead(query) == len(wanted)

    async def test_pages_and_walks_go_on_where_they_stopped(self, store: DeadLetterStore) -> None:
        ids = [await dead(store, f"m{number}") for number in range(5)]

        first = await store.find_dead(EVERYTHING, limit=3)
        rest = await store.find_dead(EVERYTHING, limit=3, cursor=first.cursor)
        walk = await store.next_dead(EVERYTHING, after=ids[1], limit=2)

        seen = [each.notification.notification_id for each in (*first.records, *rest.records)]
        assert seen == ids[::-1]
        assert rest.cursor is None
        assert [each.notification.notification_id for each in walk] == ids[2:4]
        assert await store.count_dead(EVERYTHING, after=ids[1]) == 3
        with pytest.raises(ValueError, match="cursor"):
            await store.find_dead(EVERYTHING, limit=3, cursor="x' OR 1=1")

    async def test_records_are_found_by_id_whatever_their_status(
        self, store: DeadLetterStore
    ) -> None:
        one, two = await dead(store, "m1"), await accepted(store, "m2")

        found = await store.records([one, two, NOBODY])

        assert {each: record.status for each, record in found.items()} == {
            one: Status.FAILED,
            two: Status.ACCEPTED,
        }

    # -- replay

    async def test_a_replayed_letter_is_published_again_with_its_attempts_renewed(
        self, store: DeadLetterStore
    ) -> None:
        notification_id = await dead(store)

        due = await store.replay(again(notification_id), by="ops")
        taken = await store.take_due(10, LEASE)
        await mark_queued(store, notification_id)
        claim = await store.claim(notification_id, worker="w1", lease=LEASE, replay_no=1)

        assert due[0] is not None
        assert [(each.notification_id, each.replay_no) for each in taken] == [(notification_id, 1)]
        assert (claim.verdict, claim.attempt, claim.failures) == (Verdict.CLAIMED, 2, 0)
        assert await store.count_dead(EVERYTHING) == 0

    async def test_a_confirm_of_the_first_run_does_not_pass_for_one_of_the_second(
        self, store: DeadLetterStore
    ) -> None:
        notification_id = await dead(store)
        await store.replay(again(notification_id), by="ops")

        late = await mark_queued(store, notification_id, replay_no=0)

        assert not late
        assert [each.replay_no for each in await store.take_due(10, LEASE)] == [1]
        assert await mark_queued(store, notification_id, replay_no=1)

    async def test_the_timeline_tells_both_runs_and_who_ordered_the_second(
        self, store: DeadLetterStore
    ) -> None:
        notification_id = await dead(store)
        ordered = replace(again(notification_id)[0], recipient="x@y.test", changed=("recipient",))
        await store.replay([ordered], by="ops")
        await mark_queued(store, notification_id)
        await store.claim(notification_id, worker="w1", lease=LEASE, replay_no=1)
        await store.record(outcome(notification_id, 2, Status.SENT))

        history = await store.get(notification_id)

        assert history is not None
        assert [entry.status for entry in history.timeline] == [
            Status.ACCEPTED,
            Status.QUEUED,
            Status.SENDING,
            Status.FAILED,
            Status.ACCEPTED,
            Status.QUEUED,
            Status.SENDING,
            Status.SENT,
        ]
        assert history.timeline[4].detail == {"replay": 1, "by": "ops", "changed": ["recipient"]}
        assert (history.record.replay_no, history.record.dead_at) == (1, None)

    async def test_what_was_mended_is_sent_and_the_rest_stays_as_it_was(
        self, store: DeadLetterStore
    ) -> None:
        one, two = await dead(store, "m1"), await dead(store, "m2")
        before = await store.records([one, two])
        mended = Replay(
            one,
            0,
            template_id="otp",
            recipient="new@example.test",
            payload={"text": "žluť \N{ROCKET}", "n": [1, 2.5, None, True], "deep": {"a": {}}},
        )

        await store.replay([mended, Replay(two, 0)], by="ops")

        after = await store.records([one, two])
        assert after[one].notification == before[one].notification.model_copy(
            update={
                "template_id": "otp",
                "recipient": "new@example.test",
                "payload": mended.payload,
                "replay_no": 1,
            }
        )
        assert after[two].notification == before[two].notification.model_copy(
            update={"replay_no": 1}
        )
        assert (after[one].status, after[one].reason) == (Status.ACCEPTED, None)

    @pytest.mark.parametrize("status", [s for s in REACHABLE if s is not Status.FAILED])
    async def test_only_a_dead_letter_is_replayed(
        self, store: DeadLetterStore, status: Status
    ) -> None:
        notification_id = await brought_to(store, status)

        assert await store.replay(again(notification_id), by="ops") == [None]

        assert await status_of(store, notification_id) is status

    async def test_what_is_held_in_doubt_may_be_replayed(self, store: DeadLetterStore) -> None:
        notification_id = await held(store)

        due = await store.replay(again(notification_id), by="ops")

        assert due[0] is not None
        assert await status_of(store, notification_id) is Status.ACCEPTED

    async def test_a_letter_that_was_replayed_and_failed_again_is_another_one(
        self, store: DeadLetterStore
    ) -> None:
        notification_id = await dead(store)
        await store.replay(again(notification_id), by="ops")
        await store.give_up(notification_id, Reason.TEMPLATE_ERROR, "again", replay_no=1)

        late = await store.replay(again(notification_id), by="late")
        meant = await store.replay(again(notification_id, replay_no=1), by="ops")

        assert late == [None]
        assert meant != [None]

    async def test_of_replays_at_once_one_is_carried_out(
        self, store: DeadLetterStore, other: DeadLetterStore
    ) -> None:
        ids = [await dead(store, f"m{number}") for number in range(20)]

        answers = await asyncio.gather(
            *(
                each.replay(again(*ids), by="ops", rate=rate)
                for each in (store, other)
                for rate in (None, 100.0)
            )
        )

        for answer in zip(*answers, strict=True):
            assert len([due for due in answer if due is not None]) == 1
        history = await store.get(ids[0])
        assert history is not None
        assert history.record.replay_no == 1

    async def test_an_interrupted_replay_leaves_each_letter_dead_or_accepted(
        self, store: DeadLetterStore, other: DeadLetterStore
    ) -> None:
        ids = [await dead(store, f"m{number}") for number in range(30)]
        running = asyncio.create_task(store.replay(again(*ids), by="ops"))
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

        found = await other.records(ids)
        assert {(each.status, each.dead_at is None) for each in found.values()} in (
            {(Status.FAILED, False)},
            {(Status.ACCEPTED, True)},
        )
        await other.replay(again(*ids), by="ops")
        assert {each.replay_no for each in (await other.records(ids)).values()} == {1}

    async def test_at_a_rate_each_has_its_turn_and_a_repeat_goes_on_after_the_last(
        self, store: DeadLetterStore
    ) -> None:
        ids = [await dead(store, f"m{number}") for number in range(8)]

        first = await store.replay(again(*ids[:4]), by="ops", rate=0.1)
        until = await store.replays_until()
        second = await store.replay(again(*ids[4:]), by="ops", rate=0.1)
        taken = await store.take_due(10, LEASE)

        times = [due.timestamp() for due in (*first, *second) if due is not None]
        steps = [after - before for before, after in pairwise(times)]
        assert until == first[-1]
        assert len(steps) == 7
        assert all(step > 9.0 for step in steps)
        # the first is due at once; those that wait for their turn are no backlog
        assert [each.notification_id for each in taken] == ids[:1]
        assert await store.unpublished() == 0

    async def test_without_a_rate_all_are_due_at_once(self, store: DeadLetterStore) -> None:
        ids = [await dead(store, f"m{number}") for number in range(4)]

        await store.replay(again(*ids), by="ops")

        assert await store.replays_until() is None
        assert len(await store.take_due(10, LEASE)) == 4

    async def test_a_message_from_before_the_replay_is_out_of_date(
        self, store: DeadLetterStore
    ) -> None:
        notification_id = await dead(store)
        await store.replay(again(notification_id), by="ops")

        claim = await store.claim(notification_id, worker="w1", lease=LEASE)
        given_up = await store.give_up(notification_id, Reason.TEMPLATE_ERROR, "old", replay_no=0)

        assert claim.verdict is Verdict.FINISHED
        assert not given_up
        assert await status_of(store, notification_id) is Status.ACCEPTED

    async def test_a_stale_message_beside_the_new_one_changes_nothing(
        self, store: DeadLetterStore
    ) -> None:
        notification_id = await dead(store)
        await store.replay(again(notification_id), by="ops")

        stale, new = await asyncio.gather(
            store.claim(notification_id, worker="w1", lease=LEASE),
            store.claim(notification_id, worker="w2", lease=LEASE, replay_no=1),
        )
        new = (
            new
            if new.verdict is Verdict.CLAIMED
            else await store.claim(notification_id, worker="w2", lease=LEASE, replay_no=1)
        )

        assert stale.verdict is Verdict.FINISHED
        assert new.verdict is Verdict.CLAIMED

    @pytest.mark.parametrize(
        ("fact", "result", "status"),
        [
            (Fact.BOUNCED, ReceiptResult.NOTED, Status.ACCEPTED),
            (Fact.DELIVERED, ReceiptResult.MOVED, Status.DELIVERED),
        ],
    )
    async def test_of_an_earlier_attempt_only_its_arrival_ends_a_replay(
        self, store: DeadLetterStore, fact: Fact, result: ReceiptResult, status: Status
    ) -> None:
        notification_id = await held(store)
        await store.replay(again(notification_id), by="ops")

        told = await store.note_receipts([receipt(notification_id, fact)])

        assert told == [result]
        assert await status_of(store, notification_id) is status

    async def test_nobody_and_nothing_can_be_replayed(self, store: DeadLetterStore) -> None:
        assert await store.replay(again(NOBODY), by="ops") == [None]
        assert await store.replay([], by="ops") == []
        assert await store.discard([], by="ops") == []

    # -- discard

    async def test_a_discarded_letter_stays_failed_and_is_no_more_listed(
        self, store: DeadLetterStore
    ) -> None:
        ids = [await dead(store, "m1"), await held(store, "m2")]
        letters = await store.next_dead(EVERYTHING, after="", limit=10)

        first = await store.discard(letters, by="ops")
        repeat = await store.discard(letters, by="ops")

        assert (first, repeat) == ([True, True], [False, False])
        assert await store.count_dead(EVERYTHING) == 0
        for notification_id, reason in zip(ids, (Reason.PROVIDER_DOWN,) * 2, strict=True):
            history = await store.get(notification_id)
            assert history is not None
            assert (history.record.status, history.record.reason) == (Status.FAILED, reason)
            assert history.timeline[-1].status is Status.FAILED
            assert history.timeline[-1].detail == {"discarded": True, "by": "ops"}

    async def test_what_was_replayed_meanwhile_is_not_discarded(
        self, store: DeadLetterStore
    ) -> None:
        notification_id = await dead(store)
        letters = await store.next_dead(EVERYTHING, after="", limit=10)
        await store.replay(again(notification_id), by="ops")

        assert await store.discard(letters, by="late") == [False]

        assert await status_of(store, notification_id) is Status.ACCEPTED
