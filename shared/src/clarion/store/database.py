"""One database: its connections, its transactions, and how long anyone waits for either."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from clarion.errors import ClarionError, RowRefused, SettingsError, StoreUnavailable
from clarion.store.faults import Conflict, translated
from clarion.store.incoming import to_json
from clarion.store.statement import PostgresqlSession, Session, SqliteSession
from clarion.store.tls import OPTIONS, tls

Row = TypeVar("Row")
Result = TypeVar("Result")
Results = TypeVar("Results")
Connection = TypeVar("Connection")

DEADLINE = 4.0
"""Seconds for one transaction or query, the wait for a connection included. A row waits for at
most one batch before its own: nobody hangs for 10 seconds, whatever the database does."""

_TRIES = 3
_WRITERS = 5  # connections that reads leave free: one for each kind of write

_POSTGRESQL_SETTINGS = {
    "application_name": "clarion",
    "timezone": "UTC",
    # compiling costs more than any of these statements
    "jit": "off",
    # a plan made while a table was small must not outlive that: a kept plan scans it whole
    "plan_cache_mode": "force_custom_plan",
    # a frozen client holds no row locked for longer
    "idle_in_transaction_session_timeout": "30000",
}


class Database:
    """Connections to PostgreSQL or SQLite, opened when first needed."""

    def __init__(self, url: str, *, pool_size: int = 10, deadline: float = DEADLINE) -> None:
        parsed = parse(url)
        self.dialect = parsed.get_backend_name()
        self._deadline = deadline
        if self.dialect == "sqlite":
            self.engine = _sqlite_engine(parsed, deadline)
            self._readers = asyncio.Semaphore(1)
        else:
            self.engine = _postgresql_engine(parsed, pool_size, deadline)
            self._readers = asyncio.Semaphore(max(1, pool_size - _WRITERS))
        # single statements need no BEGIN and COMMIT around them; SQLite's engine is so already
        self._autocommit = (
            self.engine
            if self.dialect == "sqlite"
            else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        )

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection on which each statement stands alone. Raises `StoreUnavailable`."""
        async with self._bounded(), self._readers, self._autocommit.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self, *, deadline: float | None = None) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in a transaction that is committed at the end.

        Raises `StoreUnavailable`, or `RowRefused` for what the database cannot hold.
        """
        if self.dialect == "sqlite":
            async with (
                self._bounded(deadline),
                self.engine.connect() as connection,
                SqliteSession(connection).transaction(),
            ):
                yield connection
            return
        async with self._bounded(deadline), self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Yield what a `Statement` runs on. Raises as `write` does."""
        if self.dialect == "sqlite":
            async with self._bounded(), self.engine.connect() as connection:
                yield SqliteSession(connection)
            return
        async with self._bounded():
            pooled = await self.engine.raw_connection()
            driver: Any = pooled.driver_connection
            try:
                yield PostgresqlSession(driver)
            except asyncpg.PostgresError:
                # a word of the server: whoever comes next finds the connection in order, unless
                # that was its answer to a ROLLBACK
                if driver.is_in_transaction():
                    pooled.invalidate()
                raise
            except BaseException:
                pooled.invalidate()
                raise
            finally:
                pooled.close()

    async def write_rows(
        self,
        write: Callable[[Session, list[Row]], Awaitable[Sequence[Result | ClarionError]]],
        rows: list[Row],
    ) -> list[Result | ClarionError]:
        """Return each row's result; a row that the database refuses takes no other with it.

        The rows share one transaction or statement. If it is refused, each half is tried alone, and
        so on: a bad row among 500 costs about nine more.
        """
        try:
            return list(await self.write_together(self.session, write, rows))
        except RowRefused as error:
            if len(rows) == 1:
                return [error]
        middle = len(rows) // 2
        return [
            *await self.write_rows(write, rows[:middle]),
            *await self.write_rows(write, rows[middle:]),
        ]

    async def write_together(
        self,
        begin: Callable[[], AbstractAsyncContextManager[Connection]],
        write: Callable[[Connection, list[Row]], Awaitable[Results]],
        rows: list[Row],
    ) -> Results:
        """Return what `write` makes of the rows on what `begin` yields: `session` or `write`.

        A transaction that loses against another transaction is tried again. Raises as `write` does.
        """
        for _ in range(_TRIES - 1):
            try:
                async with begin() as connection:
                    return await write(connection, rows)
            except Conflict:
                continue
        async with begin() as connection:
            return await write(connection, rows)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def _bounded(self, deadline: float | None = None) -> AsyncIterator[None]:
        seconds = deadline or self._deadline
        try:
            async with asyncio.timeout(seconds):
                with translated():
                    yield
        except TimeoutError as error:
            raise StoreUnavailable(
                f"the database did not answer within {seconds:g} seconds"
            ) from error


def parse(url: str) -> URL:
    """Return the address with the driver that Clarion uses for it. Raises `SettingsError`."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise SettingsError(
            "DATABASE_URL: not a URL; write postgresql://user:password@host/name or sqlite:///path"
        ) from None
    if parsed.drivername == "postgresql":
        return _with_asyncpg(parsed)
    if parsed.drivername != "sqlite":
        raise SettingsError("DATABASE_URL: must start with postgresql:// or sqlite:///")
    if not parsed.database or parsed.database == ":memory:":
        raise SettingsError("DATABASE_URL: name a file, as in sqlite:///clarion.db")
    if importlib.util.find_spec("aiosqlite") is None:
        raise SettingsError(
            "DATABASE_URL: sqlite:/// needs aiosqlite; install the extra clarion[sqlite]"
        )
    return parsed.set(drivername="sqlite+aiosqlite")


def _with_asyncpg(url: URL) -> URL:
    unknown = sorted(set(url.query) - set(OPTIONS))
    if unknown:
        raise SettingsError(
            f"DATABASE_URL: unknown option {', '.join(unknown)}; known are {', '.join(OPTIONS)}"
        )
    return url.set(drivername="postgresql+asyncpg")


def _postgresql_engine(url: URL, pool_size: int, deadline: float) -> AsyncEngine:
    options = {name: str(value) for name, value in url.query.items()}
    engine = create_async_engine(
        url.set(query={}),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=deadline,
        pool_recycle=1800,
        pool_use_lifo=True,  # idle connections beyond the usual load are left to be recycled
        json_serializer=to_json,
        hide_parameters=True,
        connect_args={
            "timeout": deadline,
            "server_settings": _POSTGRESQL_SETTINGS,
            "ssl": tls(options),
        },
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def _check(connection: Any, _: ConnectionPoolEntry, __: PoolProxiedConnection) -> None:
        # what the server closed while nobody used it is replaced, at no round trip's cost
        if connection.driver_connection.is_closed():
            raise InvalidatePoolError

    return engine


def _sqlite_engine(url: URL, deadline: float) -> AsyncEngine:
    path = Path(url.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"DATABASE_URL: cannot make the folder of {path}: {error}") from error
    engine = create_async_engine(
        url,
        pool_size=1,
        max_overflow=0,
        pool_timeout=deadline,
        json_serializer=to_json,
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions begin where we say so
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(deadline * 750)}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.close()

    return engine
