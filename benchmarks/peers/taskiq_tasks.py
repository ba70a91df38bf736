"""taskiq on aio-pika: an asynchronous worker with asyncpg and one aiohttp session."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import aiohttp
import asyncpg
from taskiq import SmartRetryMiddleware, TaskiqEvents, TaskiqState
from taskiq_aio_pika import AioPikaBroker, Queue, QueueType

from benchmarks.events import event as make_event
from benchmarks.peers.job import CLAIM, RECORD, render, templates

QUEUE = "peer_taskiq"
PREFETCH = 200

broker = AioPikaBroker(
    os.environ["BROKER_URL"],
    qos=PREFETCH,
    task_queues=[Queue(name=QUEUE)],
    delay_queue=Queue(name=f"{QUEUE}_delay", type=QueueType.CLASSIC),
).with_middlewares(
    SmartRetryMiddleware(default_retry_count=3, default_retry_label=True, default_delay=2)
)
lookup = templates()


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start(state: TaskiqState) -> None:
    """Open what the tasks share."""
    state.database = await asyncpg.create_pool(os.environ["DATABASE_URL"], max_size=10)
    state.session = aiohttp.ClientSession(headers={"Authorization": "Bearer SG.bench"})


@broker.task("send_email")
async def send_email(event: dict[str, Any]) -> None:
    """Send one email."""
    database, session = broker.state.database, broker.state.session
    claim = CLAIM.replace("%s", "$1")
    if await database.fetchval(claim, event["message_id"]) is None:
        return
    parts = render(lookup, event)
    message = {
        "personalizations": [{"to": [{"email": event["payload"]["email"]}]}],
        "from": {"email": "notifications@clarion.test"},
        "subject": parts["subject"].strip(),
        "content": [
            {"type": "text/plain", "value": parts["text"]},
            {"type": "text/html", "value": parts["html"]},
        ],
    }
    url = f"{os.environ['SENDGRID_BASE_URL']}/v3/mail/send"
    async with session.post(url, json=message) as response:
        response.raise_for_status()
        provider_id = response.headers["X-Message-Id"]
    record = RECORD.replace("%s", "$1", 1).replace("%s", "$2")
    await database.execute(record, provider_id, event["message_id"])


async def _fill(count: int) -> None:
    await broker.startup()
    for _ in range(0, count, 50):
        await asyncio.gather(*(send_email.kiq(make_event()) for _ in range(50)))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(_fill(int(sys.argv[1])))
