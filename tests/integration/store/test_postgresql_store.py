"""The store on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clarion.notification import Status
from clarion.receipt import Fact
from clarion.store.base import ReceiptResult, Store
from clarion.store.callbacks import CallbackStore
from clarion_testing.postgres import Postgres
from clarion_testing.store_callbacks import CallbackContract
from clarion_testing.store_contract import Address, StoreContract, brought_to
from clarion_testing.store_dialogue import InboundContract, InquiryContract
from clarion_testing.store_events import EventContract
from clarion_testing.store_letters import DeadLetterContract
from clarion_testing.store_receipts import ReceiptContract, receipt
from clarion_testing.store_retention import RetentionContract
from clarion_testing.store_suppressions import SuppressionContract
from clarion_testing.store_waiting import WaitingContract


class TestPostgresqlStore(
    StoreContract,
    WaitingContract,
    ReceiptContract,
    SuppressionContract,
    InboundContract,
    InquiryContract,
    RetentionContract,
    DeadLetterContract,
    EventContract,
    CallbackContract,
):
    """PostgreSQL keeps the contract."""

    @pytest.fixture
    def address(self, postgres: Postgres) -> Address:
        return Address(postgres.url, postgres.execute)

    async def test_callbacks_are_written_by_one_relay_at_a_time(
        self, store: CallbackStore, other: CallbackStore
    ) -> None:
        notification_id = await brought_to(store, Status.SENT)
        async with store.telling(10, calling=["shop"]) as telling:
            await other.note_receipts([receipt(notification_id, Fact.DELIVERED)])
            async with other.telling(10, calling=["shop"]) as meanwhile:
                pass
        async with other.telling(10, calling=["shop"]) as afterwards:
            pass

        assert [each.sequence for each in telling.events] == [1]
        assert meanwhile.events == ()
        assert [each.sequence for each in afterwards.events] == [2]

    async def test_relays_share_what_is_told_without_callbacks(
        self, store: CallbackStore, other: CallbackStore
    ) -> None:
        ids = [await brought_to(store, Status.SENT, f"m{number}") for number in range(2)]
        async with store.telling(1) as first, other.telling(10) as second:
            pass

        assert [each.notification_id for each in first.events] == ids[:1]
        assert [each.notification_id for each in second.events] == ids[1:]

    async def test_what_the_database_cannot_hold_takes_no_other_receipt_with_it(
        self, store: Store
    ) -> None:
        ids = [await brought_to(store, Status.SENT, f"m{index}") for index in range(5)]
        told = [receipt(notification_id, Fact.DELIVERED) for notification_id in ids]
        told[2] = replace(told[2], text="half a pair: \ud800")

        results = await store.note_receipts(told)

        assert results.count(ReceiptResult.MOVED) == 4
        assert results[2] is ReceiptResult.REFUSED
