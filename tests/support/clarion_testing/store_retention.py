"""What every store forgets when it is old, and what it keeps: run on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from clarion.notification import FINAL, Status
from clarion.store.base import Retention, Store
from clarion.store.retention import sweep
from clarion_testing.store_contract import (
    LONG_AGO,
    REACHABLE,
    Address,
    brought_to,
    event,
    notification,
    status_of,
)

KEEP = Retention(finished=86_400.0, dead=10 * 86_400.0)
LAST_WEEK = f"'{datetime.now(UTC) - timedelta(days=7):%Y-%m-%d %H:%M:%S.000}'"


async def old(store: Store, address: Address, status: Status, message_id: str = "m1") -> str:
    """Return the id of a notification that came to `status` long ago."""
    young = await brought_to(store, status, message_id)
    aged = young.replace("notif_0", "notif_00", 1)[: len(young)]
    address.execute(
        f"UPDATE notifications SET id = '{aged}', updated_at = {LONG_AGO} WHERE id = '{young}'",  # noqa: S608
        *(
            f"UPDATE {table} SET notification_id = '{aged}' WHERE notification_id = '{young}'"  # noqa: S608
            for table in ("attempts", "events")
        ),
    )
    return aged


def set_dead(address: Address, notification_id: str, since: str) -> None:
    """Make it a dead letter that nobody has looked at since then."""
    address.execute(f"UPDATE notifications SET dead_at = {since} WHERE id = '{notification_id}'")  # noqa: S608


class RetentionContract:
    """Holds for every store; the fixtures are those of `StoreContract`."""

    async def test_what_finished_long_ago_goes_with_its_history(
        self, store: Store, address: Address
    ) -> None:
        gone = await old(store, address, Status.SENT)

        deleted = await sweep(store, KEEP)

        assert deleted == 1
        assert await store.get(gone) is None
        await store.accept(event("m1", notification(notification_id=gone)))
        history = await store.get(gone)
        assert history is not None
        assert history.attempts == ()
        assert [entry.status for entry in history.timeline] == [Status.ACCEPTED]

    @pytest.mark.parametrize("status", [each for each in REACHABLE if each not in FINAL])
    async def test_what_is_not_finished_stays_however_old(
        self, store: Store, address: Address, status: Status
    ) -> None:
        kept = await old(store, address, status)

        assert await sweep(store, KEEP) == 0
        assert await status_of(store, kept) is status

    async def test_what_finished_lately_stays_however_long_ago_it_was_accepted(
        self, store: Store, address: Address
    ) -> None:
        kept = await old(store, address, Status.SENT)
        address.execute(f"UPDATE notifications SET updated_at = '{datetime.now(UTC):%F %T.000}'")  # noqa: S608

        assert await sweep(store, KEEP) == 0
        assert await status_of(store, kept) is Status.SENT

    async def test_a_dead_letter_that_nobody_looked_at_has_a_time_of_its_own(
        self, store: Store, address: Address
    ) -> None:
        kept = await old(store, address, Status.FAILED, "m1")
        gone = await old(store, address, Status.FAILED, "m2")
        set_dead(address, kept, LAST_WEEK)
        set_dead(address, gone, LONG_AGO)

        assert await sweep(store, KEEP) == 1
        assert await status_of(store, kept) is Status.FAILED
        assert await store.get(gone) is None

    async def test_what_stays_keeps_no_page_from_what_is_behind_it(
        self, store: Store, address: Address
    ) -> None:
        order = [Status.QUEUED, Status.SENT, Status.QUEUED, Status.QUEUED, Status.SENT]
        ids = [
            await old(store, address, status, f"m{number}") for number, status in enumerate(order)
        ]

        deleted = await sweep(store, KEEP, page=2)

        assert deleted == order.count(Status.SENT)
        for notification_id, status in zip(ids, order, strict=True):
            assert (await store.get(notification_id) is None) == (status is Status.SENT)
