"""Around every request: its id, security headers, the access log, and the answer to a bug."""

from __future__ import annotations

import random
import re
import time
from http import HTTPStatus

from loguru import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clarion import logs
from clarion_gateway.gathering import Gathering
from clarion_gateway.problems import Problem

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_QUIET = ("/health", "/metrics")
"""What monitoring asks every few seconds is logged at DEBUG."""

_Served = tuple[Scope, str, int, float]
"""A request, its id, the status of its answer, and the seconds that it took."""


class Envelope:
    """Gives each request an id, and each answer the id and the headers that browsers heed.

    Without `access_log` only what failed here (5xx) is logged.
    """

    def __init__(self, app: ASGIApp, access_log: bool = True) -> None:
        self._app = app
        self._access_log = access_log
        self._served: Gathering[_Served] = Gathering(_log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; an error that nobody expected becomes a 500 that tells no details."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 0

        async def send_wrapped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_headers(message["headers"], request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_wrapped)
        except Exception:  # noqa: BLE001  the last resort: a bug must not show the client its insides
            logger.bind(request_id=request_id).exception("a request failed unexpectedly")
            if not status:
                problem = Problem(500, "something went wrong here; the log knows it by request_id")
                await problem.response(request_id)(scope, receive, send_wrapped)
        finally:
            if self._access_log or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                self._served.add((scope, request_id, status, time.perf_counter() - started))


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    # unlike what `uuid` and `secrets` make it is no secret, and asks nothing of the system
    return f"{random.getrandbits(128):032x}"


def _with_headers(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    present = {name for name, _ in headers}
    added = [pair for pair in _HEADERS if pair[0] not in present]
    return [*headers, *added, (b"x-request-id", request_id.encode())]


def _log(served: list[_Served]) -> None:
    for scope, request_id, status, seconds in served:
        route = scope.get("route")
        path = route.path if route is not None else "unmatched"
        level = "DEBUG" if path.startswith(_QUIET) else "INFO"
        logs.note(
            level,
            "request",
            request_id=request_id,
            method=scope["method"],
            path=path,
            status=status,
            duration_ms=round(seconds * 1000, 1),
            producer=scope["state"].get("producer"),
        )
