"""How fast each key may send: a token bucket for its owner, kept by this process alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from clarion_gateway.problems import Problem


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimit:
    """`rate` events a second for each name, `burst` at once; a rate of 0 limits nothing.

    A batch is let in while a token is left and paid off afterwards, so that one that is larger
    than the burst is slow instead of impossible.
    """

    def __init__(
        self, rate: float = 0.0, burst: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = max(1.0, burst)
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, name: str) -> None:
        """Take one token. Raises `Problem` 429 that says when there will be one again."""
        if not self._rate:
            return
        bucket = self._filled(name)
        if bucket.tokens < 1:
            seconds = (1 - bucket.tokens) / self._rate
            raise Problem(
                429,
                f"{name} may send {self._rate:g} a second, and {self._burst:g} at once; "
                f"try again in {seconds:.1f} seconds",
                headers={"Retry-After": str(math.ceil(seconds))},
            )
        bucket.tokens -= 1

    def charge(self, name: str, tokens: int) -> None:
        """Take tokens for what was let in already, on credit if need be."""
        if self._rate:
            self._filled(name).tokens -= tokens

    def _filled(self, name: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault(name, _Bucket(self._burst, now))
        gained = (now - bucket.filled_at) * self._rate
        bucket.tokens = min(self._burst, bucket.tokens + gained)
        bucket.filled_at = now
        return bucket
