"""Marking one notification as queued, where a gateway marks many together."""

from __future__ import annotations

from clarion.errors import ClarionError
from clarion.store.base import Confirmed, Store


async def mark_queued(store: Store, notification_id: str, *, replay_no: int | None = None) -> bool:
    """Return whether the row became queued. Raises what kept it from being recorded."""
    [marked] = await store.mark_queued([Confirmed(notification_id, replay_no)])
    if isinstance(marked, ClarionError):
        raise marked
    return marked
