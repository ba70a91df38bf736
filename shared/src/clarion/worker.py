"""The heart: takes one channel's messages, and brings each to an end that is on record.

    decode -> render -> wait for its turn -> claim -> send -> record -> settle

Rendering and waiting come before the claim, so that the lease covers the provider's call alone, and
that a message which may not call the provider now has spent nothing. The outcome
is in the store before the message is settled: a crash in between duplicates the message, which
the claim then absorbs, and never loses it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Generic, TypeVar

from loguru import logger

from clarion import logs, metrics
from clarion.brokers.base import Broker, Delivery
from clarion.circuit import CircuitPolicy, State
from clarion.claiming import Claimant, with_patience
from clarion.composing import Compose, Unsendable, compose_with
from clarion.consumption import Consumption
from clarion.errors import (
    InvalidEvent,
    MessageIdConflict,
    RowRefused,
    SendError,
)
from clarion.gate import Call, Gate, PutOff
from clarion.notification import Channel, Notification, Priority, Reason, Status
from clarion.outcomes import Doubts, judge, spare
from clarion.provider import Attempt, Provider, SentMessage, ask
from clarion.retry import RetryPolicy
from clarion.settlement import ACK, Settlement, settle
from clarion.store.base import Claim, Outcome, Store, Verdict
from clarion.templates import TemplateRepository

MessageT = TypeVar("MessageT")

UNEXPECTED_SECONDS = 30.0
"""The wait of a message that met an error that nobody thought of; it is kept, never dropped."""


class Worker(Generic[MessageT]):
    """Delivers one channel's notifications through one provider."""

    def __init__(
        self,
        channel: Channel,
        *,
        name: str,
        broker: Broker,
        store: Store,
        templates: TemplateRepository,
        compose: Compose[MessageT],
        provider: Provider[MessageT],
        policy: RetryPolicy,
        prefetch: Mapping[Priority, int],
        lease: float = 60.0,
        doubts: Doubts | None = None,
        circuit: CircuitPolicy | None = None,
        rate: float | None = None,
    ) -> None:
        self.channel = channel
        self.name = name
        self._store = store
        self._templates = templates
        self._make_message = compose
        self._provider = provider
        self._policy = policy
        self._lease = lease
        self._doubts = doubts or Doubts()
        self.gate = Gate(channel, circuit or CircuitPolicy(), rate)
        self._claimant = Claimant(
            store,
            templates,
            channel,
            name,
            lease=lease,
            grace=self._doubts.grace,
            on_doubt=self._doubts.policy,
        )
        self._consumption = Consumption(broker, channel, prefetch, self.handle)
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        metrics.IN_FLIGHT.labels(channel).set_function(lambda: self._in_flight)

    # -- running ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take messages from every lane of the channel. Raises `BrokerUnavailable`."""
        await self._consumption.start()

    async def stop(self, grace: float) -> None:
        """Take no more messages, and wait `grace` seconds for those in flight.

        What is then left unsettled the broker delivers again.
        """
        await self._consumption.stop()
        self.gate.close()
        try:
            await asyncio.wait_for(self._idle.wait(), grace)
        except TimeoutError:
            logger.warning("stopping with {} messages in flight", self._in_flight)

    @property
    def consuming(self) -> bool:
        """Whether the broker is delivering every lane to this worker now."""
        return self._consumption.active

    @property
    def paused(self) -> bool:
        """Whether it takes no or few messages, because the provider does not work."""
        return self.gate.state is not State.CLOSED

    @property
    def in_flight(self) -> int:
        """How many messages it holds unsettled."""
        return self._in_flight

    # -- one message -----------------------------------------------------------------------------

    async def handle(self, delivery: Delivery) -> None:
        """Bring one message to its end: the only place that settles."""
        self._in_flight += 1
        self._idle.clear()
        try:
            settlement = await self._deliver(delivery)
            await self._consumption.steady()
            await settle(delivery, settlement)
        except Exception:  # noqa: BLE001  unsettled, it would hold its place for half an hour
            logger.bind(lane=delivery.lane.routing_key).exception("a message could not be handled")
            await settle(delivery, Settlement(delay=UNEXPECTED_SECONDS))
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _deliver(self, delivery: Delivery) -> Settlement:
        if wait := self.gate.wait:
            return Settlement(delay=wait)
        try:
            notification = await self._claimant.identify(delivery.body)
        except (InvalidEvent, MessageIdConflict, RowRefused) as error:
            logger.bind(lane=delivery.lane.routing_key).error("message cannot be read: {}", error)
            return self._dead(Reason.INVALID_EVENT, str(error))
        try:
            message = compose_with(self._templates, self._make_message, notification)
        except Unsendable as error:
            return await self._give_up(notification, error)
        try:
            async with self.gate.turn(delivery.lane.priority) as call:
                return await self._send(notification, message, call)
        except PutOff as put_off:
            return Settlement(delay=put_off.seconds)

    async def _send(self, notification: Notification, message: MessageT, call: Call) -> Settlement:
        claim = await self._claimant.claim(notification)
        if claim.verdict is not Verdict.CLAIMED:
            return self._without_claim(notification, claim)
        if self._policy.next_delay(claim.failures) is None:
            # the last of them by workers that died on it
            spent = "every attempt was spent; the provider was not called again"
            return await self._fail_unsent(notification, claim, Reason.CRASHED, spent)
        return await self._attempt(notification, message, claim, call)

    def _without_claim(self, notification: Notification, claim: Claim) -> Settlement:
        log = logger.bind(notification_id=notification.notification_id, channel=self.channel)
        if claim.verdict is Verdict.LEASED:
            log.bind(lease_left=claim.lease_left).info("not yet due for another attempt")
            return Settlement(delay=claim.lease_left)
        if claim.verdict is Verdict.ENDED:
            metrics.SENT.labels(self.channel, claim.status).inc()
            log.bind(status=claim.status, reason=claim.reason).warning("not attempted again")
            if claim.status in (Status.EXPIRED, Status.SUPPRESSED):
                return ACK
            return self._dead(claim.reason or Reason.CRASHED, "an attempt was never answered")
        metrics.DUPLICATES.labels(self.channel).inc()
        log.bind(status=claim.status).info("duplicate message absorbed")
        return ACK

    async def _attempt(
        self, notification: Notification, message: MessageT, claim: Claim, call: Call
    ) -> Settlement:
        policy = self._templates.policy(notification.template_id)
        attempt = Attempt(notification.notification_id, claim.attempt, policy.bulk)
        started = time.perf_counter()
        answer = await ask(self._provider, message, attempt)
        duration_ms = (time.perf_counter() - started) * 1000
        outcome = judge(
            answer,
            attempt,
            claim.failures,
            self._policy,
            Doubts(claim.on_doubt, self._doubts.grace),
            self._provider.name,
            duration_ms,
        )
        self._observe_provider(call, answer)
        if (stand_back := self.gate.stand_back) is not None:
            outcome = spare(outcome, answer, stand_back)
        return await self._record(outcome)

    async def _fail_unsent(
        self, notification: Notification, claim: Claim, reason: Reason, text: str
    ) -> Settlement:
        """Fail a claimed notification without calling the provider."""
        outcome = Outcome(
            notification.notification_id,
            claim.attempt,
            Status.FAILED,
            self._provider.name,
            0.0,
            spent=False,
            reason=reason,
            provider_text=text,
        )
        return await self._record(outcome)

    async def _give_up(self, notification: Notification, error: Unsendable) -> Settlement:
        identifier = notification.notification_id
        given_up = await with_patience(
            lambda: self._store.give_up(
                identifier, error.reason, error.text, replay_no=notification.replay_no
            )
        )
        if not given_up:  # its row is missing, finished, or in the hands of another attempt
            claim = await self._claimant.claim(notification)
            if claim.verdict is not Verdict.CLAIMED:
                return self._without_claim(notification, claim)
            return await self._fail_unsent(notification, claim, error.reason, error.text)
        logger.bind(notification_id=identifier, channel=self.channel, reason=error.reason).error(
            "notification given up: {}", error.text
        )
        return self._dead(error.reason, error.text)

    # -- what follows from an outcome ------------------------------------------------------------

    async def _record(self, outcome: Outcome) -> Settlement:
        if await with_patience(lambda: self._store.record(outcome)):
            return self._conclude(outcome)
        logger.bind(
            notification_id=outcome.notification_id,
            channel=self.channel,
            attempt=outcome.attempt,
            outcome=outcome.status,
        ).warning("an attempt outlived its lease; what it found does not count")
        if outcome.status is Status.SENT:
            return ACK
        # the row says how it goes on: the claim absorbs this copy, or makes the next attempt
        return Settlement(delay=self._lease)

    def _conclude(self, outcome: Outcome) -> Settlement:
        """Count and log what became of an attempt, and say how its message ends."""
        metrics.SENT.labels(self.channel, outcome.status).inc()
        metrics.SEND_DURATION.labels(self.channel).observe(outcome.duration_ms)
        found = {
            "notification_id": outcome.notification_id,
            "channel": self.channel,
            "attempt": outcome.attempt,
            "provider": outcome.provider,
            "provider_id": outcome.provider_message_id,
            "provider_code": outcome.provider_code,
            "reason": outcome.reason,
            "duration_ms": round(outcome.duration_ms, 1),
        }
        if outcome.status is Status.SENT:
            logs.note("INFO", "notification sent", **found)
            return ACK
        if outcome.retry_in is not None:
            metrics.RETRIES.labels(self.channel, outcome.reason).inc()
            logger.bind(**found, retry_in=outcome.retry_in).warning("attempt put off")
            return Settlement(delay=outcome.retry_in)
        logger.bind(**found).error("notification failed")
        detail = f"{outcome.provider} {outcome.provider_code}: {outcome.provider_text}"
        return self._dead(outcome.reason or Reason.PROVIDER_REJECTED, detail)

    def _dead(self, reason: Reason, detail: str) -> Settlement:
        metrics.DEAD_LETTERS.labels(self.channel, reason).inc()
        return Settlement(reason=reason, detail=detail)

    # -- a provider that does not work -----------------------------------------------------------

    def _observe_provider(self, call: Call, answer: SentMessage | SendError) -> None:
        changed = self.gate.answered(call, answer)
        if changed is State.OPEN:
            self._consumption.pause(self.gate.wait)
        elif changed is State.CLOSED:
            self._consumption.resume()
