"""What every store must remember of who wrote to us, and of what providers are asked about."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from clarion.inbound import Inbound, Wish
from clarion.notification import Channel, Reason, Status
from clarion.receipt import Fact
from clarion.store import open_store
from clarion.store.base import Retention, Store
from clarion.store.dialogue import Silent
from clarion.store.hearing import KEPT_SECONDS
from clarion.store.retention import sweep
from clarion.suppression import Kind, Suppression
from clarion_testing.store_contract import LEASE, LONG_AGO, Address, accepted, outcome
from clarion_testing.store_receipts import receipt

DAY = 86_400.0
HOUR = 3600.0
ANN = "+4915200000001"
BOB = "+4915200000002"

_keys = count()


def inbound(wish: Wish | None = None, **changes: Any) -> Inbound:
    """Return a new message of Ann's."""
    made = Inbound(f"fake/{next(_keys)}", Channel.WHATSAPP, ANN, "fake inbound", wish)
    return replace(made, **changes)


def ago(seconds: float) -> str:
    """Return a moment as SQL writes it; the database's clock is this machine's."""
    return f"'{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S.%f}'"[:-4] + "'"


def wrote(address: Address, seconds: float) -> None:
    """Let all that was written be so old."""
    address.execute(f"UPDATE inbound SET at = {ago(seconds)}")  # noqa: S608


async def wishes(store: Store) -> list[tuple[str, Kind, Reason, str]]:
    page, _ = await store.suppressions(channel=Channel.WHATSAPP, limit=100)
    return [(one.address, one.kind, one.reason, one.source) for one in page]


async def sent(store: Store, address: Address, age: float, message_id: str = "m1") -> str:
    """Return the id of a WhatsApp message that was sent so many seconds ago."""
    notification_id = await accepted(store, message_id, channel=Channel.WHATSAPP, recipient=ANN)
    await store.claim(notification_id, worker="w1", lease=LEASE)
    told = outcome(notification_id, 1, Status.SENT, provider_message_id=f"SM_{message_id}")
    assert await store.record(told)
    grow_old(address, notification_id, age)
    return notification_id


def grow_old(address: Address, notification_id: str, age: float) -> None:
    address.execute(
        f"UPDATE notifications SET updated_at = {ago(age)} WHERE id = '{notification_id}'"  # noqa: S608
    )


async def take(store: Store, *, after: float = HOUR, limit: int = 10) -> list[Silent]:
    return await store.take_silent(
        Channel.WHATSAPP, "fake", after=after, until=3 * DAY, limit=limit
    )


def make_due(address: Address) -> None:
    """Let the time of every next inquiry come, where there is one."""
    address.execute(f"UPDATE inquiries SET next_at = {LONG_AGO} WHERE next_at IS NOT NULL")  # noqa: S608


class InboundContract:
    """Holds for every store; the fixtures are those of `StoreContract`."""

    async def test_who_never_wrote_has_no_window(self, store: Store) -> None:
        assert not await store.wrote_within(Channel.WHATSAPP, ANN, DAY)

    async def test_a_message_opens_the_window_of_its_number_alone(self, store: Store) -> None:
        assert await store.note_inbound(inbound())

        answers = await asyncio.gather(
            store.wrote_within(Channel.WHATSAPP, ANN, DAY),
            store.wrote_within(Channel.WHATSAPP, BOB, DAY),
            store.wrote_within(Channel.EMAIL, ANN, DAY),
        )
        assert list(answers) == [True, False, False]

    async def test_the_window_closes_after_a_day_by_the_stores_clock(
        self, store: Store, address: Address
    ) -> None:
        await store.note_inbound(inbound())

        wrote(address, DAY - 60)
        before = await store.wrote_within(Channel.WHATSAPP, ANN, DAY)
        wrote(address, DAY + 0.001)
        after = await store.wrote_within(Channel.WHATSAPP, ANN, DAY)

        assert (before, after) == (True, False)

    async def test_a_later_message_opens_it_again(self, store: Store, address: Address) -> None:
        await store.note_inbound(inbound())
        wrote(address, DAY + 1)

        assert await store.note_inbound(inbound())

        assert await store.wrote_within(Channel.WHATSAPP, ANN, DAY)

    async def test_the_same_message_told_again_extends_nothing(
        self, store: Store, address: Address
    ) -> None:
        first = inbound()
        await store.note_inbound(first)
        wrote(address, DAY + 1)

        assert not await store.note_inbound(first)

        assert not await store.wrote_within(Channel.WHATSAPP, ANN, DAY)

    async def test_one_told_twice_at_once_counts_once(self, address: Address) -> None:
        first, second = open_store(address.url), open_store(address.url)
        told = inbound(Wish.STOP)
        try:
            new = await asyncio.gather(first.note_inbound(told), second.note_inbound(told))
            found = await wishes(first)
        finally:
            await first.close()
            await second.close()

        assert sorted(new) == [False, True]
        assert len(found) == 1

    async def test_stop_suppresses_and_opens_the_window_all_the_same(self, store: Store) -> None:
        await store.note_inbound(inbound(Wish.STOP))

        assert await wishes(store) == [(ANN, Kind.WISH, Reason.UNSUBSCRIBED, "fake inbound")]
        assert await store.wrote_within(Channel.WHATSAPP, ANN, DAY)

    async def test_start_takes_stop_back_and_no_fault(self, store: Store) -> None:
        await store.note_inbound(inbound(Wish.STOP))
        await store.note_inbound(inbound(Wish.STOP, address=BOB))
        await store.suppress(_suppression(Kind.FAULT, Reason.UNREACHABLE))

        await store.note_inbound(inbound(Wish.START))

        assert await wishes(store) == [
            (ANN, Kind.FAULT, Reason.UNREACHABLE, "test"),
            (BOB, Kind.WISH, Reason.UNSUBSCRIBED, "fake inbound"),
        ]

    async def test_start_leaves_what_an_operator_said(self, store: Store) -> None:
        await store.suppress(_suppression(Kind.WISH, Reason.SUPPRESSED))

        await store.note_inbound(inbound(Wish.START))

        assert await wishes(store) == [(ANN, Kind.WISH, Reason.SUPPRESSED, "test")]

    async def test_a_stop_that_is_told_again_does_not_undo_the_start_after_it(
        self, store: Store
    ) -> None:
        stop = inbound(Wish.STOP)
        await store.note_inbound(stop)
        await store.note_inbound(inbound(Wish.START))

        assert not await store.note_inbound(stop)

        assert await wishes(store) == []

    async def test_what_nobody_needs_any_more_is_forgotten(
        self, store: Store, address: Address
    ) -> None:
        old = inbound(address=BOB)
        await store.note_inbound(old)
        wrote(address, KEPT_SECONDS + 60)

        await store.note_inbound(inbound())

        assert await store.note_inbound(old), "it is still remembered"

    async def test_a_sweep_forgets_it_where_nobody_writes_any_more(
        self, store: Store, address: Address
    ) -> None:
        old = inbound()
        await store.note_inbound(old)
        wrote(address, KEPT_SECONDS + 60)

        await sweep(store, Retention(finished=DAY, dead=DAY))

        assert await store.note_inbound(old), "it is still remembered"

    async def test_every_form_of_a_number_is_the_same_person(self, store: Store) -> None:
        told = inbound(Wish.STOP, also=(BOB,))
        await store.note_inbound(told)
        stopped = [one[0] for one in await wishes(store)]
        again = await store.note_inbound(told)
        await store.note_inbound(inbound(Wish.START, address=BOB, also=(ANN,)))

        assert (stopped, again) == ([ANN, BOB], False)
        assert await wishes(store) == []
        assert await store.wrote_within(Channel.WHATSAPP, BOB, DAY)


class InquiryContract:
    """Holds for every store; the fixtures are those of `StoreContract`."""

    async def test_only_what_was_sent_long_enough_ago_is_asked_about(
        self, store: Store, address: Address
    ) -> None:
        await sent(store, address, HOUR - 60, "young")
        await sent(store, address, 3 * DAY + 60, "old")
        silent = await sent(store, address, HOUR + 60, "silent")

        assert await take(store) == [Silent(silent, 1, "SM_silent")]

    async def test_the_oldest_come_first(self, store: Store, address: Address) -> None:
        younger = await sent(store, address, 2 * HOUR, "younger")
        older = await sent(store, address, 3 * HOUR, "older")

        first = await take(store, limit=1)
        second = await take(store, limit=1)

        assert [one.notification_id for one in (*first, *second)] == [older, younger]

    async def test_what_was_heard_of_is_not_asked_about(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await sent(store, address, 2 * HOUR)
        await store.note_receipts([receipt(notification_id, Fact.DELIVERED)])
        grow_old(address, notification_id, 2 * HOUR)

        assert await take(store) == []

    async def test_other_channels_and_providers_are_left_alone(
        self, store: Store, address: Address
    ) -> None:
        await sent(store, address, 2 * HOUR)
        email = await accepted(store, "email")
        await store.claim(email, worker="w1", lease=LEASE)
        await store.record(outcome(email, 1, Status.SENT))
        grow_old(address, email, 2 * HOUR)

        other = await store.take_silent(
            Channel.WHATSAPP, "another", after=HOUR, until=DAY, limit=10
        )

        assert other == []
        assert len(await take(store)) == 1

    async def test_one_without_the_providers_id_is_not_asked_about(
        self, store: Store, address: Address
    ) -> None:
        await sent(store, address, 2 * HOUR)
        address.execute("UPDATE notifications SET provider_message_id = NULL")

        assert await take(store) == []

    async def test_the_next_inquiry_is_due_at_twice_the_age(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await sent(store, address, 2 * HOUR)

        assert len(await take(store)) == 1
        assert await take(store) == []

        address.execute(f"UPDATE inquiries SET next_at = {ago(-2 * HOUR + 60)}")  # noqa: S608
        assert await take(store) == []  # what the row below shows is that this is about the same
        make_due(address)
        assert [one.notification_id for one in await take(store)] == [notification_id]

    async def test_two_that_take_at_once_never_take_the_same(self, address: Address) -> None:
        first, second = open_store(address.url), open_store(address.url)
        try:
            made = {await sent(first, address, 2 * HOUR, f"m{number}") for number in range(20)}
            taken = await asyncio.gather(
                *(take(one, limit=5) for one in (first, second) for _ in range(8))
            )
            while more := await take(first, limit=20):
                taken.append(more)
        finally:
            await first.close()
            await second.close()

        ids = [one.notification_id for part in taken for one in part]
        assert sorted(ids) == sorted(made)

    async def test_an_inquiry_that_failed_is_due_again_soon(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await sent(store, address, 2 * HOUR)
        await take(store)

        await store.ask_again([notification_id], 0.0)

        assert [one.notification_id for one in await take(store)] == [notification_id]

    async def test_what_the_provider_does_not_know_is_never_asked_about_again(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await sent(store, address, 2 * HOUR)
        await take(store)

        await store.ask_again([notification_id], None)
        make_due(address)

        assert await take(store) == []

    async def test_an_attempt_after_it_is_asked_about_by_its_own_id(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await sent(store, address, 2 * HOUR)
        await take(store)
        await store.ask_again([notification_id], None)
        address.execute("UPDATE notifications SET attempt = 2, provider_message_id = 'SM_again'")

        assert await take(store) == [Silent(notification_id, 2, "SM_again")]

    async def test_inquiries_go_with_their_notification(
        self, store: Store, address: Address
    ) -> None:
        notification_id = await sent(store, address, 2 * HOUR)
        await take(store)
        await store.ask_again([notification_id], None)
        aged = notification_id.replace("notif_0", "notif_00", 1)[: len(notification_id)]
        address.execute(
            f"UPDATE notifications SET id = '{aged}', updated_at = {LONG_AGO}",  # noqa: S608
            f"UPDATE inquiries SET notification_id = '{aged}'",  # noqa: S608
        )

        assert await sweep(store, Retention(finished=DAY, dead=DAY)) == 1

        again = await accepted(
            store, "m2", notification_id=aged, channel=Channel.WHATSAPP, recipient=ANN
        )
        await store.claim(again, worker="w1", lease=LEASE)
        await store.record(outcome(again, 1, Status.SENT))
        grow_old(address, again, 2 * HOUR)
        assert len(await take(store)) == 1


def _suppression(kind: Kind, reason: Reason) -> Suppression:
    return Suppression(Channel.WHATSAPP, ANN, kind, reason, "test", datetime.now(UTC))
