"""The table of a run: one line per scenario, and the ids that it announces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clarion_testing.chaos.judge import Verdict

COLUMNS = (
    "scenario",
    "kills",
    "accepted",
    "delivered",
    "lost",
    "sent twice unannounced",
    "sent twice announced",
    "in doubt, held",
    "duplicates absorbed",
    "seconds",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario's result; `kills` counts what was killed, cut or frozen."""

    scenario: str
    kills: int
    verdict: Verdict
    duplicates: int
    seconds: float

    def cells(self) -> tuple[str, ...]:
        """Return the line of the table."""
        verdict = self.verdict
        numbers = (
            self.kills,
            verdict.accepted,
            verdict.delivered,
            len(verdict.lost),
            len(verdict.doubled),
            len(verdict.announced),
            len(verdict.held),
            self.duplicates,
            round(self.seconds),
        )
        return (self.scenario, *map(str, numbers))


def render(rows: Sequence[Row]) -> list[str]:
    """Return the table in Markdown, then the ids of those that are held."""
    cells = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
    lines = [_line(line, widths) for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    held = {row.scenario: row.verdict.held for row in rows if row.verdict.held}
    lines += [f"{scenario}: in doubt, held: {', '.join(ids)}" for scenario, ids in held.items()]
    return lines


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return f"| {' | '.join(padded)} |"
