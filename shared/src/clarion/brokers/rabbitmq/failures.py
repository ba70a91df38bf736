"""Every way in which the client library fails, or hangs, as one error of ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aio_pika.exceptions import AMQPError

from clarion.errors import BrokerUnavailable

TIMEOUT = 10.0
"""Seconds for one exchange with the broker."""

# RuntimeError is how the client library says that a channel is closed
FAILURES = (AMQPError, OSError, RuntimeError, TimeoutError)


@contextlib.asynccontextmanager
async def within(seconds: float, doing: str) -> AsyncIterator[asyncio.Timeout]:
    """Turn what goes wrong meanwhile, or takes longer, into `BrokerUnavailable`."""
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield timeout
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # a lost connection cancels what waits for its answer
        raise BrokerUnavailable(f"{doing}: the connection was lost") from error
    except FAILURES as error:
        raise BrokerUnavailable(f"{doing}: {error or type(error).__name__}") from error
