"""Dramatiq 2: its defaults, in one process."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks.events import event as make_event
from benchmarks.peers.job import Job

QUEUE = "peer_dramatiq"
THREADS = int(os.environ.get("THREADS", "8"))

broker = RabbitmqBroker(url=os.environ["BROKER_URL"], confirm_delivery=True)
dramatiq.set_broker(broker)


@lru_cache(maxsize=1)
def job() -> Job:
    """Return the job of this process."""
    return Job(THREADS)


@dramatiq.actor(queue_name=QUEUE, max_retries=3, min_backoff=2000)
def send_email(event: dict[str, Any]) -> None:
    """Send one email."""
    job().run(event)


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        send_email.send(make_event())
