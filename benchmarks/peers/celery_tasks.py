"""Celery 5: acknowledgement after the work, a pool of threads in one process."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import Any

from celery import Celery

from benchmarks.events import event as make_event
from benchmarks.peers.job import Job

QUEUE = "peer_celery"
THREADS = int(os.environ.get("THREADS", "8"))

app = Celery("peer", broker=os.environ["BROKER_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue=QUEUE,
    worker_prefetch_multiplier=4,
    broker_connection_retry_on_startup=True,
)


@lru_cache(maxsize=1)
def job() -> Job:
    """Return the job of this process."""
    return Job(THREADS)


@app.task(
    # named: the module that fills the queue goes by another name than the worker's
    name="send_email",
    autoretry_for=(Exception,),
    retry_backoff=2,
    retry_jitter=False,
    max_retries=3,
)
def send_email(event: dict[str, Any]) -> None:
    """Send one email."""
    job().run(event)


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        send_email.delay(make_event())
