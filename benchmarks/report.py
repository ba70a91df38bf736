"""What was measured, as a table and as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant in one round, or the medians of its rounds.

    Rates are notifications per second, `cpu_per_1000` seconds of the contestant's own process.
    `queued_rate` counts until the broker has them all, where that is another moment.
    """

    contest: str
    contestant: str
    rate: float
    cpu_per_1000: float
    peak_mb: float
    queued_rate: float | None = None


def medians(rows: list[Row]) -> list[Row]:
    """Return one row per contest and contestant, in the order in which they first ran."""
    kinds = dict.fromkeys((row.contest, row.contestant) for row in rows)
    return [
        _median([row for row in rows if (row.contest, row.contestant) == kind]) for kind in kinds
    ]


def _median(rows: list[Row]) -> Row:
    queued = [row.queued_rate for row in rows if row.queued_rate is not None]
    return Row(
        contest=rows[0].contest,
        contestant=rows[0].contestant,
        rate=median(row.rate for row in rows),
        cpu_per_1000=median(row.cpu_per_1000 for row in rows),
        peak_mb=median(row.peak_mb for row in rows),
        queued_rate=median(queued) if queued else None,
    )


def ratios(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Return the others' rates as parts of the limit's, by contest and contestant."""
    limits = {row.contest: row.rate for row in rows if row.contestant == "limit"}
    shares: dict[str, dict[str, float]] = {contest: {} for contest in limits}
    for row in rows:
        if row.contestant != "limit":
            shares[row.contest][row.contestant] = row.rate / limits[row.contest]
    return shares


def table(rows: list[Row]) -> str:
    """Return the medians as a Markdown table."""
    shares = ratios(rows)
    lines = [
        "| contest | contestant | per second | of the limit | queued per second "
        "| CPU s per 1,000 | peak MB |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        share = shares[row.contest].get(row.contestant)
        lines.append(
            f"| {row.contest} | {row.contestant} | {row.rate:,.0f} "
            f"| {_number(share, 2)} | {_number(row.queued_rate, 0)} "
            f"| {row.cpu_per_1000:.2f} | {row.peak_mb:.0f} |"
        )
    return "\n".join(lines)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def data(rounds: list[Row], about: dict[str, object]) -> dict[str, object]:
    """Return everything for a program to read."""
    middle = medians(rounds)
    return {
        "about": about,
        "medians": [asdict(row) for row in middle],
        "ratios": ratios(middle),
        "rounds": [asdict(row) for row in rounds],
    }
