"""What the broker itself gave up comes to the record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from clarion.brokers.base import DeadLetter
from clarion.brokers.topology import DELIVERY_LIMIT
from clarion.event import parse_event
from clarion.notification import (
    Channel,
    Lane,
    Notification,
    OnDoubt,
    Priority,
    Reason,
    Status,
)
from clarion.store.base import Intake, NotificationHistory, Query, Store
from clarion.store.letters import DeadLetterStore, Replay
from clarion_gateway import recorder as module
from clarion_gateway.recorder import Recorder

EMAILS = Lane(Channel.EMAIL, Priority.NORMAL)
Until = Callable[..., Awaitable[None]]
EVENT: dict[str, Any] = {
    "message_id": "m1",
    "target_user_id": "u1",
    "channel": "email",
    "template_id": "welcome",
    "payload": {"user_name": "Ann", "email": "ann@example.com"},
}


class Letter(DeadLetter):
    """A letter as a broker hands it out."""

    def __init__(self, body: bytes, *, by_broker: bool = True, reason: str = "delivery_limit"):
        self.channel = Channel.EMAIL
        self.priority = Priority.NORMAL
        self.body = body
        self.headers = {}
        self.reason = reason
        self.detail = ""
        self.by_broker = by_broker
        self.acked = False

    async def ack(self) -> None:
        self.acked = True


@pytest.fixture
def recorder(store: Store, broker: Any) -> Recorder:
    return Recorder(store, broker)


async def queued(store: Store, **changes: Any) -> Notification:
    (made,) = parse_event(EVENT | changes).split()
    await store.accept(Intake("test", made.message_id, "hash", (made,), Status.QUEUED))
    return made


async def history_of(store: Store, notification: Notification) -> NotificationHistory:
    history = await store.get(notification.notification_id)
    assert history is not None
    return history


async def test_a_message_that_kills_its_workers_fails_and_says_why(
    recorder: Recorder, store: Store
) -> None:
    notification = await queued(store)
    letter = Letter(notification.to_bytes())

    await recorder.record(letter)

    history = await history_of(store, notification)
    assert letter.acked
    assert (history.record.status, history.record.reason) == (Status.FAILED, Reason.CRASHED)
    assert history.record.dead_at is not None
    assert "delivery_limit" in history.timeline[-1].detail["text"]


async def test_what_a_worker_parked_is_left_as_it_recorded_it(
    recorder: Recorder, store: Store
) -> None:
    notification = await queued(store)
    letter = Letter(notification.to_bytes(), by_broker=False)

    await recorder.record(letter)

    assert letter.acked
    assert (await history_of(store, notification)).record.status is Status.QUEUED


async def test_a_letter_from_before_a_replay_does_not_end_the_replay(
    recorder: Recorder, store: DeadLetterStore
) -> None:
    notification = await queued(store)
    letter = Letter(notification.to_bytes())
    await store.give_up(notification.notification_id, Reason.CRASHED, "it killed its workers")
    await store.replay([Replay(notification.notification_id, 0)], by="ops")

    await recorder.record(letter)

    assert letter.acked
    assert (await history_of(store, notification)).record.status is Status.ACCEPTED


async def test_an_attempt_that_runs_is_waited_for(
    recorder: Recorder, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    notification = await queued(store)
    await store.claim(notification.notification_id, worker="killed", lease=0.3)

    await recorder.record(Letter(notification.to_bytes()))

    history = await history_of(store, notification)
    assert history.record.status is Status.FAILED
    assert [each.status for each in history.attempts] == [Status.IN_DOUBT]


async def test_what_is_held_in_doubt_stays_so(recorder: Recorder, store: Store) -> None:
    notification = await queued(store, on_doubt="hold")
    await store.claim(notification.notification_id, worker="killed", lease=-1)
    await store.claim(notification.notification_id, worker="next", lease=60)
    letter = Letter(notification.to_bytes())

    await recorder.record(letter)

    history = await history_of(store, notification)
    assert letter.acked
    assert history.record.notification.on_doubt is OnDoubt.HOLD
    assert history.record.status is Status.IN_DOUBT


async def test_an_event_of_another_producer_gets_its_record(
    recorder: Recorder, store: Store
) -> None:
    (made,) = parse_event(EVENT).split()
    body = made.model_dump_json(
        include={"message_id", "target_user_id", "channel", "template_id", "payload"}
    )

    await recorder.record(Letter(body.encode()))
    await recorder.record(Letter(body.encode()))

    page = await store.find(Query(message_id="m1"), limit=10)
    (record,) = page.records
    assert (record.status, record.producer) == (Status.FAILED, "broker/email")


async def test_what_no_one_can_read_is_settled(recorder: Recorder) -> None:
    letter = Letter(b"garbage")

    await recorder.record(letter)

    assert letter.acked


async def test_a_message_that_expired_in_the_broker_says_so(
    recorder: Recorder, store: Store
) -> None:
    notification = await queued(store)

    await recorder.record(Letter(notification.to_bytes(), reason="expired"))

    assert (await history_of(store, notification)).record.reason is Reason.EXPIRED


async def test_a_running_gateway_takes_dead_letters(gateway: Any, until: Until) -> None:
    answer = await gateway.send()
    notification_id = answer.json["notifications"][0]["notification_id"]
    await until(lambda: bool(gateway.broker.published))

    killed = asyncio.Event()

    async def kill(delivery: Any) -> None:
        killed.set()
        raise RuntimeError("this message kills its worker")

    for _ in range(DELIVERY_LIMIT + 1):
        killed.clear()
        worker = await gateway.broker.consume(EMAILS, kill, prefetch=1)
        await killed.wait()
        await worker.cancel()

    async def failed() -> bool:
        history = await gateway.store.get(notification_id)
        return bool(history.record.status is Status.FAILED)

    await until(failed)
