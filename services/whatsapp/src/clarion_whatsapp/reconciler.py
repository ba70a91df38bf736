"""Asks Twilio what became of messages that it took, and told nothing of since.

A callback is sent once, or twice; a gateway that was away then never hears of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

from loguru import logger

from clarion.errors import ClarionError, SendError
from clarion.metrics import INQUIRIES
from clarion.notification import Channel
from clarion.provider import HttpTransport
from clarion.receipt import Receipt
from clarion.store.base import ReceiptResult, Store
from clarion.store.dialogue import Silent
from clarion_whatsapp.providers.twilio_inquiries import TwilioInquiries, Unknown
from clarion_whatsapp.settings import WhatsAppSettings

UNTIL = 3 * 86_400.0
"""The age in seconds from which on a message is not asked about any more."""

BATCH = 50
RATE = 10.0
"""Inquiries a second, at most, of one worker process."""

EVERY = 30.0
PAUSE = 60.0
LONGEST_PAUSE = 900.0
"""Seconds without an inquiry after one that Twilio did not answer; doubles while it does not."""


class Reconciler:
    """Settles what is silent. Several share the work: the store gives each message to one."""

    def __init__(
        self,
        store: Store,
        inquiries: TwilioInquiries,
        *,
        after: float,
        rate: float = RATE,
        pause: float = PAUSE,
    ) -> None:
        self._store = store
        self._inquiries = inquiries
        self._after = after
        self._interval = 1 / rate
        self._pause = pause
        self._failures = 0

    async def run(self) -> None:
        """Ask for ever; whatever fails is tried again."""
        # at its start a worker has messages to send; what is silent can wait a little longer
        wait = min(EVERY, self._after)
        while True:
            await asyncio.sleep(wait)
            try:
                wait = await self.round()
            except ClarionError as error:
                wait = EVERY
                logger.bind(error=str(error)).warning("silent messages could not be asked about")
            except Exception:  # noqa: BLE001  a fault of ours must not end the asking
                wait = LONGEST_PAUSE
                logger.exception("asking about silent messages broke")

    async def round(self) -> float:
        """Ask about one batch; return the seconds until the next."""
        silent = await self._store.take_silent(
            Channel.WHATSAPP, self._inquiries.name, after=self._after, until=UNTIL, limit=BATCH
        )
        for number, one in enumerate(silent):
            started = time.monotonic()
            try:
                await self._settle(one)
            except SendError as error:
                return await self._put_off(silent[number:], error)
            except asyncio.CancelledError:
                await self._give_back(silent[number:], 0.0)
                raise
            self._failures = 0
            await asyncio.sleep(max(self._interval - (time.monotonic() - started), 0.0))
        return 0.0 if len(silent) == BATCH else min(EVERY, self._after)

    async def _settle(self, silent: Silent) -> None:
        try:
            receipt = await self._inquiries.ask(silent)
        except Unknown:
            self._count("unknown")
            await self._give_back([silent], None)
            logger.bind(
                notification_id=silent.notification_id, provider_id=silent.provider_message_id
            ).warning("the provider does not know the message: it is not asked about again")
            return
        settled = receipt is not None and await self._note(receipt)
        self._count("settled" if settled else "unchanged")

    async def _note(self, receipt: Receipt) -> bool:
        (result,) = await self._store.note_receipts([receipt])
        if result is not ReceiptResult.MOVED:
            return False
        logger.bind(
            notification_id=receipt.notification_id, fact=receipt.fact, reason=receipt.reason
        ).info("asked what became of a message that nothing was told of")
        return True

    async def _put_off(self, silent: Sequence[Silent], error: SendError) -> float:
        self._count("failed")
        pause = max(min(self._pause * 2.0**self._failures, LONGEST_PAUSE), error.retry_after or 0.0)
        self._failures = min(self._failures + 1, 10)
        await self._give_back(silent, pause)
        logger.bind(pause=pause, messages=len(silent)).warning(
            "the provider cannot be asked about messages: {}", error
        )
        return pause

    async def _give_back(self, silent: Sequence[Silent], seconds: float | None) -> None:
        await self._store.ask_again([one.notification_id for one in silent], seconds)

    def _count(self, result: str) -> None:
        INQUIRIES.labels(self._inquiries.name, result).inc()


@contextlib.asynccontextmanager
async def reconciling(
    settings: WhatsAppSettings, transport: HttpTransport, store: Store
) -> AsyncIterator[None]:
    """Ask while the block runs; never where the settings say so."""
    if not settings.reconcile_after_seconds:
        yield
        return
    inquiries = TwilioInquiries(
        transport,
        settings.twilio_account_sid,
        settings.twilio_auth_token.get_secret_value(),
        base_url=settings.twilio_base_url,
    )
    reconciler = Reconciler(store, inquiries, after=settings.reconcile_after_seconds)
    task = asyncio.create_task(reconciler.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
