"""A batch of rows as one JSON parameter: one statement, the same text whatever their number."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import (
    JSON,
    Double,
    Integer,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.expression import FromClause
from sqlalchemy.types import TypeEngine

from clarion.store.clock import Instant

Item = TypeVar("Item")
Key = TypeVar("Key")

ROWS = "rows"
"""The name of the parameter: a list of dictionaries, one per row."""

_ROWS = bindparam(ROWS, type_=JSON())

TEXT: TypeEngine[str] = Text()
INTEGER: TypeEngine[int] = Integer()
DOUBLE: TypeEngine[float] = Double()
MOMENT: TypeEngine[datetime] = Instant()

# not as escapes, which would let a database hold what is no text: a lone surrogate
to_json = partial(json.dumps, ensure_ascii=False)


def incoming(dialect: str, columns: dict[str, TypeEngine[Any]]) -> FromClause:
    """Return the parameter `rows` as something to join with, one column per key."""
    rows = _rows(dialect, columns)
    if dialect != "postgresql":
        return rows
    # the planner takes a function for a hundred rows, and to find those it would read a table of
    # some thousand from end to end; a limit tells it how many there are
    return select(rows).limit(func.json_array_length(_ROWS)).subquery("incoming")


def _rows(dialect: str, columns: dict[str, TypeEngine[Any]]) -> FromClause:
    """Return `json_to_recordset` in PostgreSQL (9.16.2 of its manual), `json_each` in SQLite
    (4.23)."""
    if dialect == "postgresql":
        return (
            func.json_to_recordset(_ROWS)
            .table_valued(*(column(name, type_) for name, type_ in columns.items()))
            .render_derived(name="incoming", with_types=True)
        )
    each = func.json_each(_ROWS).table_valued(column("value", Text()), name="each")
    return select(
        *(
            cast(func.json_extract(each.c.value, f"$.{name}"), type_).label(name)
            for name, type_ in columns.items()
        )
    ).subquery("incoming")


def insert_into(dialect: str, table: Table) -> Any:
    """Return this database's own INSERT, which knows ON CONFLICT."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


def insert_rows(
    dialect: str, table: Table, names: Sequence[str], computed: dict[str, Any] | None = None
) -> Any:
    """Return the INSERT of a batch of rows with these columns, and those that are computed."""
    computed = computed or {}
    # it joins with nothing, and needs no limit, which would read the rows twice
    rows = _rows(dialect, {name: _as_json_has_it(dialect, table, name) for name in names})
    values = select(
        *(type_coerce(rows.c[name], table.c[name].type) for name in names),
        *(type_coerce(value, table.c[name].type).label(name) for name, value in computed.items()),
    )
    # without a condition SQLite takes a following ON CONFLICT for that of a join
    return insert_into(dialect, table).from_select([*names, *computed], values.where(true()))


def _as_json_has_it(dialect: str, table: Table, name: str) -> TypeEngine[Any]:
    kind = table.c[name].type
    if isinstance(kind, Instant):
        return MOMENT
    if isinstance(kind, JSON) and dialect == "postgresql":
        return kind
    # SQLite's JSON is text, and a cast to a type that it does not know makes a number of it
    return kind if isinstance(kind, Integer | Double) else TEXT


def moment(dialect: str, at: datetime | None) -> str | None:
    """Return a moment as text that this database reads as its own."""
    if at is None or dialect != "sqlite":
        return None if at is None else at.astimezone(UTC).isoformat()
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")


def firsts(items: Sequence[Item], key: Callable[[Item], Key]) -> dict[Key, int]:
    """Return where each key comes first: of two rows for one key in a batch, the first wins."""
    return {key(items[index]): index for index in reversed(range(len(items)))}


def in_order(rows: Iterable[dict[str, Any]], *keys: str) -> dict[str, Any]:
    """Return the parameters of a statement over `rows`, sorted by `keys`.

    Two processes that lock the same rows in the same order wait for each other; in different
    orders they deadlock.
    """
    return {ROWS: sorted(rows, key=lambda row: [row[key] for key in keys])}
