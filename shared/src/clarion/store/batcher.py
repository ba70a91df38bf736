"""Lets rows that arrive together share one write, without making any of them wait for others."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from clarion import metrics
from clarion.errors import ClarionError, StoreUnavailable

Row = TypeVar("Row")
Result = TypeVar("Result")

MANY = 8
"""Rows from which on a batch shows that more are on their way."""

Write = Callable[[list[Row]], Awaitable[Sequence[Result | ClarionError]]]
"""Commits rows; returns for each, in their order, its result or its own error."""


class Batcher(Generic[Row, Result]):
    """Writes rows in batches: a batch is what came in while the last one was under way.

    A lone row is written at once, and under load batches grow by themselves. `gap` is how many
    seconds after a batch of MANY rows the next begins at the earliest: a transaction costs the same
    whatever it holds, so fewer and larger ones leave more of the processor to the rest. `linger` is
    how many seconds even a lone row waits for company, where nobody waits for it.
    """

    def __init__(
        self,
        operation: str,
        write: Write[Row, Result],
        *,
        max_rows: int = 500,
        gap: float = 0.0,
        linger: float = 0.0,
    ) -> None:
        self._write = write
        self._gap = gap
        self._linger = linger
        self._next_at = 0.0
        self._max_rows = max_rows
        self._waiting: deque[tuple[Row, asyncio.Future[Result]]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        self._rows = metrics.BATCH_ROWS.labels(operation)

    async def submit(self, row: Row) -> Result:
        """Return the row's result once it is committed; raise its own error, or its batch's.

        A caller that is cancelled gives its row up if the row is still waiting, and disturbs
        nobody.
        """
        return await self._add(row)

    async def submit_all(self, rows: Iterable[Row]) -> list[Result | ClarionError]:
        """Return each row's result, or its error, once all are through; else as `submit`."""
        added = [self._add(row) for row in rows]
        results: list[Result | ClarionError] = []
        for result in await asyncio.gather(*added, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, ClarionError):
                raise result
            results.append(result)
        return results

    async def close(self) -> None:
        """Refuse new rows; return once those that wait are written."""
        self._closed.set()
        if self._writer is not None:
            await self._writer

    def _add(self, row: Row) -> asyncio.Future[Result]:
        if self._closed.is_set():
            raise StoreUnavailable("the store is closed")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, future))
        if self._writer is None:
            self._writer = asyncio.create_task(self._drain())
        return future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                began = time.monotonic()
                batch = self._take()
                await self._settle(batch)
                if len(batch) >= MANY:
                    self._next_at = began + self._gap
        finally:
            self._writer = None
            for _, future in self._waiting:  # only when this task is cancelled
                future.cancel()
            self._waiting.clear()

    async def _gather(self) -> None:
        pause = max(self._next_at - time.monotonic(), self._linger)
        if pause > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), pause)

    def _take(self) -> list[tuple[Row, asyncio.Future[Result]]]:
        batch: list[tuple[Row, asyncio.Future[Result]]] = []
        while self._waiting and len(batch) < self._max_rows:
            row, future = self._waiting.popleft()
            if not future.done():
                batch.append((row, future))
        return batch

    async def _settle(self, batch: list[tuple[Row, asyncio.Future[Result]]]) -> None:
        if not batch:
            return  # whoever had submitted gave up
        self._rows.observe(len(batch))
        try:
            results = await self._write([row for row, _ in batch])
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001  it is every caller's to handle
            for _, future in batch:
                _fail(future, error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if isinstance(result, ClarionError):
                _fail(future, result)
            elif not future.done():
                future.set_result(result)


def _fail(future: asyncio.Future[Result], error: Exception) -> None:
    if future.done():
        return
    # each caller gets its own exception: a shared one gathers the tracebacks of them all
    own = type(error)(*error.args) if isinstance(error, StoreUnavailable) else error
    if own is not error:
        own.__cause__ = error
    future.set_exception(own)
