"""When to try again: pure decisions, no clock and no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a transient fault is retried, and how long each retry waits.

    `attempts` is the number of retries after the first attempt; `delay` and `cap` are seconds.
    """

    attempts: int = 3
    delay: float = 2.0
    backoff: Literal["exponential", "linear"] = "exponential"
    cap: float = 3600.0

    def next_delay(self, failures: int, retry_after: float | None = None) -> float | None:
        """Return the seconds to wait after the `failures`-th failed attempt, None to give up.

        A `retry_after` that the provider told is a floor: retrying earlier could only fail.
        """
        if failures > self.attempts:
            return None
        if self.backoff == "exponential":
            # the exponent is bounded: 2.0**1024 overflows long after the cap was reached
            wait = self.delay * 2.0 ** min(failures - 1, 60)
        else:
            wait = self.delay * failures
        return max(min(wait, self.cap), retry_after or 0.0)
