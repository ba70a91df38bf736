"""What a database error means: this row cannot be held, or the database is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from clarion.errors import RowRefused, StoreError, StoreUnavailable

# PostgreSQL manual, appendix A: data exception, integrity violation, program limit exceeded (a
# key too long for its index)
_ROW_CLASSES = frozenset({"22", "23", "54"})
_CONFLICT_CLASS = "40"  # deadlock or serialization failure: the transaction was rolled back
_NO_SCHEMA = frozenset({"42P01", "42703"})  # undefined table, undefined column

_SQLITE_ROW = frozenset({"IntegrityError", "DataError"})


class Conflict(StoreUnavailable):
    """Two transactions were in each other's way, and this one was rolled back: do it again."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise `RowRefused`, `Conflict` or `StoreUnavailable` in place of a driver's errors."""
    try:
        yield
    except (
        StatementError,
        PoolTimeout,
        # a connection that cannot be made: SQLAlchemy's own errors wrap those of statements only
        AsyncAdapt_asyncpg_dbapi.Error,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        # what it says of a connection that the server has just ended
        asyncpg.InternalClientError,
        OSError,
    ) as error:
        raise meaning(error) from error
    except (UnicodeError, OverflowError) as error:
        # sqlite3 raises these bare for text and numbers that it cannot store
        raise RowRefused(f"the database cannot hold a value: {_line(error)}") from error


def meaning(error: Exception) -> StoreError:
    """Return what the caller should know of a driver's error."""
    sqlstate = _sqlstate(error)
    if sqlstate[:2] in _ROW_CLASSES or _is_bad_value(error):
        return RowRefused(f"the database refused the row: {_line(error)}")
    if sqlstate[:2] == _CONFLICT_CLASS:
        return Conflict(f"the database rolled back: {_line(error)}")
    if sqlstate in _NO_SCHEMA or "no such table" in str(error) or "no such column" in str(error):
        return StoreUnavailable(
            f"the database's schema is not ours ({_line(error)}); "
            "run python -m clarion.store migrate"
        )
    return StoreUnavailable(f"the database did not answer: {_line(error)}")


def _sqlstate(error: BaseException) -> str:
    origin = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(origin, "sqlstate", None) or "")


def _is_bad_value(error: Exception) -> bool:
    if not isinstance(error, StatementError):
        return False
    # asyncpg checks values before it sends them and says so with a ValueError; SQLAlchemy's own
    # types raise TypeError and ValueError bare
    chain = (error.orig, getattr(error.orig, "__cause__", None))
    if any(isinstance(link, ValueError | TypeError | OverflowError) for link in chain):
        return True
    return (
        not isinstance(chain[1], asyncpg.PostgresError) and type(error.orig).__name__ in _SQLITE_ROW
    )


def _line(error: BaseException) -> str:
    """Return the first line of what the driver says: later ones quote the row's content."""
    origin = getattr(error, "orig", None) or error
    cause = origin.__cause__ or origin
    if isinstance(cause, asyncpg.DataError) and not getattr(cause, "severity", None):
        return "a value does not fit its column"  # said by asyncpg, which quotes it
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]
