"""Every change of a status is told through the broker: at least once, under one id."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from clarion.brokers.base import Change
from clarion.brokers.memory import MemoryBroker
from clarion.errors import BrokerError, BrokerUnavailable, QueueFull
from clarion.notification import Channel, Status
from clarion.store.outbox import OutboxStore
from clarion_gateway.relay import Relay

Until = Callable[..., Awaitable[None]]


class FaultyBroker(MemoryBroker):
    """Keeps what was told, and fails when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[dict[str, Any]] = []
        self.full: set[str] = set()
        self.dies_after: int | None = None

    async def tell_all(self, changes: Sequence[Change]) -> list[BrokerError | None]:
        return [await self._tell(change) for change in changes]

    async def _tell(self, change: Change) -> BrokerError | None:
        document = json.loads(change.body)
        if document["message_id"] in self.full:
            return QueueFull("an application's queue is full")
        if self.dies_after is not None and len(self.bodies) >= self.dies_after:
            return BrokerUnavailable("gone")
        self.bodies.append(document)
        [error] = await super().tell_all([change])
        return error

    @property
    def ids(self) -> list[str]:
        return [body["id"] for body in self.bodies]


@pytest.fixture
async def faulty() -> FaultyBroker:
    broker = FaultyBroker()
    await broker.connect()
    return broker


async def three_cancelled(gateway: Any) -> list[str]:
    ids = []
    for number in range(3):
        answer = await gateway.send(message_id=f"m{number}")
        ids.append(answer.json["notifications"][0]["notification_id"])
        await gateway.store.cancel(ids[-1], "shop")
    return ids


async def test_a_running_gateway_tells_what_became_of_a_notification(
    gateway: Any, until: Until
) -> None:
    answer = await gateway.send(metadata={"source": "signup"})
    notification_id = answer.json["notifications"][0]["notification_id"]

    await gateway.post(f"/v1/notifications/{notification_id}/cancel", {})
    await until(lambda: bool(gateway.broker.told))

    (told,) = gateway.broker.told
    body = json.loads(told.body)
    assert (told.channel, told.status) == (Channel.EMAIL, Status.CANCELLED)
    assert body.pop("at").endswith("+00:00")
    assert body == {
        "id": f"evt_{notification_id.removeprefix('notif_')}_1",
        "type": "notification.cancelled",
        "sequence": 1,
        "notification_id": notification_id,
        "message_id": "m1",
        "channel": "email",
        "template_id": "welcome",
        "status": "cancelled",
        "attempt": 0,
        "metadata": {"source": "signup"},
    }


async def test_what_was_not_confirmed_is_told_again_under_the_same_id(
    start_gateway: Any, faulty: FaultyBroker
) -> None:
    gateway = await start_gateway(status_events_poll=3600.0)
    await three_cancelled(gateway)
    relay = Relay(gateway.store, faulty)
    faulty.dies_after = 1

    with pytest.raises(BrokerUnavailable):
        await relay.tell()
    first = faulty.ids
    faulty.dies_after = None
    told = await relay.tell()

    assert len(first) == 1
    assert told == 3
    assert len(set(faulty.ids)) == 3
    assert first[0] in faulty.ids[1:]
    assert await relay.tell() == 0


async def test_a_full_queue_of_one_application_holds_nothing_else_up(
    start_gateway: Any, faulty: FaultyBroker
) -> None:
    gateway = await start_gateway(status_events_poll=3600.0)
    await three_cancelled(gateway)
    faulty.full = {"m1"}
    relay = Relay(gateway.store, faulty)

    await relay.tell()
    again = await relay.tell()

    assert [body["message_id"] for body in faulty.bodies] == ["m0", "m2"]
    assert again == 0
    assert await gateway.store.oldest_event() is not None


async def test_a_relay_that_publishes_nothing_leaves_nothing_behind(
    start_gateway: Any, faulty: FaultyBroker, store: OutboxStore
) -> None:
    gateway = await start_gateway(status_events_poll=3600.0)
    await three_cancelled(gateway)

    await Relay(store, faulty, publishing=False).tell()

    assert faulty.bodies == []
    assert await store.oldest_event() is None


async def test_nothing_is_written_down_where_the_setting_says_so(start_gateway: Any) -> None:
    gateway = await start_gateway(status_events=False, status_events_poll=3600.0)

    await three_cancelled(gateway)

    assert await gateway.store.oldest_event() is None


async def test_metrics_tell_how_long_a_change_has_waited(start_gateway: Any) -> None:
    gateway = await start_gateway(status_events_poll=3600.0)
    await three_cancelled(gateway)

    answer = await gateway.get("/metrics")

    ages = [
        float(line.split()[1])
        for line in answer.body.decode().splitlines()
        if line.startswith("notification_status_events_age_seconds ")
    ]
    assert len(ages) == 1
    assert ages[0] > 0


async def test_the_relay_goes_on_when_the_broker_is_back(gateway: Any, until: Until) -> None:
    gateway.broker.down = True
    ids = await three_cancelled(gateway)
    assert not gateway.broker.told
    gateway.broker.down = False

    await until(lambda: len(gateway.broker.told) == 3)

    told = [json.loads(each.body)["notification_id"] for each in gateway.broker.told]
    assert told == ids
