"""The health of the whole system, and its verdict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal

import aiohttp
import pytest
from aiohttp import web

from clarion.notification import Channel, Reason
from clarion.store.base import Store
from clarion_gateway.health import (
    Cached,
    Check,
    Checks,
    HealthReport,
    PublisherCheck,
    WorkerHealth,
    channel_status,
    verdict,
)
from clarion_gateway.probes import HttpProbe, InstanceHealth

Health = Literal["ok", "degraded", "down"]
Until = Callable[..., Awaitable[None]]


def checks(store: Health = "ok", broker: Health = "ok", publisher: Health = "ok") -> Checks:
    return Checks(
        broker=Check(status=broker),
        store=Check(status=store),
        publisher=PublisherCheck(status=publisher, waiting=0, unroutable=[], full=[]),
    )


def workers(status: Health) -> dict[str, WorkerHealth]:
    healthy = WorkerHealth(status="ok", instances=[])
    return {"email": healthy, "push": WorkerHealth(status=status, instances=[])}


@pytest.mark.parametrize(
    ("own", "channel", "expected"),
    [
        (checks(), "ok", "ok"),
        (checks(), "degraded", "degraded"),
        (checks(), "down", "degraded"),
        (checks(broker="down"), "ok", "degraded"),
        (checks(publisher="degraded"), "ok", "degraded"),
        (checks(store="down"), "ok", "down"),
        (checks(store="down", broker="down"), "down", "down"),
    ],
)
def test_the_verdict(own: Checks, channel: Health, expected: Health) -> None:
    assert verdict(own, workers(channel)) == expected


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], "down"),
        (["down"], "down"),
        (["down", "down"], "down"),
        (["ok"], "ok"),
        (["ok", "down"], "degraded"),
        (["ok", "degraded"], "degraded"),
        (["degraded"], "degraded"),
    ],
)
def test_a_channel_is_as_well_as_its_instances(statuses: list[Health], expected: Health) -> None:
    instances = [InstanceHealth(instance="w", status=status) for status in statuses]

    assert channel_status(instances) == expected


async def test_a_healthy_system_is_ok(gateway: Any, until: Until) -> None:
    await until(lambda: gateway.broker.connected)

    answer = await gateway.get("/health")

    report = HealthReport.model_validate_json(answer.body)
    assert (answer.status, report.status) == (200, "ok")
    assert report.checks.store.latency_ms is not None
    assert set(report.workers) == set(Channel)
    assert len(report.queues) == 9
    assert report.delayed == report.unpublished == 0


async def test_what_waits_is_counted(gateway: Any, until: Until) -> None:
    await gateway.send()
    await until(lambda: len(gateway.broker.published) == 1)

    report = (await gateway.get("/health")).json

    assert report["queues"]["notifications.email.normal"]["ready"] == 1
    assert report["queues"]["notifications.email.normal"]["oldest_seconds"] is not None


async def test_a_broker_that_is_away_is_degraded_and_still_200(
    broker: Any, start_gateway: Any
) -> None:
    broker.down = True
    gateway = await start_gateway()

    answer = await gateway.get("/health")

    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert answer.json["checks"]["broker"]["status"] == "down"
    assert answer.json["queues"]["notifications.email.high"]["ready"] is None
    assert (await gateway.get("/health/ready")).status == 200


async def test_a_database_that_is_away_is_down_and_503(
    start_gateway: Any, absent_store: Store
) -> None:
    gateway = await start_gateway(store=absent_store)

    answers = [await gateway.get(path) for path in ("/health", "/health/ready", "/health/live")]

    assert [answer.status for answer in answers] == [503, 503, 200]
    assert answers[0].json["status"] == "down"
    assert answers[0].json["checks"]["store"]["detail"]


async def test_a_database_that_says_nothing_is_told_in_time(
    start_gateway: Any, silent_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clarion_gateway.health.CHECK_SECONDS", 0.1)
    gateway = await start_gateway(store=silent_store)

    answer = await gateway.get("/health")

    assert answer.status == 503


async def test_a_probe_that_hangs_is_a_channel_without_a_worker(
    start_gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> list[InstanceHealth]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr("clarion_gateway.health.CHECK_SECONDS", 0.1)
    gateway = await start_gateway(probes={Channel.PUSH: hang})

    answer = await gateway.get("/health")

    assert answer.json["workers"]["push"] == {"status": "down", "instances": []}


async def test_a_flood_of_questions_asks_once() -> None:
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return asked

    cached = Cached(ask, seconds=60.0)

    answers = await asyncio.gather(*(cached.get() for _ in range(100)))

    assert answers == [1] * 100
    assert await Cached(ask, seconds=0.0).get() == 2


async def test_one_caller_that_gives_up_does_not_spoil_the_answer() -> None:
    released = asyncio.Event()

    async def ask() -> str:
        await released.wait()
        return "answer"

    cached = Cached(ask)
    impatient = asyncio.create_task(cached.get())
    patient = asyncio.create_task(cached.get())
    await asyncio.sleep(0)
    impatient.cancel()
    released.set()

    assert await patient == "answer"


async def test_metrics_show_the_same_as_health(gateway: Any, until: Until) -> None:
    sent = await gateway.send(priority="high")
    await until(lambda: len(gateway.broker.published) == 1)
    identifier = sent.json["notifications"][0]["notification_id"]
    await gateway.store.give_up(identifier, Reason.TEMPLATE_ERROR, "no such name")

    answer = await gateway.get("/metrics")

    text = answer.body.decode()
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert 'notification_queue_depth{lane="notifications.email.high"} 1.0' in text
    assert 'notification_dead_letter_depth{channel="push"} 0.0' in text
    assert 'notifications_dead{channel="email"} 1.0' in text
    assert 'notifications_dead{channel="push"} 0.0' in text
    assert "notification_delayed_depth 0.0" in text
    assert "notifications_unpublished 0.0" in text
    assert 'notifications_accepted_total{channel="email",duplicate="false"}' in text


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def serve(body: str, status: int = 200) -> tuple[web.AppRunner, int]:
    async def health(request: web.Request) -> web.Response:
        return web.Response(text=body, status=status, content_type="application/json")

    app = web.Application()
    app.router.add_get("/health", health)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address: tuple[str, int] = runner.addresses[0]
    return runner, address[1]


@pytest.mark.parametrize(("status", "code"), [("ok", 200), ("degraded", 200), ("down", 503)])
async def test_a_worker_is_asked_for_its_health(
    session: aiohttp.ClientSession, status: str, code: int
) -> None:
    runner, port = await serve(
        f'{{"status": "{status}", "service": "email", "instance": "w1:7", "in_flight": 3,'
        ' "checks": {"broker": {"status": "ok"}}}',
        code,
    )

    [instance] = await HttpProbe(f"http://127.0.0.1:{port}", session)()

    await runner.cleanup()
    assert (instance.status, instance.instance, instance.in_flight) == (status, "w1:7", 3)
    assert instance.address == "127.0.0.1"
    assert instance.latency_ms is not None
    assert instance.checks == {"broker": {"status": "ok"}}


@pytest.mark.parametrize("body", ["", "hello", "[]", '{"status": "fine", "instance": "x"}'])
async def test_something_else_on_the_port_is_no_live_worker(
    session: aiohttp.ClientSession, body: str
) -> None:
    runner, port = await serve(body)

    [instance] = await HttpProbe(f"http://127.0.0.1:{port}", session)()

    await runner.cleanup()
    assert instance.status == "down"


async def test_a_worker_that_is_gone_is_down(
    session: aiohttp.ClientSession, unused_tcp_port: int
) -> None:
    [instance] = await HttpProbe(f"http://127.0.0.1:{unused_tcp_port}", session)()

    assert instance.status == "down"
    assert instance.detail


async def test_a_name_that_is_not_in_dns_is_no_worker(session: aiohttp.ClientSession) -> None:
    assert await HttpProbe("http://nobody.invalid:3002", session)() == []


async def test_every_address_of_a_name_is_asked(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, port = await serve('{"status": "ok", "instance": "w1"}')
    answers = [(2, 1, 6, "", (address, port)) for address in ("127.0.0.1", "127.0.0.2")]

    async def resolve(*_: object, **__: object) -> list[Any]:
        return answers

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)

    instances = await HttpProbe(f"http://email:{port}", session)()

    await runner.cleanup()
    by_address = {instance.address: instance.status for instance in instances}
    assert by_address == {"127.0.0.1": "ok", "127.0.0.2": "down"}
