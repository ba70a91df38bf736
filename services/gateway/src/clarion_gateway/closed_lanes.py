"""Lanes that take nothing at present, each until its own next try; the others go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clarion.errors import QueueFull, Unroutable
from clarion.notification import Lane

BACKOFF_SECONDS = (1.0, 30.0)
"""The first and the longest wait before a lane is tried again."""


@dataclass(slots=True)
class _Closed:
    error: QueueFull | Unroutable
    pause: float
    until: float


class ClosedLanes:
    """Which lanes refused a notification, and why; `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._closed: dict[Lane, _Closed] = {}

    def close(self, lane: Lane, error: QueueFull | Unroutable) -> bool:
        """Leave a lane alone for a while, longer each time; True if it was open before."""
        now = self._clock()
        known = self._closed.get(lane)
        if known is not None and known.until > now:
            return False  # refused again by what was on its way already
        shortest, longest = BACKOFF_SECONDS
        pause = shortest if known is None else min(2 * known.pause, longest)
        self._closed[lane] = _Closed(error, pause, now + pause)
        return known is None

    def open(self, lane: Lane) -> None:
        """Take a lane up again: it has taken a notification."""
        self._closed.pop(lane, None)

    def now(self) -> frozenset[Lane]:
        """Return the lanes to leave out; one whose wait is over is to be tried."""
        now = self._clock()
        return frozenset(lane for lane, closed in self._closed.items() if closed.until > now)

    def named(self, kind: type[QueueFull | Unroutable]) -> tuple[str, ...]:
        """Return the routing keys of the lanes that refused for this reason."""
        return tuple(
            sorted(
                lane.routing_key
                for lane, closed in self._closed.items()
                if isinstance(closed.error, kind)
            )
        )
