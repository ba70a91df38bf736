"""How the gateway asks the workers for their health: every instance behind a name in DNS."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, Literal, Protocol

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from yarl import URL

HealthStatus = Literal["ok", "degraded", "down"]

MAX_REPORT_BYTES = 64 * 1024


class InstanceHealth(BaseModel):
    """What one process of a worker says of itself, or that it says nothing."""

    instance: str
    address: str | None = None
    status: HealthStatus
    latency_ms: float | None = None
    in_flight: int | None = None
    checks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    detail: str | None = None


class Probe(Protocol):
    """Asks every instance of one channel's worker how it is."""

    async def __call__(self) -> list[InstanceHealth]:
        """Return one report per instance that is known; none where there is no worker."""
        ...


class _Report(BaseModel):
    """The body of a worker's `GET /health`."""

    model_config = ConfigDict(extra="ignore")

    status: HealthStatus
    instance: str
    checks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    in_flight: int | None = None


class HttpProbe:
    """Asks `GET /health` of every address that the URL's host resolves to.

    A service scaled to several containers has one name and an address for each.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession, timeout: float = 1.5) -> None:
        self._url = URL(url)
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def __call__(self) -> list[InstanceHealth]:
        """Return one report per address; none when the name is not in DNS."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                self._url.host or "", self._url.port, type=socket.SOCK_STREAM
            )
        except OSError:
            return []
        addresses = sorted({str(address[4][0]) for address in found})
        return list(await asyncio.gather(*(self._ask(address) for address in addresses)))

    async def _ask(self, address: str) -> InstanceHealth:
        started = time.perf_counter()
        url = self._url.with_host(address) / "health"
        try:
            async with self._session.get(
                url,
                headers={"Host": self._url.authority},
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                body = await response.content.read(MAX_REPORT_BYTES)
            report = _Report.model_validate_json(body)
        except ValidationError:
            return _silent(address, "answered, but not as a worker does")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return _silent(address, str(error) or "did not answer in time")
        return InstanceHealth(
            instance=report.instance,
            address=address,
            status=report.status,
            latency_ms=round((time.perf_counter() - started) * 1000, 1),
            in_flight=report.in_flight,
            checks=report.checks,
        )


def _silent(address: str, detail: str) -> InstanceHealth:
    return InstanceHealth(instance=address, address=address, status="down", detail=detail)
