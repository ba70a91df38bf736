"""What a provider is to a worker: one verb, one answer, and the one way out of the process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar

import aiohttp

from clarion.errors import Ambiguous, Transient

MessageT_contra = TypeVar("MessageT_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which call to a provider this is; it travels with the message, so that receipts name it."""

    notification_id: str
    number: int


@dataclass(frozen=True, slots=True)
class SentMessage:
    """The provider accepted the message, under its own id where it told one."""

    provider_message_id: str | None


class Provider(Protocol[MessageT_contra]):
    """Hands one channel's messages to one vendor."""

    name: str

    async def send(self, message: MessageT_contra, attempt: Attempt) -> SentMessage:
        """Return once the vendor accepted the message.

        Raises exactly one `SendError` otherwise. Never retries, never queues.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """A vendor's HTTP answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def retry_after(self, cap: float = 3600.0) -> float | None:
        """Return the seconds that `Retry-After` asks for, at most `cap` (RFC 9110, 10.2.3)."""
        value = self.headers.get("Retry-After", "").strip()
        if not value:
            return None
        if value.isascii() and value.isdigit():
            seconds = float(value)
        else:
            try:
                at = parsedate_to_datetime(value)
            except ValueError:
                return None
            if at.tzinfo is None:
                at = at.replace(tzinfo=UTC)
            seconds = (at - datetime.now(UTC)).total_seconds()
        return min(max(seconds, 0.0), cap)

    def reset_after(self, header: str, cap: float = 3600.0) -> float | None:
        """Return the seconds until the epoch time that `header` tells, at most `cap`."""
        value = self.headers.get(header, "").strip()
        if not (value.isascii() and value.isdigit()):
            return None
        return min(max(float(value) - time.time(), 0.0), cap)


class HttpTransport:
    """The pooled HTTP session of a worker process, the only way out to a provider.

    The SDKs' own transports block, reconnect for each message, or retry behind our back. Make it
    inside the running loop and close it with `close`. `timeout` is in seconds, for a whole call.
    """

    def __init__(self, *, timeout: float = 15.0, connections: int = 256) -> None:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=min(5.0, timeout)),
            connector=aiohttp.TCPConnector(
                limit=connections,
                limit_per_host=connections,
                # under the usual 60 s of proxies and vendors: a socket that the other side has
                # just closed turns a plain send into an ambiguous one
                keepalive_timeout=30,
                ttl_dns_cache=60,
            ),
        )

    async def post(self, url: str, data: Any, headers: Mapping[str, str]) -> Reply:
        """Return the answer to one POST, whatever its status.

        Raises `Transient` when the request cannot have left, `Ambiguous` when it may have.
        """
        try:
            async with self._session.post(
                url, data=data, headers=headers, allow_redirects=False
            ) as response:
                return Reply(response.status, response.headers, await response.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Transient(f"could not connect: {error}", code="connect") from error
        except (TimeoutError, aiohttp.ClientError) as error:
            text = str(error) or "no answer in time"
            raise Ambiguous(
                f"the request left, no answer came: {text}", code="no_answer"
            ) from error

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._session.close()
