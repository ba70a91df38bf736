"""Keeping the store from growing for ever: what is finished and old is deleted, page by page."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from loguru import logger

from clarion.errors import ClarionError
from clarion.settings import RetentionSettings
from clarion.store.base import Retention, Store

PAGE = 500
"""Rows of one transaction: some 20 ms, so that nobody waits long for a lock or for the disk."""
EVERY = 600.0
DAY = 86_400.0
FOR_EVER_DAYS = 36_500.0


def retention_of(settings: RetentionSettings) -> Retention | None:
    """Return how long to keep what is finished; None when everything is kept."""
    if not settings.retention_days:
        return None
    dead_days = settings.dead_retention_days or FOR_EVER_DAYS
    return Retention(settings.retention_days * DAY, dead_days * DAY)


async def sweep(store: Store, keep: Retention, *, page: int = PAGE) -> int:
    """Delete everything that is old; returns how many notifications that were.

    It rests after each page as long as the page took, so that it never has more than half of one
    connection's time. Raises `StoreUnavailable`.
    """
    deleted, start = 0, ""
    while True:
        began = time.monotonic()
        pruned = await store.prune(start, keep, page)
        deleted += pruned.notifications
        if pruned.next is None:
            return deleted
        start = pruned.next
        await asyncio.sleep(time.monotonic() - began)


@contextlib.asynccontextmanager
async def sweeping(
    store: Store, keep: Retention | None, every: float = EVERY
) -> AsyncIterator[None]:
    """Sweep now and then while the block runs; never when `keep` is None."""
    task = asyncio.create_task(_sweep_for_ever(store, keep, every)) if keep else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _sweep_for_ever(store: Store, keep: Retention, every: float) -> None:
    while True:
        try:
            deleted = await sweep(store, keep)
        except ClarionError as error:
            # the next sweep deletes what this one left
            logger.bind(error=str(error)).warning("old notifications could not be deleted")
        else:
            if deleted:
                logger.bind(notifications=deleted).info("old notifications deleted")
        await asyncio.sleep(every)
