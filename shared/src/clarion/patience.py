"""Waiting for a server that is away, as long as it takes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from loguru import logger

from clarion.errors import ClarionError

ResultT = TypeVar("ResultT")

BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)


def backoff() -> Iterator[float]:
    """Yield the waits between attempts, without end: the last one repeats."""
    return itertools.chain(BACKOFF_SECONDS, itertools.repeat(BACKOFF_SECONDS[-1]))


async def patiently(
    call: Callable[[], Awaitable[ResultT]], away: type[ClarionError], doing: str
) -> ResultT:
    """Return what `call` returns, calling again for as long as it raises `away`."""
    waits = backoff()
    while True:
        try:
            return await call()
        except away as error:
            logger.bind(error=str(error)).warning("{}: waiting for the server", doing)
            await asyncio.sleep(next(waits))
