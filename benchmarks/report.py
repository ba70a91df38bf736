"""What was measured, as tables and as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median

LIMIT, CLARION = "limit", "clarion"
HIGHER_IS_BETTER = ("per second",)
LOWER_IS_BETTER = ("p99 ms",)


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant in one round, or the medians of its rounds; the first figure is the result.

    CPU is in seconds per 1,000 notifications: the contestant's own, RabbitMQ's and PostgreSQL's.
    """

    contest: str
    contestant: str
    figures: dict[str, float]


def medians(rows: list[Row]) -> list[Row]:
    """Return one row per contest and contestant, in the order in which they first ran."""
    kinds = dict.fromkeys((row.contest, row.contestant) for row in rows)
    return [
        _median([row for row in rows if (row.contest, row.contestant) == kind]) for kind in kinds
    ]


def _median(rows: list[Row]) -> Row:
    figures = {name: median(row.figures[name] for row in rows) for name in rows[0].figures}
    return Row(rows[0].contest, rows[0].contestant, figures)


def ratios(rows: list[Row], to: str) -> dict[tuple[str, str], float]:
    """Return the results as parts of those of the contestant `to`, by contest and contestant."""
    base = {row.contest: row for row in rows if row.contestant == to}
    return {
        (row.contest, row.contestant): _result(row) / _result(base[row.contest])
        for row in rows
        if row.contest in base and row.contestant != to
    }


def _result(row: Row) -> float:
    return next(iter(row.figures.values()))


def tables(rows: list[Row]) -> str:
    """Return the medians as Markdown tables, one for each set of figures."""
    kinds = dict.fromkeys(tuple(row.figures) for row in rows)
    return "\n\n".join(
        _table([row for row in rows if tuple(row.figures) == kind], kind) for kind in kinds
    )


def _table(rows: list[Row], names: tuple[str, ...]) -> str:
    of_limit, of_clarion = ratios(rows, LIMIT), ratios(rows, CLARION)
    heads = ["contest", "contestant", names[0], "of the limit", "of Clarion", *names[1:]]
    lines = [f"| {' | '.join(heads)} |", f"|---|---|{'--:|' * (len(heads) - 2)}"]
    for row in sorted(rows, key=lambda row: [each.contest for each in rows].index(row.contest)):
        key = (row.contest, row.contestant)
        first, *rest = (_number(value) for value in row.figures.values())
        shares = (_number(of_limit.get(key)), _number(of_clarion.get(key)))
        lines.append(f"| {' | '.join([*key, first, *shares, *rest])} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 20 else f"{value:.2f}"


def data(rounds: list[Row], about: dict[str, object]) -> dict[str, object]:
    """Return everything for a program to read."""
    return {
        "about": about,
        "medians": [asdict(row) for row in medians(rounds)],
        "rounds": [asdict(row) for row in rounds],
    }
