"""What providers tell later, under /webhooks: checked, read, noted; then answered.

An answer other than 2xx asks the provider to tell again, so only what may be better then gets one:
a signature that is wrong, and a database that is away.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime

from loguru import logger
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from clarion.metrics import INBOUND, RECEIPTS
from clarion.store.base import ReceiptResult, Store
from clarion_gateway.endpoint import Endpoint, malformed, model_response
from clarion_gateway.limits import Limits, read_body
from clarion_gateway.problems import Problem
from clarion_gateway.providers import sendgrid, twilio
from clarion_gateway.providers.received import Received

_REFUSALS = (401, 403, 408, 413, 503)


class ReceiptsTaken(BaseModel):
    """What became of the receipts in a request."""

    received: int
    results: dict[str, int]


class Webhooks:
    """The endpoints under /webhooks. A provider that is None is not set up, and is refused."""

    def __init__(
        self,
        store: Store,
        limits: Limits,
        sendgrid_events: sendgrid.SendGridEvents | None = None,
        twilio_callbacks: twilio.TwilioCallbacks | None = None,
    ) -> None:
        self._store = store
        self._limits = limits
        self._sendgrid = sendgrid_events
        self._twilio = twilio_callbacks

    async def sendgrid(self, request: Request) -> Response:
        """Take an array of events."""
        if self._sendgrid is None:
            raise _not_set_up("SENDGRID_WEBHOOK_PUBLIC_KEY")
        body = await read_body(request, self._limits, self._limits.receipts_body)
        self._sendgrid.verify(request.headers, body)
        try:
            received = await asyncio.to_thread(sendgrid.read, body)
        except ValueError as error:
            raise malformed(str(error)) from error
        results = await self._note("sendgrid", received)
        return model_response(ReceiptsTaken(received=results.total(), results=dict(results)))

    async def twilio(self, request: Request) -> Response:
        """Take one status callback."""
        if self._twilio is None:
            raise _not_set_up("TWILIO_AUTH_TOKEN and PUBLIC_URL")
        body = await read_body(request, self._limits, self._limits.body)
        query = request.url.query
        self._twilio.verify(request.url.path, query, request.headers, body)
        await self._note("twilio", twilio.read(query, body, datetime.now(UTC)))
        return Response(status_code=204)

    async def twilio_inbound(self, request: Request) -> Response:
        """Take one message of a person; answer that nothing is to be sent back."""
        if self._twilio is None:
            raise _not_set_up("TWILIO_AUTH_TOKEN and PUBLIC_URL")
        body = await read_body(request, self._limits, self._limits.body)
        self._twilio.verify(request.url.path, request.url.query, request.headers, body)
        inbound = twilio.read_inbound(body)
        result = "ignored"
        if inbound is not None:
            new = await self._limits.in_time(self._store.note_inbound(inbound))
            result = (inbound.wish or "noted") if new else "duplicate"
        INBOUND.labels("twilio", result).inc()
        logger.bind(provider="twilio", result=result).info("inbound message taken")
        return Response(_NO_REPLY, media_type="text/xml")

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what is served under which path."""
        return (
            Endpoint(
                "POST",
                "/webhooks/sendgrid",
                self.sendgrid,
                "takeSendGridEvents",
                "Take events of SendGrid's Signed Event Webhook",
                {200: ReceiptsTaken},
                "Webhooks",
                "An array of up to 5 MiB, signed with the key whose public half is "
                "`SENDGRID_WEBHOOK_PUBLIC_KEY`. Each event is noted once; those that are unknown, "
                "late or not about a notification are counted in `results`.",
                refusals=(400, *_REFUSALS),
                scope=None,
            ),
            Endpoint(
                "POST",
                "/webhooks/twilio",
                self.twilio,
                "takeTwilioCallback",
                "Take a status callback of Twilio",
                {204: "application/json"},
                "Webhooks",
                "A form, signed with `TWILIO_AUTH_TOKEN` for this path under `PUBLIC_URL`.",
                refusals=_REFUSALS,
                scope=None,
            ),
            Endpoint(
                "POST",
                "/webhooks/twilio/inbound",
                self.twilio_inbound,
                "takeTwilioInbound",
                "Take a message that a person wrote by WhatsApp",
                {200: "text/xml"},
                "Webhooks",
                "A form, signed with `TWILIO_AUTH_TOKEN` for this path under `PUBLIC_URL`. For 24 "
                "hours after it free text may go to that number; STOP and START set and end its "
                "suppression. The answer is TwiML that sends nothing back.",
                refusals=_REFUSALS,
                scope=None,
            ),
        )

    async def _note(self, provider: str, received: Received) -> Counter[str]:
        started = time.perf_counter()
        results: list[ReceiptResult] = []
        if received.receipts:
            results = await self._limits.in_time(self._store.note_receipts(received.receipts))
        counted = Counter({why: many for why, many in received.ignored.items() if many})
        counted.update(str(result) for result in results)
        for result, many in counted.items():
            RECEIPTS.labels(provider, result).inc(many)
        logger.bind(
            provider=provider,
            duration_ms=round((time.perf_counter() - started) * 1000, 1),
            **counted,
        ).log("INFO" if set(counted) <= _USUAL else "WARNING", "receipts taken")
        return counted


_NO_REPLY = '<?xml version="1.0" encoding="UTF-8"?><Response/>'

_USUAL = {ReceiptResult.MOVED, ReceiptResult.NOTED, ReceiptResult.DUPLICATE}


def _not_set_up(settings: str) -> Problem:
    return Problem(403, f"no signature can be checked here: set {settings} for the gateway")
