"""Run a service that kills itself: `python -m clarion_testing.crashing clarion_email`.

CRASH_AT names a step and a side of it, as in `claim:before`; when the CRASH_EVERY-th notification
passes it the process ends by SIGKILL, with whatever else it was doing. CLOCK_SKEW is how many
seconds its clock is ahead. CHAOS_TALLY names a file that gets a line for each message that the
claim absorbed.
"""

from __future__ import annotations

import asyncio
import functools
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from clarion.brokers.rabbitmq import consumer
from clarion.brokers.rabbitmq.broker import RabbitMQBroker
from clarion.brokers.topology import DELAY
from clarion.provider import HttpTransport
from clarion.store.base import Claim, Verdict
from clarion.store.receipts import ReceiptWriter
from clarion.store.sql import SqlStore

STEPS: dict[str, tuple[type, str]] = {
    # the gateway's
    "accept": (SqlStore, "accept_all"),
    "publish": (RabbitMQBroker, "publish_all"),
    "mark": (SqlStore, "mark_queued"),
    "tell": (RabbitMQBroker, "tell_all"),
    "receipts": (SqlStore, "note_receipts"),
    "commit": (ReceiptWriter, "write"),  # of receipts: after it, all is written and not committed
    # a worker's
    "claim": (SqlStore, "claim"),
    "provider": (HttpTransport, "post"),
    "record": (SqlStore, "record"),
    "retry": (RabbitMQBroker, "_send"),
    "ack": (consumer._Original, "ack"),
}
"""Where a process can be killed: what each step is in the code."""

TOGETHER = ("accept", "publish", "mark", "tell")
"""The steps that many notifications pass in one call."""


def main() -> None:
    """Arm the process as its environment says, then run the service that the command names."""
    service = sys.argv[1]
    if at := os.environ.get("CRASH_AT"):
        step, _, side = at.partition(":")
        crash(step, side, int(os.environ["CRASH_EVERY"]))
    if skew := os.environ.get("CLOCK_SKEW"):
        skew_clock(float(skew))
    if tally := os.environ.get("CHAOS_TALLY"):
        count_duplicates(tally)
    del sys.argv[0]
    runpy.run_module(service, run_name="__main__", alter_sys=True)


def crash(step: str, side: str, every: int) -> None:
    """Make the passage of the `every`-th notification the last thing that this process does."""
    owner, name = STEPS[step]
    passed = 0

    def pass_by(many: int) -> None:
        nonlocal passed
        if passed < every <= passed + many:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += many

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:
            counts = step != "retry" or arguments[0] == DELAY
            many = len(arguments[0]) if step in TOGETHER else 1
            if counts and side == "before":
                pass_by(many)
            result = await original(self, *arguments, **named)
            if counts and side == "after":
                if step == "ack":
                    # the client library writes in a task of its own: let the frame leave
                    await asyncio.sleep(0.01)
                pass_by(many)
            return result

        return wrapped

    setattr(owner, name, wrap(getattr(owner, name)))


def skew_clock(seconds: float) -> None:
    """Put this process's wall clock ahead; what measures durations goes on as it was."""
    real = time.time
    real_ns = time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 1e9)


def count_duplicates(path: str) -> None:
    """Write a line for each absorbed message at once: a killed process counts nothing any more."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    original = SqlStore.claim

    async def claim(self: SqlStore, notification_id: str, **terms: Any) -> Claim:
        answer = await original(self, notification_id, **terms)
        if answer.verdict is Verdict.FINISHED:
            os.write(file, f"{notification_id}\n".encode())
        return answer

    SqlStore.claim = claim  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
