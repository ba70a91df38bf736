"""Calling applications: each status event of their notifications, POSTed in order and signed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

import aiohttp
from loguru import logger
from standardwebhooks import Webhook

from clarion.errors import StoreUnavailable
from clarion.metrics import CALLBACKS
from clarion.patience import patiently
from clarion.provider import Reply
from clarion.retry import RetryPolicy
from clarion.store.callbacks import Callback, CallbackStore, Failure
from clarion_gateway.callback_urls import CallbackUrl, CallbackUrls

AT_ONCE = 16
"""Calls to one application at a time: its slowness is its own."""
TIMEOUT_SECONDS = 15.0
LEASE_SECONDS = 60.0
"""After this a call is taken for lost with its gateway, and made again."""
POLL_SECONDS = 1.0
DAY = 86_400.0
RETRIES = RetryPolicy(attempts=10_000, delay=5.0, cap=3600.0)
"""5 s, 10 s, 20 s ... an hour; what ends it is a day."""
GONE = 410
_DOING = "recording a callback"


class Caller:
    """Makes the calls that are due; several gateways may share them.

    One that fails is made again after a while, for `give_up_after` seconds from the first; those
    after it of the same notification wait.
    """

    def __init__(
        self,
        store: CallbackStore,
        urls: CallbackUrls,
        session: aiohttp.ClientSession,
        *,
        poll: float = POLL_SECONDS,
        timeout: float = TIMEOUT_SECONDS,
        retries: RetryPolicy = RETRIES,
        give_up_after: float = DAY,
    ) -> None:
        self._store = store
        self._urls = urls
        self._session = session
        self._poll = poll
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._retries = retries
        self._give_up_after = give_up_after
        self._under_way: Counter[str] = Counter()
        self._calls: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start calling."""
        self._task = asyncio.create_task(self._follow())

    async def stop(self, grace: float = 2.0) -> None:
        """Let calls under way end if that takes less than `grace` seconds, then stop.

        What is cut off is made again, under the same id.
        """
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._calls:
            _, late = await asyncio.wait(self._calls, timeout=grace)
            for call in late:
                call.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def look(self) -> None:
        """See soon whether a call is due."""
        self._look.set()

    async def _follow(self) -> None:
        while True:
            self._look.clear()
            try:
                await self._begin_calls()
            except StoreUnavailable as error:
                logger.bind(error=str(error)).warning("the store gives no callbacks")
                await asyncio.sleep(self._poll)
            except Exception:  # noqa: BLE001  without this task nobody would be called
                logger.exception("looking for callbacks failed unexpectedly")
                await asyncio.sleep(self._poll)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), self._poll)

    async def _begin_calls(self) -> None:
        for name in self._urls.names:
            room = AT_ONCE - self._under_way[name]
            if room <= 0:
                continue
            for callback in await self._store.take_callbacks(name, room, LEASE_SECONDS):
                self._under_way[name] += 1
                call = asyncio.create_task(self._call(callback))
                self._calls.add(call)
                call.add_done_callback(self._calls.discard)

    async def _call(self, callback: Callback) -> None:
        try:
            url = self._urls.get(callback.producer)
            if url is not None:  # else its entry is gone since a moment: it waits for another
                await self._settle(callback, *await self._post(url, callback))
        except Exception:  # noqa: BLE001  its lease brings it again
            logger.bind(event_id=callback.event_id).exception("a callback failed unexpectedly")
        finally:
            self._under_way[callback.producer] -= 1
            self.look()

    async def _post(self, url: CallbackUrl, callback: Callback) -> tuple[int | None, str, float]:
        """Return the answer's status, what went wrong, and the seconds that it asked us to wait."""
        try:
            async with self._session.post(
                url.url,
                data=callback.body.encode(),
                headers=signed(url.secrets, callback.event_id, callback.body, datetime.now(UTC)),
                allow_redirects=False,
                timeout=self._timeout,
            ) as answer:
                wait = Reply(answer.status, answer.headers, b"").retry_after() or 0.0
                return answer.status, f"answered {answer.status}", wait
        except TimeoutError:
            return None, f"no answer within {self._timeout.total:g} seconds", 0.0
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # the library's words may repeat the address, which is the application's secret
            return None, f"not reached: {type(error).__name__}", 0.0

    async def _settle(
        self, callback: Callback, status: int | None, error: str, retry_after: float
    ) -> None:
        log = logger.bind(
            producer=callback.producer,
            event_id=callback.event_id,
            notification_id=callback.notification_id,
            attempt=callback.attempts,
        )
        if status is not None and 200 <= status < 300:
            await patiently(lambda: self._store.callback_made(callback), StoreUnavailable, _DOING)
            CALLBACKS.labels(callback.producer, "made").inc()
            return
        retry_in = self._retries.next_delay(callback.attempts, retry_after)
        if status == GONE or retry_in is None or callback.failing + retry_in > self._give_up_after:
            retry_in = None
        failure = Failure(callback, error, retry_in)
        await patiently(lambda: self._store.callback_failed(failure), StoreUnavailable, _DOING)
        CALLBACKS.labels(callback.producer, "failed" if retry_in else "given_up").inc()
        if retry_in is None:
            log.error("callback given up: {}", error)
        else:
            log.bind(retry_in=round(retry_in, 1)).warning("callback failed: {}", error)


def calling_session() -> aiohttp.ClientSession:
    """Return the session for the calls; it may open as many connections as calls are under way.

    Each application has its own limit: one that is slow takes no connection from another.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    )


def signed(secrets: Iterable[str], event_id: str, body: str, now: datetime) -> dict[str, str]:
    """Return the headers of a call: Standard Webhooks 1.0, one signature for each secret."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "Clarion",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(
            Webhook(secret).sign(event_id, now, body) for secret in secrets
        ),
    }
