"""The store on PostgreSQL."""

from __future__ import annotations

import pytest

from clarion_testing.postgres import Postgres
from clarion_testing.store_contract import Address, StoreContract
from clarion_testing.store_waiting import WaitingContract


class TestPostgresqlStore(StoreContract, WaitingContract):
    """PostgreSQL keeps the contract."""

    @pytest.fixture
    def address(self, postgres: Postgres) -> Address:
        return Address(postgres.url, postgres.execute)
