"""The store on SQLite."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from clarion.errors import SettingsError, StoreUnavailable
from clarion.store import migrate, open_store
from clarion_testing.store_callbacks import CallbackContract
from clarion_testing.store_contract import Address, StoreContract, accepted, event
from clarion_testing.store_dialogue import InboundContract, InquiryContract
from clarion_testing.store_events import EventContract
from clarion_testing.store_letters import DeadLetterContract
from clarion_testing.store_receipts import ReceiptContract
from clarion_testing.store_retention import RetentionContract
from clarion_testing.store_suppressions import SuppressionContract
from clarion_testing.store_waiting import WaitingContract


@pytest.fixture
def address(tmp_path: Path) -> Address:
    path = tmp_path / "made" / "on the way" / "clarion.db"
    migrate(f"sqlite:///{path}")

    def execute(*statements: str) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return Address(f"sqlite:///{path}", execute)


class TestSqliteStore(
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
    """SQLite keeps the contract."""


async def test_a_committed_row_survives_the_process(address: Address) -> None:
    store = open_store(address.url)
    notification_id = await accepted(store)
    await store.close()

    again = open_store(address.url)
    history = await again.get(notification_id)
    await again.close()

    assert history is not None


async def test_a_locked_database_is_unavailable_until_it_is_free(
    address: Address, tmp_path: Path
) -> None:
    store = open_store(address.url)
    await store.ping()
    with closing(sqlite3.connect(address.url.removeprefix("sqlite:///"))) as holder:
        holder.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreUnavailable, match="locked"):
            await store.accept(event())

        holder.rollback()
    answer = await store.accept(event())
    await store.close()
    assert not answer[0].duplicate


async def test_a_database_without_the_schema_says_what_to_run(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'empty.db'}")

    with pytest.raises(StoreUnavailable, match=r"run python -m clarion\.store migrate"):
        await store.accept(event())

    await store.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://localhost/clarion", "must start with postgresql:// or sqlite:///"),
        ("not an address", "not a URL"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        ("sqlite:////dev/null/clarion.db", "cannot make the folder"),
        ("postgresql://localhost/clarion?sslmode=require&colour=red", "unknown option colour"),
    ],
)
def test_an_address_that_cannot_be_used_is_a_settings_error(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        open_store(url)
