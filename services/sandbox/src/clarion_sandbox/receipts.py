"""Receipts: the sandbox tells what became of a message, as the vendors do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import aiohttp
from loguru import logger
from pydantic import BaseModel, ConfigDict, Field

from clarion_sandbox.addresses import tells
from clarion_sandbox.clock import iso, now
from clarion_sandbox.inbox import Message
from clarion_sandbox.vendors import sendgrid_events, twilio_callbacks

BATCH = 1000
BATCH_SECONDS = 0.2
"""SendGrid collects events for up to 30 seconds; nobody waits for that at a desk."""

_SENDGRID_TRIES = 8  # over four minutes; SendGrid itself goes on for a day
_TWILIO_TRIES = 2  # and the second only where no answer came
_STANDINGS = 10_000  # as many as the inbox keeps
_SEED = 8025
_TIMEOUT = aiohttp.ClientTimeout(total=15)


class Plan(BaseModel):
    """How the receipts of an accepted message come by themselves; delays in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    automatic: bool = True
    delay: float = Field(0.5, ge=0, le=86_400)
    copies: int = Field(1, ge=1, le=10)
    shuffle: bool = False


class Told(BaseModel):
    """What the webhook answered to one receipt: None where nothing did."""

    status: int | None
    error: str | None = None


class Teller:
    """Sends receipts to where the vendors would.

    SendGrid's go to `events_url`, signed with the key of `secret`; without both there are none.
    Twilio's go to the callback that each message names.
    """

    def __init__(self, secret: str | None, events_url: str | None) -> None:
        # a sandbox that is told of no gateway writes to nobody by itself
        self.plan = Plan(automatic=events_url is not None)
        self._signer = None if secret is None else sendgrid_events.Signer(secret)
        self._events_url = events_url
        self._session: aiohttp.ClientSession | None = None
        self._waiting: list[dict[str, Any]] = []
        self._some = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._random = random.Random(_SEED)
        self._standing: dict[str, str] = {}
        self._told = 0
        self._last: dict[str, Any] | None = None

    async def start(self) -> None:
        """Begin to send."""
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar())
        self._later(self._send_batches())

    async def stop(self) -> None:
        """Send no more, whatever is still to come."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def state(self) -> dict[str, Any]:
        """Return the plan, and how it goes."""
        return {
            **self.plan.model_dump(),
            "email_to": self._events_url if self._signer is not None else None,
            "told": self._told,
            "last": self._last,
        }

    def acts(self, message: Message) -> tuple[str, ...]:
        """Return what can be told of a message."""
        if message.channel == "email" and self._signer is not None and self._events_url:
            return tuple(sendgrid_events.EVENTS)
        if message.channel == "whatsapp" and message.content.get("status_callback"):
            return tuple(twilio_callbacks.STATUSES)
        return ()

    def accepted(self, message: Message) -> None:
        """Tell later, by the plan, what becomes of a message that was just accepted."""
        if self._session is None or not self.plan.automatic:
            return
        planned = tells(message.recipient.to, approved=bool(message.content.get("content_sid")))
        acts = [act for act in planned if act in self.acts(message)]
        receipts = [act for act in acts for _ in range(self.plan.copies)]
        if not receipts:
            # nobody is told of it; who asks is
            self._stand(message, planned[-1] if planned else "deliver")
            return
        if self.plan.shuffle:
            self._random.shuffle(receipts)
        self._later(self._tell_by_plan(message, receipts))

    async def tell(self, message: Message, act: str) -> Told:
        """Tell one thing now; return what the webhook answered. Raises `KeyError` for no act."""
        if act not in self.acts(message):
            raise KeyError(act)
        if message.channel == "email":
            return await self._post_events([sendgrid_events.event_of(message, act, now())])
        return await self._call_back(message, act)

    async def reply(self, message: Message, text: str) -> Told:
        """Let the recipient of a WhatsApp message write back."""
        request = twilio_callbacks.reply(message, text)
        if request is None:
            return Told(status=None, error="the message named no StatusCallback")
        return await self._post(*request, 1)

    def standing(self, message: Message) -> dict[str, str]:
        """Return what Twilio says of a WhatsApp message to who asks."""
        return twilio_callbacks.STATUSES[self._standing.get(message.id, "process")]

    def _stand(self, message: Message, act: str) -> None:
        order = list(twilio_callbacks.STATUSES)
        if message.channel != "whatsapp" or act not in order:
            return
        held = self._standing.get(message.id, "process")
        self._standing[message.id] = max(held, act, key=order.index)
        if len(self._standing) > _STANDINGS:
            del self._standing[next(iter(self._standing))]

    async def _tell_by_plan(self, message: Message, acts: Sequence[str]) -> None:
        events: dict[str, dict[str, Any]] = {}
        for act in acts:
            await asyncio.sleep(self.plan.delay)
            if message.channel == "email":
                # what is told twice is the same event: it has the same id
                event = events.setdefault(act, sendgrid_events.event_of(message, act, now()))
                self._waiting.append(event)
                self._some.set()
            else:
                await self._call_back(message, act)

    async def _send_batches(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(BATCH_SECONDS)
            events, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if not self._waiting:
                self._some.clear()
            self._later(self._post_patiently(events))

    async def _post_patiently(self, events: list[dict[str, Any]]) -> None:
        for number in range(_SENDGRID_TRIES):
            told = await self._post_events(events)
            if told.status is not None and 200 <= told.status < 300:
                return
            await asyncio.sleep(2**number)
        logger.bind(events=len(events)).warning("SendGrid's events were not taken")

    async def _post_events(self, events: list[dict[str, Any]]) -> Told:
        if self._signer is None or self._events_url is None:
            return Told(status=None, error="SANDBOX_SECRET and SANDBOX_EVENTS_URL are not set")
        body, headers = self._signer.request(events)
        return await self._post(self._events_url, body, headers, len(events))

    async def _call_back(self, message: Message, act: str) -> Told:
        request = twilio_callbacks.request(message, act)
        if request is None:
            return Told(status=None, error="the message named no StatusCallback")
        self._stand(message, act)
        told = Told(status=None)
        for _ in range(_TWILIO_TRIES):
            told = await self._post(*request, 1)
            if told.status is not None:
                break
        return told

    async def _post(self, url: str, body: bytes, headers: dict[str, str], many: int) -> Told:
        if self._session is None:
            return Told(status=None, error="the sandbox has not started")
        try:
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                await response.read()
                told = Told(status=response.status)
                self._told += many
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            told = Told(status=None, error=str(error) or type(error).__name__)
        self._last = {"at": iso(now()), "url": url.partition("?")[0], **told.model_dump()}
        return told

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
