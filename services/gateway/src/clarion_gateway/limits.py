"""What a request may cost: its body's type, size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from clarion.errors import StoreUnavailable
from clarion_gateway.problems import Problem

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds. `work` bounds what a request waits for the database."""

    body: int = 1024 * 1024
    body_seconds: float = 10.0
    work_seconds: float = 8.0
    receipts_body: int = 5 * 1024 * 1024
    batch: int = 1000
    batch_notifications: int = 5000

    async def in_time(self, work: Awaitable[T]) -> T:
        """Return what the database answers. Raises `StoreUnavailable` after `work_seconds`."""
        try:
            return await asyncio.wait_for(work, self.work_seconds)
        except TimeoutError as error:
            raise StoreUnavailable("the database did not answer in time") from error


async def read_json(request: Request, limits: Limits) -> bytes:
    """Return the body of a JSON request, unparsed.

    Raises `Problem`: 415 for another type, 413 above the limit, 408 when it comes too slowly.
    """
    _require_json(request.headers.get("content-type", ""))
    return await read_body(request, limits, limits.body)


async def read_body(request: Request, limits: Limits, most: int) -> bytes:
    """Return a body of at most `most` bytes, whatever its type.

    Raises `Problem`: 413 above the limit, 408 when it comes too slowly.
    """
    declared = request.headers.get("content-length")
    if declared is not None and int(declared) > most:
        raise _too_large(most)
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _read(request, most)
    except TimeoutError:
        detail = f"the body did not arrive within {limits.body_seconds:g} seconds"
        raise Problem(408, detail, headers={"Connection": "close"}) from None
    except ClientDisconnect:
        # nobody reads this answer; it ends the request and the access log shows it
        raise Problem(400, "the client went away before its body was complete") from None


async def _read(request: Request, most: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        chunks.append(chunk)
    return b"".join(chunks)


def _require_json(content_type: str) -> None:
    media_type, _, parameters = content_type.partition(";")
    charset = parameters.lower().partition("charset=")[2].strip(' "')
    if media_type.strip().lower() != "application/json" or charset not in {"", "utf-8", "utf8"}:
        raise Problem(
            415,
            "send the body as JSON in UTF-8, with Content-Type: application/json",
            headers={"Accept-Post": "application/json"},
        )


def _too_large(most: int) -> Problem:
    return Problem(413, f"the body is larger than {most} bytes; send less in one request")
