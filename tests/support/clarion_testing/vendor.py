"""A vendor's API on a local port that answers as it is told and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

from aiohttp import web

from clarion_testing.listening import listening

Answer = web.Response | str
"""A response, or a fault: `drop` closes the connection after the request, `hang` never answers,
`torn` breaks off in the body of a 202."""


@dataclass
class Vendor:
    """Answers each request with the next of `answers`, or with `default` when there is none."""

    url: str = ""
    default: Callable[[], web.Response] = field(default=lambda: web.Response(status=202))
    answers: deque[Answer] = field(default_factory=deque)
    requests: list[SimpleNamespace] = field(default_factory=list)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(
            SimpleNamespace(
                method=request.method,
                path=request.path_qs,
                headers=request.headers,
                body=await request.read(),
            )
        )
        answer = self.answers.popleft() if self.answers else self.default()
        if isinstance(answer, web.Response):
            return answer
        if answer == "hang":
            await asyncio.Event().wait()
        response = web.StreamResponse(status=202, headers={"X-Message-Id": "torn-1"})
        if answer == "torn":
            response.content_length = 100
            await response.prepare(request)
            await response.write(b"{")
        if request.transport is not None:
            request.transport.close()
        return response


@asynccontextmanager
async def vendor(default: Callable[[], web.Response] | None = None) -> AsyncIterator[Vendor]:
    """Serve a vendor on a free port of the loopback address."""
    served = Vendor() if default is None else Vendor(default=default)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served._answer)
    async with listening(app, shutdown_timeout=0.1, handler_cancellation=True) as served.url:
        yield served
