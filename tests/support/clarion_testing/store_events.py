"""What every store must do with changes of status: keep each to be told, in order, none missing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from clarion.errors import BrokerUnavailable
from clarion.notification import OnDoubt, Reason, Status
from clarion.receipt import Fact
from clarion.store.base import Verdict
from clarion.store.letters import Replay
from clarion.store.outbox import OutboxStore, StatusEvent
from clarion.suppression import Kind, Suppression
from clarion_testing.marking import mark_queued
from clarion_testing.store_contract import (
    LEASE,
    OUTCOMES,
    Address,
    accepted,
    backdate,
    brought_to,
    event,
    notification,
    outcome,
)
from clarion_testing.store_receipts import receipt


async def told(store: OutboxStore, limit: int = 100) -> list[StatusEvent]:
    """Take everything that is to be told."""
    async with store.telling(limit) as telling:
        return list(telling.events)


def steps(events: list[StatusEvent]) -> list[tuple[int, Status]]:
    return [(each.sequence, each.status) for each in events]


class EventContract:
    """Holds for every store; the fixtures are those of `StoreContract`."""

    # -- what is written down

    async def test_the_steps_within_the_system_are_not_told(self, store: OutboxStore) -> None:
        await brought_to(store, Status.SENDING)

        assert await told(store) == []

    @pytest.mark.parametrize("status", OUTCOMES)
    async def test_an_outcome_is_told_with_its_words(
        self, store: OutboxStore, status: Status
    ) -> None:
        notification_id = await brought_to(store, status)

        (change,) = await told(store)

        made = outcome(notification_id, 1, status)
        assert (change.notification_id, change.sequence) == (notification_id, 1)
        assert (change.status, change.attempt, change.reason) == (status, 1, made.reason)
        assert (change.provider, change.provider_code) == ("fake", made.provider_code)
        assert change.provider_text == made.provider_text
        assert (change.producer, change.message_id) == ("shop", "m1")
        assert change.metadata == {"source": "test"}

    async def test_receipts_and_a_replay_go_on_counting(self, store: OutboxStore) -> None:
        notification_id = await brought_to(store, Status.FAILED)
        await store.replay([Replay(notification_id, 0)], by="op")
        await mark_queued(store, notification_id)
        await store.claim(notification_id, worker="w", lease=LEASE, replay_no=1)
        await store.record(outcome(notification_id, 2, Status.SENT))
        await store.note_receipts([receipt(notification_id, Fact.DELIVERED, attempt=2)])

        assert steps(await told(store)) == [
            (1, Status.FAILED),
            (2, Status.ACCEPTED),
            (3, Status.SENT),
            (4, Status.DELIVERED),
        ]

    async def test_several_changes_in_one_transaction_are_told_in_their_order(
        self, store: OutboxStore
    ) -> None:
        notification_id = await brought_to(store, Status.SENT)

        await store.note_receipts(
            [
                receipt(notification_id, Fact.BOUNCED, 3),
                receipt(notification_id, Fact.DELIVERED, 2),
                receipt(notification_id, Fact.UNDELIVERED, 1),
            ]
        )

        found = await told(store)
        assert [each.sequence for each in found] == list(range(1, len(found) + 1))
        assert found[-1].status is Status.BOUNCED
        assert found[-1].provider_text == "no such user"

    async def test_a_receipt_before_its_outcome_is_told_once(self, store: OutboxStore) -> None:
        notification_id = await brought_to(store, Status.SENDING)
        await store.note_receipts([receipt(notification_id, Fact.DELIVERED)])
        await store.record(outcome(notification_id, 1, Status.SENT))

        assert steps(await told(store)) == [(1, Status.DELIVERED)]

    async def test_what_changes_nothing_is_not_told(self, store: OutboxStore) -> None:
        notification_id = await brought_to(store, Status.SENT)
        await told(store)

        assert not await store.record(outcome(notification_id, 7, Status.FAILED))
        assert not await store.give_up(notification_id, Reason.CRASHED, "too late")
        assert not await store.cancel(notification_id, "shop")
        claim = await store.claim(notification_id, worker="w2", lease=LEASE)
        await store.note_receipts([receipt(notification_id, Fact.PROCESSED)])
        await store.note_receipts([receipt(notification_id, Fact.DEFERRED)])

        assert claim.verdict is Verdict.FINISHED
        assert await told(store) == []

    async def test_one_that_is_given_up_is_told(self, store: OutboxStore) -> None:
        notification_id = await brought_to(store, Status.QUEUED)

        await store.give_up(notification_id, Reason.TEMPLATE_ERROR, "no such variable")

        (change,) = await told(store)
        assert (change.status, change.reason) == (Status.FAILED, Reason.TEMPLATE_ERROR)

    async def test_one_that_is_called_off_is_told(self, store: OutboxStore) -> None:
        notification_id = await brought_to(store, Status.QUEUED)

        await store.cancel(notification_id, "shop")

        assert steps(await told(store)) == [(1, Status.CANCELLED)]

    async def test_one_that_expires_is_told(self, store: OutboxStore, address: Address) -> None:
        notification_id = await brought_to(store, Status.QUEUED)
        backdate(address, "expires_at", notification_id)

        await store.claim(notification_id, worker="w", lease=LEASE)

        (change,) = await told(store)
        assert (change.status, change.reason) == (Status.EXPIRED, Reason.EXPIRED)

    async def test_one_whose_recipient_is_suppressed_is_told(self, store: OutboxStore) -> None:
        made = notification()
        await store.accept(event("m1", made))
        await store.suppress(
            Suppression(
                made.channel,
                made.recipient,
                Kind.FAULT,
                Reason.INVALID_RECIPIENT,
                "op",
                datetime.now(UTC),
            )
        )

        await store.claim(made.notification_id, worker="w", lease=LEASE)

        assert steps(await told(store)) == [(1, Status.SUPPRESSED)]

    async def test_an_attempt_that_its_worker_died_on_is_told(
        self, store: OutboxStore, address: Address
    ) -> None:
        notification_id = await accepted(store, on_doubt=OnDoubt.HOLD)
        await store.claim(notification_id, worker="w", lease=LEASE)
        backdate(address, "lease_until", notification_id)

        await store.claim(notification_id, worker="w2", lease=LEASE)

        (change,) = await told(store)
        assert (change.status, change.reason) == (Status.IN_DOUBT, Reason.CRASHED)

    async def test_one_that_is_held_and_discarded_is_told(self, store: OutboxStore) -> None:
        notification_id = await accepted(store, on_doubt=OnDoubt.HOLD)
        await store.claim(notification_id, worker="w", lease=LEASE)
        await store.record(outcome(notification_id, 1, Status.IN_DOUBT, retry_in=None))
        found = await store.records([notification_id])

        await store.discard([found[notification_id]], by="op")

        assert steps(await told(store)) == [(1, Status.IN_DOUBT), (2, Status.FAILED)]

    async def test_a_scheduled_one_is_told_when_its_time_has_come(
        self, store: OutboxStore, address: Address
    ) -> None:
        made = notification(send_at=datetime.now(UTC) + timedelta(days=1))
        await store.accept(event("m1", made, status=Status.SCHEDULED))
        backdate(address, "publish_at", made.notification_id)

        await store.take_due(10, LEASE)

        assert steps(await told(store)) == [(1, Status.ACCEPTED)]

    async def test_nothing_is_written_down_where_nobody_wants_to_hear(
        self, store: OutboxStore
    ) -> None:
        made = notification()
        await store.accept(event("m1", made, told=False))
        await store.claim(made.notification_id, worker="w", lease=LEASE)
        await store.record(outcome(made.notification_id, 1, Status.SENT))

        assert await told(store) == []

    # -- telling

    async def test_what_a_relay_could_not_tell_comes_again_under_its_id(
        self, store: OutboxStore
    ) -> None:
        await brought_to(store, Status.SENT)
        first: list[StatusEvent] = []

        async def cannot() -> None:
            async with store.telling(10) as telling:
                first.extend(telling.events)
                raise BrokerUnavailable("the broker went away")

        with pytest.raises(BrokerUnavailable):
            await cannot()

        again = await told(store)
        assert again == first
        assert [each.event_id for each in again] == [first[0].event_id]
        assert await told(store) == []

    async def test_what_is_held_comes_again_when_its_time_has_come(
        self, store: OutboxStore, address: Address
    ) -> None:
        held = await brought_to(store, Status.SENT, "m1")
        await brought_to(store, Status.SENT, "m2")
        async with store.telling(10) as telling:
            telling.held.add(telling.events[0].row)

        before = await told(store)
        address.execute("UPDATE status_events SET not_before = '2020-01-01 00:00:00.000'")
        after = await told(store)

        assert before == []
        assert [each.notification_id for each in after] == [held]

    async def test_the_oldest_are_told_first(self, store: OutboxStore) -> None:
        ids = [await brought_to(store, Status.SENT, f"m{number}") for number in range(3)]

        first, second = await told(store, 2), await told(store, 2)

        assert [each.notification_id for each in (*first, *second)] == ids

    async def test_what_was_deleted_meanwhile_is_not_told_and_holds_nothing_up(
        self, store: OutboxStore, address: Address
    ) -> None:
        await brought_to(store, Status.SENT, "m1")
        address.execute("DELETE FROM notifications")
        other = await brought_to(store, Status.SENT, "m2")

        first, second = await told(store, 1), await told(store, 1)

        assert first == []
        assert [each.notification_id for each in second] == [other]

    async def test_the_age_of_the_oldest_is_known(
        self, store: OutboxStore, address: Address
    ) -> None:
        nothing = await store.oldest_event()
        await brought_to(store, Status.SENT)
        address.execute("UPDATE status_events SET at = '2020-01-01 00:00:00.000'")

        age = await store.oldest_event()

        assert nothing is None
        assert age is not None
        assert age > 86_400

    async def test_what_is_told_names_no_recipient(self, store: OutboxStore) -> None:
        made = notification()
        await store.accept(event("m1", made))
        await store.claim(made.notification_id, worker="w", lease=LEASE)
        words = f"550 <{made.recipient}> no such user"
        await store.record(outcome(made.notification_id, 1, Status.FAILED, provider_text=words))

        (change,) = await told(store)

        body = json.loads(change.to_bytes())
        assert body["id"] == change.event_id
        assert body["type"] == "notification.failed"
        assert body["text"] == "550 <***> no such user"
        assert made.recipient not in change.to_bytes().decode()
        assert "payload" not in body
