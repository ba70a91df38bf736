"""The record of every notification: `open_store` for a running service, `migrate` before it."""

from __future__ import annotations

from clarion.store.callbacks import CallbackStore
from clarion.store.database import Database
from clarion.store.migrate import migrate
from clarion.store.sql import SqlStore

__all__ = ["migrate", "open_store"]


def open_store(url: str, *, pool_size: int = 10, grace: float = 5.0) -> CallbackStore:
    """Return the store at `postgresql://...` or `sqlite:///path`; it connects when first used.

    `grace` is how many seconds an accepted notification is left to the gateway that took it
    before `take_due` hands it to anyone. Raises `SettingsError` for an address it cannot use.
    """
    return SqlStore(Database(url, pool_size=pool_size), grace=grace)
