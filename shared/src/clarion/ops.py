"""What a worker tells of itself over HTTP: health, readiness, metrics."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from clarion.brokers.base import Broker
from clarion.circuit import State
from clarion.errors import StoreUnavailable
from clarion.gate import Gate
from clarion.store.base import Store
from clarion.worker import Worker

CHECK_SECONDS = 2.0


class WorkerHealth:
    """Looks at a worker and what it depends on."""

    def __init__(self, worker: Worker[Any], broker: Broker, store: Store) -> None:
        self._worker = worker
        self._broker = broker
        self._store = store
        self.stopping = False

    async def report(self) -> dict[str, Any]:
        """Return the worker's state: the overall status is that of its worst check."""
        checks = {
            "broker": _broker_check(self._broker),
            "consumers": self._consumers_check(),
            "provider": _provider_check(self._worker.gate),
            "store": await _store_check(self._store),
        }
        statuses = {check["status"] for check in checks.values()}
        return {
            "status": next(s for s in ("down", "degraded", "ok") if s in statuses),
            "service": self._worker.channel.value,
            "instance": self._worker.name,
            "checks": checks,
            "in_flight": self._worker.in_flight,
        }

    @property
    def ready(self) -> bool:
        """Whether it takes messages; one whose circuit is open is ready to be asked why."""
        return not self.stopping and (self._worker.consuming or self._worker.paused)

    def _consumers_check(self) -> dict[str, Any]:
        if self._worker.consuming:
            return {"status": "ok"}
        if self._worker.paused:
            return {"status": "degraded", "detail": "no messages are taken until the next probe"}
        return {"status": "down", "detail": "no messages are being taken"}


def create_app(health: WorkerHealth) -> Starlette:
    """Return the application with /health, /health/live, /health/ready and /metrics."""

    async def report(request: Request) -> Response:
        body = await health.report()
        return JSONResponse(body, 503 if body["status"] == "down" else 200)

    async def live(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        if health.ready:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "down", "detail": "not taking messages"}, 503)

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/health", report),
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/metrics", metrics),
        ]
    )


def _broker_check(broker: Broker) -> dict[str, Any]:
    if broker.connected:
        return {"status": "ok"}
    return {"status": "down", "detail": "not connected to the broker"}


def _provider_check(gate: Gate) -> dict[str, Any]:
    check: dict[str, Any] = {"status": "ok", "circuit": gate.state.value}
    if gate.trouble is not None:
        check |= {"status": "degraded", "detail": gate.trouble}
    if gate.state is State.OPEN:
        check["next_probe_in"] = round(gate.wait, 1)
    if gate.rate is not None:
        check["calls_per_second"] = round(gate.rate, 1)
    return check


async def _store_check(store: Store) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        await asyncio.wait_for(store.ping(), CHECK_SECONDS)
    except (StoreUnavailable, TimeoutError) as error:
        return {"status": "down", "detail": str(error) or "the database did not answer in time"}
    return {"status": "ok", "latency_ms": round((time.perf_counter() - started) * 1000, 1)}
