"""The sandbox's clock, by which tests judge delays: UTC, to the millisecond."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> float:
    """Return the time in unix seconds, to the millisecond."""
    return round(time.time(), 3)


def iso(at: float) -> str:
    """Return a time in unix seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
