"""What operators and monitoring ask: service information, health, metrics, and the documents."""

from __future__ import annotations

import json
from collections.abc import Mapping

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from clarion_gateway import VERSION, models
from clarion_gateway.docs import Page
from clarion_gateway.endpoint import Endpoint, Handler, model_response
from clarion_gateway.health import Health, HealthReport

_LINKS = {
    "documentation": "/docs",
    "openapi": "/openapi.json",
    "health": "/health",
    "metrics": "/metrics",
    "notifications": "/v1/notifications",
    "templates": "/v1/templates",
    "dead_letters": "/v1/dead-letters",
}


class Operations:
    """The endpoints outside /v1. The document and its page are set when every route is known."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._document = b""
        self._page: Page | None = None

    def publish(self, document: dict[str, object], page: Page) -> None:
        """Serve this OpenAPI document and this page from now on."""
        self._document = json.dumps(document).encode()
        self._page = page

    async def root(self, request: Request) -> Response:
        """Tell a program what this is; show a person the documentation."""
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/docs", 303, headers={"Vary": "Accept"})
        info = models.ServiceInfo(name="Clarion", version=VERSION, links=_LINKS)
        response = model_response(info)
        response.headers["Vary"] = "Accept"
        return response

    async def health(self, request: Request) -> Response:
        """Tell the state of the whole system."""
        report = await self._health.report()
        return model_response(report, 503 if report.status == "down" else 200)

    async def live(self, request: Request) -> Response:
        """Answer: that is all."""
        return model_response(models.State(status="ok"))

    async def ready(self, request: Request) -> Response:
        """Tell whether events can be taken in."""
        check = await self._health.ready()
        if check.status == "ok":
            return model_response(models.State(status="ok"))
        return model_response(models.State(status="down", detail=check.detail), 503)

    async def metrics(self, request: Request) -> Response:
        """Return what Prometheus scrapes."""
        await self._health.refresh_metrics()
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def openapi(self, request: Request) -> Response:
        """Return the OpenAPI document."""
        return Response(self._document, media_type="application/json")

    async def docs(self, request: Request) -> Response:
        """Return the documentation as a page."""
        page = self._page or Page("", "")
        return Response(
            page.html,
            media_type="text/html",
            headers={"Content-Security-Policy": page.policy, "Cache-Control": "max-age=60"},
        )

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what is served under which path."""
        state = {200: models.State, 503: models.State}
        report = {200: HealthReport, 503: HealthReport}
        return (
            _operation(
                "/",
                self.root,
                "showService",
                "Service information",
                {200: models.ServiceInfo, 303: "text/html"},
                "A browser is redirected to /docs.",
            ),
            _operation(
                "/health",
                self.health,
                "showHealth",
                "Health of the whole system",
                report,
                "Answers 200 while events can be accepted (`ok` or `degraded`), 503 when "
                "not (`down`). It is at most a second old.",
            ),
            _operation(
                "/health/live",
                self.live,
                "isLive",
                "Whether the process lives",
                {200: models.State},
            ),
            _operation(
                "/health/ready", self.ready, "isReady", "Whether events are accepted", state
            ),
            _operation(
                "/metrics",
                self.metrics,
                "showMetrics",
                "Metrics for Prometheus",
                {200: "text/plain"},
            ),
            _operation(
                "/openapi.json",
                self.openapi,
                "showOpenapi",
                "This document",
                {200: "application/json"},
            ),
            _operation(
                "/docs", self.docs, "showDocs", "This document, as a page", {200: "text/html"}
            ),
        )


def _operation(
    path: str,
    handler: Handler,
    name: str,
    summary: str,
    answers: Mapping[int, type[BaseModel] | str],
    description: str = "",
) -> Endpoint:
    return Endpoint(
        "GET", path, handler, name, summary, answers, "Operations", description, scope=None
    )
