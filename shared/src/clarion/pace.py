"""How fast a provider may be called: a token bucket that a provider's own 429 slows."""

from __future__ import annotations

from collections import deque

WINDOW = 2.0
"""Seconds of calls and answers that are looked back upon."""

SEVERAL = 3
SHARE = 0.1
"""Of the answers in the window, so many and this share must be a 429 before all calls are slowed:
one recipient's own limit is no reason to."""

FLOOR = 1.0
"""Calls a second that are made whatever the provider says, as somebody has to ask it."""

STEP = 0.05
"""The share of the former rate that comes back every second."""

BURST = 0.1
"""Seconds without a call that are made up for at once."""


class Pace:
    """The rate of one provider in one process. Every method takes the time, in seconds.

    `rate` is the configured number of calls a second, None for no limit. A provider that refuses
    too many of them halves the rate in force, or that of the calls just made, at most once in a
    window; it comes back step by step.
    """

    def __init__(self, rate: float | None = None) -> None:
        self._rate = rate
        self._slowed: float | None = None
        self._slowed_at = 0.0
        self._former = 0.0
        self._tokens = 1.0
        self._refilled_at = 0.0
        self._calls: deque[float] = deque()
        self._answers: deque[tuple[float, bool]] = deque()

    def limit(self, now: float) -> float | None:
        """Return the calls a second that are allowed now; None for no limit."""
        if self._slowed is None:
            return self._rate
        back = self._slowed + max(now - self._slowed_at, 0.0) * max(self._former * STEP, FLOOR)
        # without a configured rate, twice what was too much is as good as none
        goal = 2 * self._former if self._rate is None else self._rate
        if back < goal:
            return back
        self._slowed = None
        return self._rate

    def wait(self, now: float) -> float:
        """Return the seconds until a call may be made; 0 when it may be now."""
        limit = self.limit(now)
        if limit is None:
            return 0.0
        self._refill(now, limit)
        # a sum of many small parts may fall short of a whole one by a rounding error
        return max((1.0 - self._tokens - 1e-9) / limit, 0.0)

    def take(self, now: float) -> None:
        """Count a call that is made now."""
        if self._rate is not None or self._slowed is not None:
            self._tokens -= 1.0
        self._calls.append(now)
        while self._calls[0] < now - WINDOW:
            self._calls.popleft()

    def give_back(self) -> None:
        """Take back a call that was counted and not made."""
        self._tokens += 1.0
        if self._calls:
            self._calls.pop()

    def answered(self, started: float, now: float, *, throttled: bool) -> bool:
        """Count the answer to a call made at `started`; return whether it slows the pace."""
        if started < self._slowed_at:
            return False  # made at the former rate: known already
        self._answers.append((now, throttled))
        while self._answers[0][0] < now - WINDOW:
            self._answers.popleft()
        if not throttled or (self._slowed is not None and now < self._slowed_at + WINDOW):
            return False
        refusals = sum(refused for _, refused in self._answers)
        if refusals < SEVERAL or refusals < SHARE * len(self._answers):
            return False
        self._slow(now)
        return True

    def _slow(self, now: float) -> None:
        limit = self.limit(now)
        made = len(self._calls) / WINDOW if self._calls else 0.0
        before = max(made, FLOOR) if limit is None else min(limit, max(made, FLOOR))
        if self._slowed is None:
            self._former = before if self._rate is None else self._rate
        least = FLOOR if self._rate is None else min(FLOOR, self._rate)
        self._slowed, self._slowed_at = max(before / 2, least), now
        self._tokens, self._refilled_at = min(self._tokens, 0.0), now
        self._answers.clear()

    def _refill(self, now: float, limit: float) -> None:
        most = max(limit * BURST, 1.0)
        gained = max(now - self._refilled_at, 0.0) * limit
        self._tokens = min(self._tokens + gained, most)
        self._refilled_at = now
