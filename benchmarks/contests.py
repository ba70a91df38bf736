"""The contests by name, each as groups of entries that are run in turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks import growth
from benchmarks.contestants import Arena
from benchmarks.drain import LATENCIES, contestants, drain
from benchmarks.intake import accept, acceptors, loads
from benchmarks.latency import LOW, RATE, overtaking, pairs, steady
from benchmarks.report import Row
from benchmarks.storm import WORKERS, scaled, storm, stormed


@dataclass(frozen=True, slots=True)
class Size:
    """How much is sent; `rows` are the table's sizes for the contest of growth."""

    count: int
    low: int = LOW
    seconds: int = 20
    rows: tuple[int, ...] = (0, 1_000_000)
    pages: int = 40

    @classmethod
    def quick(cls) -> Size:
        """Return the least that shows that it runs."""
        return cls(500, low=1000, seconds=2, rows=(0, 20_000), pages=4)


Entry = Callable[[], Awaitable[Row]]
Groups = Iterator[tuple[Entry, ...]]


def _drain(arena: Arena, size: Size) -> Groups:
    for latency in LATENCIES:
        name = f"drain {latency} ms"
        yield tuple(
            partial(drain, contestant, name, size.count, latency)
            for contestant in contestants(arena)
        )


def _intake(arena: Arena, size: Size) -> Groups:
    for load in loads(size.count):
        yield tuple(partial(accept, acceptor, load) for acceptor in acceptors(arena))


def _latency(arena: Arena, size: Size) -> Groups:
    yield tuple(
        partial(steady, contestant, front, size.seconds * RATE)
        for contestant, front in pairs(arena)
    )


def _lanes(arena: Arena, size: Size) -> Groups:
    yield (partial(overtaking, arena, size.low),)


def _storm(arena: Arena, size: Size) -> Groups:
    yield tuple(partial(storm, contestant, size.count) for contestant in stormed(arena))


def _scaling(arena: Arena, size: Size) -> Groups:
    yield tuple(partial(scaled, arena, size.count, workers) for workers in WORKERS)


def _growth(arena: Arena, size: Size) -> Groups:
    for rows in size.rows:
        yield (
            partial(growth.intake, arena, rows, size.count),
            partial(growth.drain, arena, rows, size.count),
        )
        if rows:
            yield (partial(growth.prune, arena, rows, size.pages),)


CONTESTS: dict[str, Callable[[Arena, Size], Groups]] = {
    "drain": _drain,
    "intake": _intake,
    "latency": _latency,
    "lanes": _lanes,
    "storm": _storm,
    "scaling": _scaling,
    "growth": _growth,
}
