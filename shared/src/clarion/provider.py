"""What a provider is to a worker: one verb, one answer, and the one way out of the process."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import aiohttp
from loguru import logger

from clarion.errors import (
    Ambiguous,
    BadMessage,
    BadRecipient,
    Misconfigured,
    PartlyMisconfigured,
    SendError,
    Throttled,
    Transient,
)
from clarion.notification import Reason

MAX_TEXT = 500
"""How many characters of a vendor's own words are kept."""

MessageT_contra = TypeVar("MessageT_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which call to a provider this is; it travels with the message, so that receipts name it.

    `bulk` says that its reader must be able to unsubscribe with one click.
    """

    notification_id: str
    number: int
    bulk: bool = False


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


async def ask(
    provider: Provider[MessageT_contra], message: MessageT_contra, attempt: Attempt
) -> SentMessage | SendError:
    """Return what the provider says of a message: whatever happens, there is an answer."""
    try:
        return await provider.send(message, attempt)
    except SendError as error:
        # its traceback leads to frames that hold it: a circle for the garbage collector
        return error.with_traceback(None)
    except Exception as error:  # noqa: BLE001  a provider's bug must not hold its message for ever
        logger.bind(notification_id=attempt.notification_id).exception("the provider broke")
        # how far the call got is not known
        return Ambiguous(f"unexpected {type(error).__name__}", code="unexpected")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a vendor's code means for us: which error, why, and how long to wait if not told."""

    error: type[SendError]
    reason: Reason | None = None
    wait: float | None = None

    def to_error(self, text: str, code: str, retry_after: float | None = None) -> SendError:
        """Return the error to raise, with the vendor's code and words."""
        return self.error(
            text,
            code=code,
            reason=self.reason,
            retry_after=self.wait if retry_after is None else retry_after,
        )


TRANSIENT = Meaning(Transient)
BAD_MESSAGE = Meaning(BadMessage)
MISCONFIGURED = Meaning(Misconfigured)
PARTLY_MISCONFIGURED = Meaning(PartlyMisconfigured)
INVALID_RECIPIENT = Meaning(BadRecipient, Reason.INVALID_RECIPIENT)
UNSUBSCRIBED = Meaning(BadRecipient, Reason.UNSUBSCRIBED)
# this recipient refuses this message: the address is good, and the next message may go
REFUSED = Meaning(BadRecipient, Reason.PROVIDER_REJECTED)


def throttled(wait: float) -> Meaning:
    """Return the meaning of a rate limit that is waited out for `wait` seconds if none is told."""
    return Meaning(Throttled, wait=wait)


STATUS_MEANINGS = {
    # a redirect means that the base URL is not the API's; POST is never sent on to another place
    **dict.fromkeys((301, 302, 303, 307, 308), MISCONFIGURED),
    **dict.fromkeys((401, 402, 403, 404, 405, 406, 407, 451), MISCONFIGURED),
    408: TRANSIENT,
    429: throttled(60),
}
"""What an HTTP status means where the vendor's own code says no more; else see `of_status`."""


def of_status(status: int) -> Meaning:
    """Return what an HTTP status means that is not 2xx; from 500 on it is worth another try."""
    return STATUS_MEANINGS.get(status) or (TRANSIENT if status >= 500 else BAD_MESSAGE)


@lru_cache(maxsize=256)
def report_unknown(vendor: str, code: str) -> None:
    """Log a vendor's code that no table holds; the cache is what makes it once for each code."""
    logger.bind(provider=vendor, code=code).warning(
        "{} answered with a code that is not in its table: {}", vendor, code
    )


@dataclass(frozen=True, slots=True)
class Reply:
    """A vendor's HTTP answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def accepted(self) -> bool:
        """Whether the vendor took the message, whatever else it said."""
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the body, empty if there is none: vendors' proxies answer in
        HTML."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def text(self, *, hide: str = "") -> str:
        """Return the body, or else the status, as `excerpt` does."""
        return excerpt(self.body.decode(errors="replace"), hide=hide) or f"HTTP {self.status}"

    def retry_after(self, cap: float = 3600.0) -> float | None:
        """Return the seconds that `Retry-After` asks for, at most `cap` (RFC 9110, 10.2.3)."""
        value = self.headers.get("Retry-After", "").strip()
        if value.isascii() and value.isdigit():
            return min(float(value), cap)
        try:
            at = parsedate_to_datetime(value)
            # a date without a zone is UTC (RFC 9110, 5.6.7)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            return min(max((at - datetime.now(UTC)).total_seconds(), 0.0), cap)
        except (ValueError, OverflowError):
            return None

    def reset_after(self, header: str, cap: float = 3600.0) -> float | None:
        """Return the seconds until the epoch time that `header` tells, at most `cap`."""
        value = self.headers.get(header, "").strip()
        if not (value.isascii() and value.isdigit()):
            return None
        return min(max(float(value) - time.time(), 0.0), cap)


def excerpt(text: str, *, hide: str = "") -> str:
    """Return the first `MAX_TEXT` characters on one line, without what a database cannot hold.

    `hide` is a credential, which no vendor should repeat and no record may hold.
    """
    # cut only after hiding: half a credential is still one
    text = text.replace(hide, "***") if hide else text
    printable = "".join(char if char.isprintable() else " " for char in text[: 2 * MAX_TEXT])
    return " ".join(printable.split())[:MAX_TEXT]


class HttpTransport:
    """The pooled HTTP session of a worker process, the only way out to a provider.

    The SDKs' own transports block, reconnect for each message, or retry behind our back. Make it
    inside the running loop and close it with `close`. `timeout` is in seconds, for a whole call.
    `connections` bounds the calls under way; 0 leaves that to the prefetch of whoever calls.
    """

    def __init__(self, *, timeout: float = 15.0, connections: int = 0) -> None:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            # `connect` also covers the name look-up and the wait for a pooled connection, so that
            # none of them is mistaken for a request that has left
            timeout=aiohttp.ClientTimeout(total=timeout, connect=min(5.0, timeout / 2)),
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

        Raises `Transient` when the request cannot have left, `Ambiguous` when it may have, and
        `Misconfigured` when the URL is none.
        """
        return await self._call("POST", url, headers, data)

    async def get(self, url: str, headers: Mapping[str, str]) -> Reply:
        """Return the answer to one GET, as `post` does."""
        return await self._call("GET", url, headers, None)

    async def _call(self, method: str, url: str, headers: Mapping[str, str], data: Any) -> Reply:
        try:
            async with self._session.request(
                method, url, data=data, headers=headers, allow_redirects=False
            ) as response:
                return Reply(response.status, response.headers, await _body(response))
        except aiohttp.InvalidURL as error:
            raise Misconfigured(excerpt(f"not a URL: {url}"), code="url") from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Transient(excerpt(f"could not connect: {error}"), code="connect") from error
        except (TimeoutError, aiohttp.ClientError) as error:
            text = f"the request left, no answer came: {str(error) or 'timed out'}"
            raise Ambiguous(excerpt(text), code="no_answer") from error

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._session.close()


async def _body(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.read()
    except (TimeoutError, aiohttp.ClientError):
        # the status has said what became of the message: a torn body must not put it in doubt
        return b""
