"""What a worker says of itself over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import uvicorn

from clarion.brokers.memory import MemoryBroker
from clarion.errors import Misconfigured
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


async def test_an_open_circuit_degrades_the_worker_and_says_why_and_until_when(ops: Ops) -> None:
    error = Misconfigured("The provided authorization grant is invalid", code="401")
    async with ops.worker.gate.turn(Priority.HIGH) as call:
        ops.worker.gate.answered(call, error)

    status, body = await ops.get("/health")
    provider = json.loads(body)["checks"]["provider"]

    assert status == 200
    assert json.loads(body)["status"] == "degraded"
    assert (provider["status"], provider["circuit"]) == ("degraded", "open")
    assert "authorization grant is invalid" in provider["detail"]
    assert 0 < provider["next_probe_in"] <= 30
    assert (await ops.get("/health/ready"))[0] == 200


async def test_the_circuit_and_the_rate_are_measured(ops: Ops) -> None:
    _, before = await ops.get("/metrics")
    async with ops.worker.gate.turn(Priority.HIGH) as call:
        ops.worker.gate.answered(call, Misconfigured("bad key"))
    _, after = await ops.get("/metrics")

    assert 'notification_circuit_state{channel="email"} 0.0' in before
    assert 'notification_circuit_state{channel="email"} 2.0' in after
    assert 'notification_circuit_openings_total{channel="email"}' in after
    assert 'notification_provider_rate{channel="email"} +Inf' in after


async def test_the_metrics_have_the_names_that_dashboards_use(ops: Ops) -> None:
    status, body = await ops.get("/metrics")

    assert status == 200
    assert "# TYPE notifications_sent_total counter" in body
    assert "# TYPE notification_send_duration_ms histogram" in body
