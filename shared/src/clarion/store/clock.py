"""The database's own clock, in SQL: processes need not agree on the time, the store does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Float, String, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

_SQLITE_FORMAT = "%Y-%m-%d %H:%M:%f"


class Instant(TypeDecorator[datetime]):
    """A moment, in UTC: `timestamptz`, or in SQLite text with milliseconds, which sorts as time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column type of this database."""
        return String(23) if dialect.name == "sqlite" else DateTime(timezone=True)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Write it as the column holds it."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Read it as an aware datetime in UTC."""
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)


class now(FunctionElement[datetime]):  # noqa: N801  a SQL function
    """The start of this statement: what guards compare with, since an index can serve it."""

    type = Instant()
    inherit_cache = True
    name = "now"


class clock(FunctionElement[datetime]):  # noqa: N801  a SQL function
    """This very moment: what is written, since a statement may have waited for a row's lock."""

    type = Instant()
    inherit_cache = True
    name = "clock"


class after(FunctionElement[datetime]):  # noqa: N801  a SQL function
    """This very moment and so many seconds."""

    type = Instant()
    inherit_cache = True
    name = "after"


class ago(FunctionElement[datetime]):  # noqa: N801  a SQL function
    """So many seconds before the start of this statement: a bound that an index can serve."""

    type = Instant()
    inherit_cache = True
    name = "ago"


class seconds_between(FunctionElement[float]):  # noqa: N801  a SQL function
    """The seconds from the first moment to the second; negative when the second is earlier."""

    type = Float()
    inherit_cache = True
    name = "seconds_between"


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return "statement_timestamp()"


@compiles(clock, "postgresql")
def _clock_postgresql(element: clock, compiler: SQLCompiler, **kw: Any) -> str:
    return "clock_timestamp()"


@compiles(after, "postgresql")
def _after_postgresql(element: after, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(_argument(element, 0), **kw)
    return f"(clock_timestamp() + make_interval(secs => {seconds}))"


@compiles(ago, "postgresql")
def _ago_postgresql(element: ago, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(_argument(element, 0), **kw)
    return f"(statement_timestamp() - make_interval(secs => {seconds}))"


@compiles(seconds_between, "postgresql")
def _between_postgresql(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = (compiler.process(_argument(element, index), **kw) for index in (0, 1))
    return f"extract(epoch from ({end}) - ({start}))::float8"


@compiles(now, "sqlite")
@compiles(clock, "sqlite")
def _now_sqlite(element: FunctionElement[datetime], compiler: SQLCompiler, **kw: Any) -> str:
    return f"strftime('{_SQLITE_FORMAT}', 'now')"


@compiles(after, "sqlite")
def _after_sqlite(element: after, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(_argument(element, 0), **kw)
    return f"strftime('{_SQLITE_FORMAT}', 'now', ({seconds}) || ' seconds')"


@compiles(ago, "sqlite")
def _ago_sqlite(element: ago, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(_argument(element, 0), **kw)
    return f"strftime('{_SQLITE_FORMAT}', 'now', (-({seconds})) || ' seconds')"


@compiles(seconds_between, "sqlite")
def _between_sqlite(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = (compiler.process(_argument(element, index), **kw) for index in (0, 1))
    return f"((julianday({end}) - julianday({start})) * 86400.0)"


def _argument(element: FunctionElement[Any], index: int) -> ColumnElement[Any]:
    return list(element.clauses)[index]
