"""What a worker says of itself over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import uvicorn

from clarion.brokers.memory import MemoryBroker
from clarion.errors import Misconfigured, SendError
from clarion.notification import Channel, Priority
from clarion.ops import WorkerHealth, create_app
from clarion.provider import Attempt, SentMessage
from clarion.retry import RetryPolicy
from clarion.runner import listen, serving
from clarion.store import migrate, open_store
from clarion.templates import TemplateRepository
from clarion.worker import Worker

TEMPLATES = Path(__file__).parents[2] / "shared" / "templates"


class Unused:
    name = "unused"

    async def send(self, message: object, attempt: Attempt) -> SentMessage:
        raise AssertionError("nothing is sent in these tests")


class Ops:
    def __init__(self, url: str, worker: Worker[object], broker: MemoryBroker) -> None:
        self.url = url
        self.worker = worker
        self.broker = broker

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def ops(tmp_path: Path) -> AsyncIterator[Ops]:
    url = f"sqlite:///{tmp_path}/clarion.db"
    await asyncio.to_thread(migrate, url)
    store, broker = open_store(url), MemoryBroker()
    await broker.connect()
    worker: Worker[object] = Worker(
        Channel.EMAIL,
        name="host:1",
        broker=broker,
        store=store,
        templates=TemplateRepository(TEMPLATES),
        compose=lambda notification, parts: parts,
        provider=Unused(),
        policy=RetryPolicy(),
        prefetch=dict.fromkeys(Priority, 1),
    )
    await worker.start()
    listener = listen("127.0.0.1", 0)
    app = create_app(WorkerHealth(worker, broker, store))
    async with serving(uvicorn.Config(app, log_config=None, lifespan="off"), listener):
        yield Ops(f"http://127.0.0.1:{listener.getsockname()[1]}", worker, broker)
    await worker.stop(1)
    await broker.close()
    await store.close()


async def test_a_worker_that_takes_messages_is_ok_and_ready(ops: Ops) -> None:
    status, body = await ops.get("/health")

    assert status == 200
    assert '"status":"ok"' in body
    assert '"instance":"host:1"' in body
    assert (await ops.get("/health/ready"))[0] == 200
    assert (await ops.get("/health/live"))[0] == 200


async def test_a_worker_that_takes_no_messages_is_down_but_alive(ops: Ops) -> None:
    await ops.worker.stop(1)

    assert (await ops.get("/health"))[0] == 503
    assert (await ops.get("/health/ready"))[0] == 503
    assert (await ops.get("/health/live"))[0] == 200


async def test_a_worker_without_its_broker_is_down(ops: Ops) -> None:
    await ops.broker.close()

    status, body = await ops.get("/health")

    assert status == 503
    assert "not connected to the broker" in body


async def test_a_provider_set_up_wrong_degrades_the_worker_in_the_vendors_words(
    ops: Ops,
) -> None:
    trouble: SendError = Misconfigured("The provided authorization grant is invalid", code="401")
    ops.worker.trouble = str(trouble)

    status, body = await ops.get("/health")

    assert status == 200
    assert '"status":"degraded"' in body
    assert "authorization grant is invalid" in body


async def test_the_metrics_have_the_names_that_dashboards_use(ops: Ops) -> None:
    status, body = await ops.get("/metrics")

    assert status == 200
    assert "# TYPE notifications_sent_total counter" in body
    assert "# TYPE notification_send_duration_ms histogram" in body
