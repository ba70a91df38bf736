"""The worker, on the memory broker and SQLite, with a provider that answers as told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clarion.brokers.memory import MemoryBroker
from clarion.circuit import CircuitPolicy, State
from clarion.errors import (
    Ambiguous,
    BadMessage,
    BadRecipient,
    Misconfigured,
    PartlyMisconfigured,
    SendError,
    StoreUnavailable,
    Throttled,
    Transient,
)
from clarion.notification import (
    Channel,
    Lane,
    Notification,
    OnDoubt,
    Priority,
    Reason,
    Status,
    new_notification_id,
)
from clarion.outcomes import Doubts
from clarion.provider import Attempt, SentMessage
from clarion.retry import RetryPolicy
from clarion.store import migrate, open_store
from clarion.store.base import Claim, Intake, NotificationHistory
from clarion.store.letters import DeadLetterStore, Replay
from clarion.templates import TemplateRepository
from clarion.worker import Worker

TEMPLATES = Path(__file__).parents[2] / "shared" / "templates"
LANE = Lane(Channel.EMAIL, Priority.NORMAL)


class ScriptedProvider:
    """Answers each call with the next of its answers, and `sent` when they have run out."""

    name = "scripted"

    def __init__(self, *answers: Exception) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[Mapping[str, str], Attempt]] = []
        self.called = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, message: Mapping[str, str], attempt: Attempt) -> SentMessage:
        self.calls.append((message, attempt))
        self.called.set()
        await self.gate.wait()
        if self.answers:
            raise self.answers.pop(0)
        return SentMessage(f"id-{len(self.calls)}")


def parts_as_they_are(notification: Notification, parts: Mapping[str, str]) -> Mapping[str, str]:
    if notification.payload.get("user_name") == "unsendable":
        raise BadMessage("no provider takes this", code="build")
    return parts


class System:
    """One worker with all that it stands on."""

    def __init__(self, broker: MemoryBroker, store: DeadLetterStore) -> None:
        self.broker = broker
        self.store = store
        self.workers: list[Worker[Mapping[str, str]]] = []

    async def work(
        self,
        provider: ScriptedProvider,
        *,
        attempts: int = 3,
        lease: float = 60.0,
        grace: float = 0.0,
        faults: int = 10,
        seconds: float = 0.1,
        rate: float | None = None,
    ) -> Worker[Mapping[str, str]]:
        worker = Worker(
            Channel.EMAIL,
            name="test",
            broker=self.broker,
            store=self.store,
            templates=TemplateRepository(TEMPLATES),
            compose=parts_as_they_are,
            provider=provider,
            policy=RetryPolicy(attempts=attempts, delay=0.02),
            prefetch=dict.fromkeys(Priority, 8),
            lease=lease,
            doubts=Doubts(grace=grace),
            circuit=CircuitPolicy(faults=faults, seconds=seconds),
            rate=rate,
        )
        self.workers.append(worker)
        await worker.start()
        return worker

    async def accept(
        self,
        priority: Priority = Priority.NORMAL,
        *,
        expires_at: datetime | None = None,
        on_doubt: OnDoubt = OnDoubt.RESEND,
        **payload: object,
    ) -> Notification:
        identifier = new_notification_id()
        notification = Notification(
            notification_id=identifier,
            message_id=identifier,
            target_user_id="u1",
            channel=Channel.EMAIL,
            template_id="welcome",
            recipient="ann@example.com",
            payload={"user_name": "Ann", "email": "ann@example.com"} | payload,
            expires_at=expires_at,
            on_doubt=on_doubt,
            priority=priority,
        )
        await self.store.accept(Intake("test", identifier, "hash", (notification,), Status.QUEUED))
        return notification

    async def publish(self, notification: Notification) -> None:
        lane = Lane(notification.channel, notification.priority)
        await self.broker.publish(lane, notification.to_bytes(), {})

    async def send(self, priority: Priority = Priority.NORMAL, **payload: Any) -> str:
        notification = await self.accept(priority, **payload)
        await self.publish(notification)
        return notification.notification_id

    async def history(self, notification_id: str) -> NotificationHistory:
        history = await self.store.get(notification_id)
        assert history is not None
        return history

    async def until(
        self, notification_id: str, *statuses: Status, settled: bool = True
    ) -> NotificationHistory:
        """Return its history once its status is one of these, and its message is settled."""
        async with asyncio.timeout(20):
            while True:
                history = await self.history(notification_id)
                idle = not settled or not any(worker.in_flight for worker in self.workers)
                if history.record.status in statuses and idle:
                    return history
                await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def nothing_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clarion.consumption.QUIET", 0.0)  # the memory broker hands out at once


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    url = f"sqlite:///{tmp_path}/clarion.db"
    await asyncio.to_thread(migrate, url)
    store, broker = open_store(url), MemoryBroker()
    await broker.connect()
    system = System(broker, store)
    yield system
    for worker in system.workers:
        await worker.stop(5)
    await broker.close()
    await store.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  what it looks at tells nobody when it changes
            await asyncio.sleep(0.005)


async def test_a_notification_is_rendered_sent_and_recorded(system: System) -> None:
    provider = ScriptedProvider()
    await system.work(provider)

    identifier = await system.send()
    history = await system.until(identifier, Status.SENT)

    ((message, attempt),) = provider.calls
    assert "Ann" in message["subject"] + message["text"]
    assert attempt == Attempt(identifier, 1)
    assert history.record.provider_message_id == "id-1"
    assert [entry.status for entry in history.timeline] == [
        Status.ACCEPTED,
        Status.QUEUED,
        Status.SENDING,
        Status.SENT,
    ]


async def test_a_transient_fault_is_retried_until_it_passes(system: System) -> None:
    provider = ScriptedProvider(Transient("down", code="503"), Transient("down", code="503"))
    await system.work(provider)

    history = await system.until(await system.send(), Status.SENT)

    assert [attempt.status for attempt in history.attempts] == [
        Status.RETRYING,
        Status.RETRYING,
        Status.SENT,
    ]
    assert [attempt.retry_in for attempt in history.attempts] == [0.02, 0.04, None]
    assert history.attempts[0].provider_code == "503"


async def test_retries_come_to_an_end_and_the_message_is_parked(system: System) -> None:
    provider = ScriptedProvider(*[Transient("down", code="503") for _ in range(9)])
    await system.work(provider, attempts=2)

    history = await system.until(await system.send(), Status.FAILED)

    assert len(provider.calls) == 3
    assert history.record.reason is Reason.RETRIES_EXHAUSTED
    (dead,) = system.broker.dead_letters(Channel.EMAIL)
    assert dead.reason == Reason.RETRIES_EXHAUSTED
    assert "503" in dead.detail


async def test_a_throttled_call_spends_no_attempt(system: System) -> None:
    throttled = [Throttled("slow down", code="429", retry_after=0.02) for _ in range(5)]
    provider = ScriptedProvider(*throttled)
    await system.work(provider, attempts=0)

    history = await system.until(await system.send(), Status.SENT)

    assert history.record.failures == 0
    assert history.record.attempt == 6


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BadRecipient("no such user", code="550"), Reason.INVALID_RECIPIENT),
        (BadMessage("too long", code="413"), Reason.PROVIDER_REJECTED),
    ],
)
async def test_what_cannot_succeed_is_parked_at_once(
    system: System, error: SendError, reason: Reason
) -> None:
    provider = ScriptedProvider(error)
    await system.work(provider)

    notification = await system.accept()
    await system.publish(notification)
    history = await system.until(notification.notification_id, Status.FAILED)

    assert len(provider.calls) == 1
    assert (history.record.reason, history.record.provider_code) == (reason, error.code)
    (dead,) = system.broker.dead_letters(Channel.EMAIL)
    assert (dead.body, dead.reason) == (notification.to_bytes(), reason)


async def test_a_call_without_an_answer_is_in_doubt_and_then_sent_again(system: System) -> None:
    provider = ScriptedProvider(Ambiguous("no answer"))
    await system.work(provider)

    history = await system.until(await system.send(), Status.SENT)

    assert [entry.status for entry in history.timeline][-3:] == [
        Status.IN_DOUBT,
        Status.SENDING,
        Status.SENT,
    ]


async def test_a_channel_set_up_wrong_pauses_keeps_its_messages_and_goes_on(
    system: System,
) -> None:
    provider = ScriptedProvider(Misconfigured("bad key", code="401"))
    worker = await system.work(provider)

    first = await system.send()
    history = await system.until(first, Status.RETRYING)
    await until(lambda: not worker.consuming)
    trouble = worker.gate.trouble
    second = await system.send()
    await system.until(second, Status.SENT)

    assert trouble == "401: bad key"
    assert history.record.reason is Reason.PROVIDER_AUTH
    assert history.record.failures == 0
    assert (worker.gate.state, worker.gate.trouble) == (State.CLOSED, None)
    assert not system.broker.dead_letters(Channel.EMAIL)


async def test_an_outage_stops_the_calls_and_spends_no_more_attempts_than_it_took_to_see(
    system: System,
) -> None:
    provider = ScriptedProvider(*[Transient("down", code="503") for _ in range(7)])
    worker = await system.work(provider, attempts=3, faults=3)

    identifiers = [await system.send() for _ in range(40)]
    histories = [await system.until(each, Status.SENT) for each in identifiers]

    assert sum(history.record.failures for history in histories) <= 3
    assert worker.gate.state is State.CLOSED
    assert not system.broker.dead_letters(Channel.EMAIL)


async def test_a_closed_circuit_takes_its_full_share_again(system: System) -> None:
    provider = ScriptedProvider(Misconfigured("bad key", code="401"))
    worker = await system.work(provider)
    await system.send()
    await until(lambda: not worker.consuming)
    await system.until(await system.send(), Status.SENT)
    await until(lambda: worker.consuming)

    provider.gate.clear()
    calls = len(provider.calls)
    identifiers = [await system.send() for _ in range(8)]
    await until(lambda: len(provider.calls) == calls + 8)
    provider.gate.set()

    for identifier in identifiers:
        await system.until(identifier, Status.SENT)


async def test_a_half_open_circuit_tries_one_message_whatever_waits(system: System) -> None:
    provider = ScriptedProvider(*[Misconfigured("bad key", code="401") for _ in range(2)])
    worker = await system.work(provider, seconds=0.5)
    await system.send()
    await until(lambda: not worker.consuming)
    provider.called.clear()
    provider.gate.clear()
    identifiers = [await system.send(priority) for _ in range(5) for priority in Priority]

    await provider.called.wait()
    await until(lambda: worker.in_flight == len(Priority))
    calls = len(provider.calls)
    provider.gate.set()
    for identifier in identifiers:
        await system.until(identifier, Status.SENT, Status.RETRYING)

    assert calls == 2


async def test_a_message_that_the_provider_always_fails_on_does_not_keep_the_circuit_open(
    system: System,
) -> None:
    poison = await system.accept()

    class Particular(ScriptedProvider):
        async def send(self, message: Mapping[str, str], attempt: Attempt) -> SentMessage:
            if attempt.notification_id == poison.notification_id:
                self.calls.append((message, attempt))
                raise Transient("down", code="503")
            return await super().send(message, attempt)

    worker = await system.work(Particular(), attempts=1, faults=1)
    await system.publish(poison)
    await until(lambda: worker.gate.state is not State.CLOSED)
    for identifier in [await system.send() for _ in range(20)]:
        await system.until(identifier, Status.SENT, settled=False)


async def test_what_only_some_recipients_meet_stops_nobody_else(system: System) -> None:
    provider = ScriptedProvider(PartlyMisconfigured("no APNs key", code="THIRD_PARTY_AUTH_ERROR"))
    worker = await system.work(provider)

    first = await system.until(await system.send(), Status.RETRYING)
    second = await system.until(await system.send(), Status.SENT)

    assert (first.record.failures, first.record.reason) == (0, Reason.PROVIDER_AUTH)
    assert second.record.attempt == 1
    assert worker.gate.state is State.CLOSED
    assert worker.gate.trouble == "for some recipients: THIRD_PARTY_AUTH_ERROR: no APNs key"


async def test_a_wait_for_the_providers_rate_spends_neither_lease_nor_attempt(
    system: System,
) -> None:
    provider = ScriptedProvider()
    await system.work(provider, rate=20, lease=0.2)

    identifiers = [await system.send() for _ in range(15)]
    histories = [await system.until(each, Status.SENT) for each in identifiers]

    assert [history.record.attempt for history in histories] == [1] * 15


async def test_a_stop_hands_back_what_waits_for_its_turn(system: System) -> None:
    provider = ScriptedProvider()
    worker = await system.work(provider, rate=0.01)
    first = await system.send()
    await system.until(first, Status.SENT)
    second = await system.send()
    await until(lambda: worker.in_flight == 1)

    await worker.stop(60)

    assert worker.in_flight == 0
    assert (await system.history(second)).record.status is Status.QUEUED
    assert len(system.broker._delayed) == 1


async def test_after_a_replay_only_the_message_with_what_was_mended_is_sent(system: System) -> None:
    provider = ScriptedProvider(BadRecipient("no such user", code="550"))
    await system.work(provider)
    notification = await system.accept()
    identifier = notification.notification_id
    await system.publish(notification)
    await system.until(identifier, Status.FAILED)
    mended = {"user_name": "Bea", "email": "bea@example.com"}
    await system.store.replay(
        [Replay(identifier, 0, recipient=mended["email"], payload=mended)], by="ops"
    )

    await system.publish(notification)
    await until(lambda: _nothing_waits(system))
    calls_before = len(provider.calls)
    (due,) = await system.store.take_due(1, 60)
    await system.publish(due)
    history = await system.until(identifier, Status.SENT)

    assert calls_before == 1
    assert "Bea" in str(provider.calls[1][0])
    assert (history.record.attempt, history.record.failures) == (2, 0)


async def test_the_same_message_twice_calls_the_provider_once(system: System) -> None:
    provider = ScriptedProvider()
    await system.work(provider)
    notification = await system.accept()

    await system.publish(notification)
    await system.until(notification.notification_id, Status.SENT)
    await system.publish(notification)
    await until(lambda: _nothing_waits(system))

    assert len(provider.calls) == 1


async def test_two_copies_at_once_call_the_provider_once(system: System) -> None:
    provider = ScriptedProvider()
    provider.gate.clear()
    await system.work(provider, lease=0.5)
    notification = await system.accept()

    await system.publish(notification)
    await system.publish(notification)
    await provider.called.wait()
    provider.gate.set()
    await system.until(notification.notification_id, Status.SENT)
    await until(lambda: _nothing_waits(system))

    assert len(provider.calls) == 1


async def test_a_crashed_attempt_is_told_of_and_tried_again(system: System) -> None:
    notification = await system.accept()
    claim = await system.store.claim(notification.notification_id, worker="gone", lease=0.01)
    provider = ScriptedProvider()
    await system.work(provider)

    await system.publish(notification)
    history = await system.until(notification.notification_id, Status.SENT)

    assert claim.attempt == 1
    assert [(attempt.status, attempt.reason) for attempt in history.attempts] == [
        (Status.IN_DOUBT, Reason.CRASHED),
        (Status.SENT, None),
    ]
    assert provider.calls[0][1].number == 2


async def test_an_attempt_that_outlived_its_lease_parks_nothing(system: System) -> None:
    late = ScriptedProvider(BadRecipient("unknown", code="400"))
    late.gate.clear()
    overtaken = await system.work(late, lease=0.05)
    notification = await system.accept()
    await system.publish(notification)
    await late.called.wait()
    await overtaken.stop(0)  # takes no more: the second copy is for the other worker
    await system.work(ScriptedProvider())
    await system.publish(notification)
    await system.until(notification.notification_id, Status.SENT, settled=False)

    late.gate.set()
    history = await system.until(notification.notification_id, Status.SENT)

    assert [attempt.status for attempt in history.attempts] == [Status.IN_DOUBT, Status.SENT]
    assert not system.broker.dead_letters(Channel.EMAIL)


async def test_a_provider_that_breaks_is_in_doubt_and_comes_to_an_end(system: System) -> None:
    provider = ScriptedProvider(*[ValueError("a bug") for _ in range(9)])
    await system.work(provider, attempts=1)

    history = await system.until(await system.send(), Status.FAILED)

    assert len(provider.calls) == 2
    assert [attempt.status for attempt in history.attempts] == [Status.IN_DOUBT, Status.FAILED]
    assert history.attempts[0].provider_text == "unexpected ValueError"


async def test_a_notification_that_keeps_killing_workers_comes_to_an_end(system: System) -> None:
    notification = await system.accept()
    provider = ScriptedProvider()
    await system.work(provider, attempts=0)
    dead = await system.store.claim(notification.notification_id, worker="gone", lease=0.001)

    await system.publish(notification)
    history = await system.until(notification.notification_id, Status.FAILED)

    assert dead.attempt == 1
    assert not provider.calls
    assert history.record.reason is Reason.CRASHED
    assert system.broker.dead_letters(Channel.EMAIL)[0].reason == Reason.CRASHED


async def test_a_call_without_an_answer_is_held_where_that_is_its_policy(system: System) -> None:
    provider = ScriptedProvider(Ambiguous("no answer", code="no_answer"))
    await system.work(provider)

    notification = await system.accept(on_doubt=OnDoubt.HOLD)
    await system.publish(notification)
    history = await system.until(notification.notification_id, Status.IN_DOUBT)
    await system.publish(notification)
    await until(lambda: _nothing_waits(system))

    (parked,) = system.broker.dead_letters(Channel.EMAIL)
    assert len(provider.calls) == 1
    assert history.record.dead_at is not None
    assert parked.reason == "timeout"


async def test_a_crashed_attempt_is_held_where_that_is_its_policy(system: System) -> None:
    provider = ScriptedProvider()
    notification = await system.accept(on_doubt=OnDoubt.HOLD)
    await system.store.claim(notification.notification_id, worker="crashed", lease=0.01)
    await system.work(provider)

    await system.publish(notification)
    history = await system.until(notification.notification_id, Status.IN_DOUBT)

    (parked,) = system.broker.dead_letters(Channel.EMAIL)
    assert provider.calls == []
    assert history.record.reason is Reason.CRASHED
    assert parked.reason == "crashed"


async def test_a_doubt_waits_for_its_grace_before_it_is_sent_again(system: System) -> None:
    provider = ScriptedProvider(Ambiguous("no answer", code="no_answer"))
    await system.work(provider, grace=0.2)

    notification_id = await system.send()
    history = await system.until(notification_id, Status.SENT)

    first, second = history.attempts
    assert (first.status, first.retry_in) == (Status.IN_DOUBT, 0.2)
    assert second.started_at - first.finished_at >= timedelta(seconds=0.2)


async def test_after_its_deadline_a_notification_is_not_sent(system: System) -> None:
    provider = ScriptedProvider()
    await system.work(provider)

    notification = await system.accept(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    await system.publish(notification)
    await system.until(notification.notification_id, Status.EXPIRED)

    assert provider.calls == []
    assert system.broker.dead_letters(Channel.EMAIL) == ()


async def test_a_retry_that_comes_after_the_deadline_is_not_sent(system: System) -> None:
    provider = ScriptedProvider()
    await system.work(provider)

    for seconds in (0.2, 2.0, 8.0):  # a machine that stands still lets the first deadline pass
        provider.answers = [Transient("503", retry_after=1.5 * seconds)]
        deadline = datetime.now(UTC) + timedelta(seconds=seconds)
        notification = await system.accept(expires_at=deadline)
        await system.publish(notification)
        history = await system.until(notification.notification_id, Status.EXPIRED)
        if provider.calls:
            break

    assert len(provider.calls) == 1
    assert [each.status for each in history.attempts] == [Status.RETRYING]


async def test_what_was_called_off_while_queued_is_not_sent(system: System) -> None:
    provider = ScriptedProvider()
    notification = await system.accept()
    assert await system.store.cancel(notification.notification_id, "ann")
    await system.publish(notification)

    await system.work(provider)
    await until(lambda: _nothing_waits(system))

    assert provider.calls == []
    history = await system.history(notification.notification_id)
    assert history.record.status is Status.CANCELLED


async def test_a_message_that_meets_an_unexpected_error_is_kept(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(system.store, "claim", broken)
    worker = await system.work(ScriptedProvider())

    await system.send()
    await until(lambda: bool(system.broker._delayed))

    assert worker.in_flight == 0
    assert not system.broker.dead_letters(Channel.EMAIL)


async def test_an_event_of_another_producer_is_stored_and_sent_once(system: System) -> None:
    provider = ScriptedProvider()
    await system.work(provider)
    event = {
        "message_id": "foreign-1",
        "target_user_id": "u1",
        "channel": "email",
        "template_id": "welcome",
        "payload": {"user_name": "Ann", "email": "ann@example.com"},
    }

    await system.broker.publish(LANE, json.dumps(event).encode(), {})
    await provider.called.wait()
    identifier = provider.calls[0][1].notification_id
    await system.until(identifier, Status.SENT)
    await system.broker.publish(LANE, json.dumps(event).encode(), {})
    await until(lambda: _nothing_waits(system))

    assert len(provider.calls) == 1
    assert (await system.history(identifier)).record.producer == "broker/email"


async def test_a_notification_that_the_database_lost_is_stored_again_and_sent(
    system: System,
) -> None:
    provider = ScriptedProvider()
    await system.work(provider)
    notification = Notification(
        notification_id=new_notification_id(),
        message_id="m1",
        target_user_id="u1",
        channel=Channel.EMAIL,
        template_id="welcome",
        recipient="ann@example.com",
        payload={"user_name": "Ann", "email": "ann@example.com"},
        on_doubt=OnDoubt.HOLD,
    )

    await system.publish(notification)
    await provider.called.wait()

    history = await system.until(notification.notification_id, Status.SENT)
    assert history.record.notification == notification


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"not json", b"[1]", b'{"message_id": "m"}'])
async def test_what_no_one_can_decode_is_parked_intact_and_the_worker_goes_on(
    system: System, body: bytes
) -> None:
    provider = ScriptedProvider()
    await system.work(provider)

    await system.broker.publish(LANE, body, {"origin": "elsewhere"})
    await system.until(await system.send(), Status.SENT)
    await until(lambda: bool(system.broker.dead_letters(Channel.EMAIL)))

    (dead,) = system.broker.dead_letters(Channel.EMAIL)
    assert (dead.body, dead.reason) == (body, Reason.INVALID_EVENT)
    assert dead.headers["origin"] == "elsewhere"


async def test_a_template_that_fails_to_render_gives_the_notification_up(system: System) -> None:
    provider = ScriptedProvider()
    await system.work(provider)

    history = await system.until(await system.send(user_name=None), Status.FAILED)

    assert history.record.reason is Reason.TEMPLATE_ERROR
    assert not provider.calls
    assert system.broker.dead_letters(Channel.EMAIL)[0].reason == Reason.TEMPLATE_ERROR


async def test_content_that_no_provider_takes_gives_the_notification_up(system: System) -> None:
    provider = ScriptedProvider()
    await system.work(provider)

    history = await system.until(await system.send(user_name="unsendable"), Status.FAILED)

    assert history.record.reason is Reason.PROVIDER_REJECTED
    assert not provider.calls


async def test_a_duplicate_of_a_given_up_notification_is_not_parked_again(system: System) -> None:
    await system.work(ScriptedProvider())
    notification = await system.accept(user_name=None)

    await system.publish(notification)
    await system.until(notification.notification_id, Status.FAILED)
    await system.publish(notification)
    await until(lambda: _nothing_waits(system))

    assert len(system.broker.dead_letters(Channel.EMAIL)) == 1


async def test_an_outcome_waits_for_the_database(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, refusals = system.store.record, [StoreUnavailable("away"), StoreUnavailable("away")]

    async def sometimes(outcome):  # type: ignore[no-untyped-def]
        if refusals:
            raise refusals.pop()
        return await record(outcome)

    monkeypatch.setattr(system.store, "record", sometimes)
    provider = ScriptedProvider()
    await system.work(provider)

    await system.until(await system.send(), Status.SENT)

    assert len(provider.calls) == 1
    assert not refusals


@pytest.mark.parametrize("on_doubt", OnDoubt)
async def test_a_claim_that_was_written_without_an_answer_is_gone_on_with(
    system: System, monkeypatch: pytest.MonkeyPatch, on_doubt: OnDoubt
) -> None:
    claim, lost = system.store.claim, [StoreUnavailable("too late"), StoreUnavailable("too late")]

    async def answered_late(*arguments: Any, **options: Any) -> Claim:
        claimed = await claim(*arguments, **options)
        if lost:
            raise lost.pop()
        return claimed

    monkeypatch.setattr(system.store, "claim", answered_late)
    provider = ScriptedProvider()
    await system.work(provider)
    notification = await system.accept(on_doubt=on_doubt)

    await system.publish(notification)
    history = await system.until(notification.notification_id, Status.SENT)

    assert not lost
    assert len(provider.calls) == 1
    assert [(each.attempt, each.status) for each in history.attempts] == [(1, Status.SENT)]


async def test_a_claim_of_another_message_is_never_gone_on_with(system: System) -> None:
    provider = ScriptedProvider()
    provider.gate.clear()
    await system.work(provider)
    notification = await system.accept()
    await system.publish(notification)
    await provider.called.wait()

    await system.publish(notification)  # the same worker gets a copy while the call is under way
    await until(lambda: bool(system.broker._delayed))
    provider.gate.set()
    await system.until(notification.notification_id, Status.SENT, settled=False)

    assert len(provider.calls) == 1


async def test_a_message_that_the_broker_lost_sight_of_comes_again_and_is_absorbed(
    system: System,
) -> None:
    provider = ScriptedProvider()
    provider.gate.clear()
    worker = await system.work(provider)
    notification = await system.accept()
    await system.publish(notification)
    await provider.called.wait()

    system.broker._open = False  # what was handed out cannot be settled any more
    provider.gate.set()
    await system.until(notification.notification_id, Status.SENT)
    await system.broker.close()
    await system.broker.connect()
    await worker.start()
    await until(lambda: _nothing_waits(system))

    assert len(provider.calls) == 1


async def test_a_stop_finishes_what_is_in_flight_and_takes_nothing_more(system: System) -> None:
    provider = ScriptedProvider()
    provider.gate.clear()
    worker = await system.work(provider)
    first = await system.send()
    await provider.called.wait()

    stopping = asyncio.create_task(worker.stop(10))
    await until(lambda: not worker.consuming)
    second = await system.send()
    provider.gate.set()
    await stopping

    assert (await system.history(first)).record.status is Status.SENT
    assert (await system.history(second)).record.status is Status.QUEUED


async def test_a_stop_does_not_wait_longer_than_its_grace(system: System) -> None:
    provider = ScriptedProvider()
    provider.gate.clear()
    worker = await system.work(provider)
    identifier = await system.send()
    await provider.called.wait()

    await worker.stop(0.01)
    in_flight = worker.in_flight
    provider.gate.set()

    assert in_flight == 1
    await system.until(identifier, Status.SENT)


def _nothing_waits(system: System) -> bool:
    ready = sum(queue.depth().ready for queue in system.broker._lanes.values())
    held = sum(worker.in_flight for worker in system.workers)
    return not (ready or held or system.broker._delayed)
