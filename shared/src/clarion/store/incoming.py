"""A batch of rows as one JSON parameter: one statement, the same text whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.expression import FromClause
from sqlalchemy.types import TypeEngine

Item = TypeVar("Item")
Key = TypeVar("Key")

ROWS = "rows"
"""The name of the parameter: a list of dictionaries, one per row."""

TEXT: TypeEngine[str] = Text()
INTEGER: TypeEngine[int] = Integer()
DOUBLE: TypeEngine[float] = Double()


def incoming(dialect: str, columns: dict[str, TypeEngine[Any]]) -> FromClause:
    """Return the parameter `rows` as something to join with, one column per key.

    `json_to_recordset` in PostgreSQL (9.16.2 of its manual), `json_each` in SQLite (4.23).
    """
    rows = bindparam(ROWS, type_=JSON())
    if dialect == "postgresql":
        return (
            func.json_to_recordset(rows)
            .table_valued(*(column(name, type_) for name, type_ in columns.items()))
            .render_derived(name="incoming", with_types=True)
        )
    each = func.json_each(rows).table_valued(column("value", Text()), name="each")
    return select(
        *(
            cast(func.json_extract(each.c.value, f"$.{name}"), type_).label(name)
            for name, type_ in columns.items()
        )
    ).subquery("incoming")


def insert_into(dialect: str, table: Table) -> Any:
    """Return this database's own INSERT, which knows ON CONFLICT."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


def firsts(items: Sequence[Item], key: Callable[[Item], Key]) -> dict[Key, int]:
    """Return where each key comes first: of two rows for one key in a batch, the first wins."""
    return {key(items[index]): index for index in reversed(range(len(items)))}


def in_order(rows: Sequence[dict[str, Any]], *keys: str) -> dict[str, Any]:
    """Return the parameters of a statement over `rows`, sorted by `keys`.

    Two processes that lock the same rows in the same order wait for each other; in different
    orders they deadlock.
    """
    return {ROWS: sorted(rows, key=lambda row: [row[key] for key in keys])}
