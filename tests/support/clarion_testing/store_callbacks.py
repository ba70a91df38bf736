"""What every store must do with callbacks: keep each until it was made, in order."""

from __future__ import annotations

import asyncio

import pytest

from clarion.notification import Status
from clarion.receipt import Fact
from clarion.store.base import Retention
from clarion.store.callbacks import Callback, CallbackStore, Failure
from clarion_testing.store_contract import Address, brought_to
from clarion_testing.store_events import told
from clarion_testing.store_receipts import receipt

LEASE = 60.0


async def relayed(store: CallbackStore) -> None:
    """Let what happened so far become callbacks of `shop`."""
    async with store.telling(1000, calling=["shop"]):
        pass


async def two_changes(store: CallbackStore, message_id: str = "m1") -> str:
    """Return the id of a notification that was sent and delivered, with callbacks for both."""
    notification_id = await brought_to(store, Status.SENT, message_id)
    await store.note_receipts([receipt(notification_id, Fact.DELIVERED)])
    await relayed(store)
    return notification_id


async def take(store: CallbackStore, limit: int = 10, producer: str = "shop") -> list[Callback]:
    return await store.take_callbacks(producer, limit, LEASE)


def due_now(address: Address) -> None:
    address.execute("UPDATE callbacks SET due_at = '2020-01-01 00:00:00.000'")


async def listed(store: CallbackStore, dead: bool | None = None) -> list[Callback]:
    found, _ = await store.find_callbacks(producer=None, dead=dead, limit=100)
    return found


class CallbackContract:
    """Holds for every store; the fixtures are those of `StoreContract`."""

    async def test_a_callback_says_what_was_told(self, store: CallbackStore) -> None:
        notification_id = await brought_to(store, Status.SENT)
        async with store.telling(10, calling=["shop"]) as telling:
            (change,) = telling.events

        (callback,) = await take(store)

        assert callback.event_id == change.event_id
        assert callback.body == change.to_bytes().decode()
        assert (callback.notification_id, callback.attempts) == (notification_id, 1)

    async def test_only_those_who_are_called_have_callbacks(self, store: CallbackStore) -> None:
        await brought_to(store, Status.SENT)
        async with store.telling(10, calling=["billing"]):
            pass

        assert await listed(store) == []

    async def test_an_event_that_is_held_is_called_once_all_the_same(
        self, store: CallbackStore, address: Address
    ) -> None:
        await brought_to(store, Status.SENT)
        async with store.telling(10, calling=["shop"]) as telling:
            telling.held.add(telling.events[0].row)
        (callback,) = await take(store)
        await store.callback_made(callback)
        address.execute("UPDATE status_events SET not_before = '2020-01-01 00:00:00.000'")

        await relayed(store)

        assert await told(store) == []
        assert await listed(store) == []

    async def test_the_second_waits_until_the_first_was_made(self, store: CallbackStore) -> None:
        await two_changes(store)

        (first,) = await take(store)
        meanwhile = await take(store)
        await store.callback_made(first)
        (second,) = await take(store)

        assert meanwhile == []
        assert (first.sequence, second.sequence) == (1, 2)

    async def test_what_was_made_is_forgotten(self, store: CallbackStore) -> None:
        await two_changes(store)
        for _ in range(2):
            (callback,) = await take(store)
            await store.callback_made(callback)

        assert await listed(store) == []

    async def test_one_that_failed_is_due_later_and_those_after_it_wait(
        self, store: CallbackStore, address: Address
    ) -> None:
        await two_changes(store)
        (first,) = await take(store)
        await store.callback_failed(Failure(first, "answered 500", 30.0))

        meanwhile = await take(store)
        waiting = await listed(store, dead=False)
        due_now(address)
        (again,) = await take(store)

        assert meanwhile == []
        assert [each.last_error for each in waiting] == ["answered 500", None]
        assert (again.sequence, again.attempts) == (1, 2)

    async def test_what_is_new_waits_for_what_was_put_off(self, store: CallbackStore) -> None:
        notification_id = await brought_to(store, Status.SENT)
        await relayed(store)
        (first,) = await take(store)
        await store.callback_failed(Failure(first, "answered 500", 30.0))
        await store.note_receipts([receipt(notification_id, Fact.DELIVERED)])
        await relayed(store)

        one, two = await listed(store)

        assert await take(store) == []
        assert two.due_at >= one.due_at

    async def test_one_notifications_failure_is_not_anothers(self, store: CallbackStore) -> None:
        await two_changes(store, "m1")
        (first,) = await take(store)
        await store.callback_failed(Failure(first, "answered 500", 30.0))
        other = await two_changes(store, "m2")

        (callback,) = await take(store)

        assert callback.notification_id == other

    async def test_one_that_is_given_up_lets_the_next_go(self, store: CallbackStore) -> None:
        await two_changes(store)
        (first,) = await take(store)
        await store.callback_failed(Failure(first, "answered 410", None))

        (second,) = await take(store)
        (dead,) = await listed(store, dead=True)

        assert second.sequence == 2
        assert (dead.sequence, dead.last_error) == (1, "answered 410")
        assert dead.dead_at is not None

    async def test_a_callback_is_taken_by_one_of_two(
        self, store: CallbackStore, other: CallbackStore
    ) -> None:
        for number in range(10):
            await two_changes(store, f"m{number}")

        taken = await asyncio.gather(*(take(each, 3) for each in [store, other] * 3))

        keys = [(each.notification_id, each.sequence) for some in taken for each in some]
        assert len(keys) == len(set(keys))
        assert {sequence for _, sequence in keys} == {1}

    async def test_one_whose_gateway_died_comes_again(
        self, store: CallbackStore, address: Address
    ) -> None:
        await two_changes(store)
        (first,) = await take(store)
        due_now(address)

        (again,) = await take(store)

        assert again.event_id == first.event_id
        assert again.attempts == 2

    async def test_who_was_too_slow_puts_off_nothing(
        self, store: CallbackStore, address: Address
    ) -> None:
        await two_changes(store)
        (first,) = await take(store)
        due_now(address)
        await take(store)

        await store.callback_failed(Failure(first, "no answer", None))

        assert await listed(store, dead=True) == []

    async def test_how_long_it_has_failed_counts_from_the_first_call(
        self, store: CallbackStore, address: Address
    ) -> None:
        await two_changes(store)
        (first,) = await take(store)
        address.execute("UPDATE callbacks SET first_at = '2020-01-01 00:00:00.000'")
        due_now(address)

        (again,) = await take(store)

        assert first.failing < 3600
        assert again.failing > 86_400

    @pytest.mark.parametrize("by", ["ids", "producer"])
    async def test_a_replay_makes_what_was_given_up_due_again(
        self, store: CallbackStore, by: str
    ) -> None:
        await two_changes(store)
        (first,) = await take(store)
        await store.callback_failed(Failure(first, "answered 410", None))
        key = (first.notification_id, first.sequence)

        replayed = await store.replay_callbacks(
            keys=[key] if by == "ids" else None,
            producer="shop" if by == "producer" else None,
            limit=10,
        )
        again = await take(store)

        assert replayed == 1
        assert [(each.sequence, each.attempts) for each in again] == [(1, 1)]
        assert await store.replay_callbacks(keys=[key], producer=None, limit=10) == 0

    async def test_a_listing_is_narrowed_and_paged(self, store: CallbackStore) -> None:
        ids = [await two_changes(store, f"m{number}") for number in range(3)]

        page, cursor = await store.find_callbacks(producer="shop", dead=False, limit=4)
        rest, end = await store.find_callbacks(producer="shop", dead=False, limit=4, cursor=cursor)
        nothing, _ = await store.find_callbacks(producer="billing", dead=None, limit=4)

        keys = [(each.notification_id, each.sequence) for each in (*page, *rest)]
        assert keys == [(each, sequence) for each in ids for sequence in (1, 2)]
        assert (end, nothing) == (None, [])
        with pytest.raises(ValueError, match="cursor"):
            await store.find_callbacks(producer=None, dead=None, limit=4, cursor="x")

    async def test_they_are_counted(self, store: CallbackStore) -> None:
        await two_changes(store)
        (first,) = await take(store)
        await store.callback_failed(Failure(first, "answered 410", None))

        counted = await store.count_callbacks(["shop", "billing"])

        assert counted == {
            ("shop", False): 1,
            ("shop", True): 1,
            ("billing", False): 0,
            ("billing", True): 0,
        }

    async def test_they_go_with_their_notification(
        self, store: CallbackStore, address: Address
    ) -> None:
        notification_id = await two_changes(store)
        aged = f"notif_{1 << 80:032x}"
        for table, column in (("notifications", "id"), ("callbacks", "notification_id")):
            address.execute(
                f"UPDATE {table} SET {column} = '{aged}' WHERE {column} = '{notification_id}'"  # noqa: S608
            )
        address.execute("UPDATE notifications SET updated_at = '2020-01-01 00:00:00.000'")

        await store.prune("", Retention(finished=86_400.0, dead=86_400.0), 100)

        assert await listed(store) == []
