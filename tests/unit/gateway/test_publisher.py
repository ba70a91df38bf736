"""The one path from the store to the broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from clarion.brokers.base import Message
from clarion.brokers.memory import MemoryBroker
from clarion.errors import BrokerError, QueueFull
from clarion.event import parse_event
from clarion.notification import Channel, Lane, Priority, Status
from clarion.store import open_store
from clarion.store.base import Intake, Query, Store
from clarion_gateway.publisher import Publisher

EVENT: dict[str, Any] = {
    "message_id": "m1",
    "target_user_id": "u1",
    "channel": "email",
    "template_id": "welcome",
    "payload": {"user_name": "Ann", "email": "ann@example.com"},
}
Until = Callable[..., Awaitable[None]]
NORMAL_EMAIL = Lane(Channel.EMAIL, Priority.NORMAL)


async def accept(store: Store, *names: str, priority: str = "normal") -> list[str]:
    """Store events as a gateway would that then crashed."""
    ids = []
    for name in names:
        event = parse_event(EVENT | {"message_id": name, "priority": priority})
        accepted = await store.accept(Intake("test", name, event.digest(), event.split()))
        ids += [item.notification_id for item in accepted]
    return ids


async def statuses(store: Store) -> set[Status]:
    page = await store.find(Query(), limit=200)
    return {record.status for record in page.records}


def published(broker: Any) -> list[str]:
    return sorted(each.message_id for each in broker.published)


async def test_what_a_crash_left_behind_is_published(
    store: Store, start_gateway: Any, until: Until
) -> None:
    names = [f"m{number:02}" for number in range(20)]
    await accept(store, *names)

    gateway = await start_gateway()

    await until(lambda: published(gateway.broker) == names)

    async def all_queued() -> bool:
        return await statuses(store) == {Status.QUEUED}

    await until(all_queued)


async def test_with_the_broker_down_events_are_accepted_and_published_later(
    broker: Any, start_gateway: Any, until: Until
) -> None:
    broker.down = True
    gateway = await start_gateway()

    answers = [await gateway.send(message_id=f"m{number}") for number in range(5)]
    assert {answer.status for answer in answers} == {202}
    await until(lambda: gateway.publisher.state.error is not None)
    assert broker.published == []
    broker.down = False

    await until(lambda: published(broker) == [f"m{number}" for number in range(5)])
    assert gateway.publisher.state.error is None


async def test_an_outage_in_between_loses_nothing(gateway: Any, until: Until) -> None:
    await gateway.send(message_id="before")
    await until(lambda: published(gateway.broker) == ["before"])

    gateway.broker.down = True
    await gateway.send(message_id="during")
    await until(lambda: gateway.publisher.state.error is not None)
    gateway.broker.down = False

    await until(lambda: set(published(gateway.broker)) == {"before", "during"})


async def test_an_unroutable_lane_degrades_health_until_it_is_mended(
    gateway: Any, until: Until
) -> None:
    gateway.broker.unbound.add(NORMAL_EMAIL)

    await gateway.send(message_id="stuck")
    await gateway.send(message_id="urgent", priority="high")

    await until(lambda: published(gateway.broker) == ["urgent"])
    await until(lambda: bool(gateway.publisher.state.unroutable))
    health = (await gateway.get("/health")).json
    assert health["status"] == "degraded"
    assert health["checks"]["publisher"]["unroutable"] == ["notifications.email.normal"]
    gateway.broker.unbound.clear()
    await until(lambda: set(published(gateway.broker)) == {"stuck", "urgent"})
    assert gateway.publisher.state.unroutable == ()


async def test_a_full_lane_waits_and_holds_no_other_back(gateway: Any, until: Until) -> None:
    gateway.broker.full.add(NORMAL_EMAIL)
    await gateway.send(message_id="stuck")
    await until(lambda: bool(gateway.publisher.state.full))

    await gateway.send(message_id="stuck too")
    await gateway.send(message_id="urgent", priority="high")

    await until(lambda: published(gateway.broker) == ["urgent"])
    health = (await gateway.get("/health")).json
    assert health["status"] == "degraded"
    assert health["checks"]["publisher"]["full"] == ["notifications.email.normal"]
    assert gateway.publisher.state.error is None
    gateway.broker.full.clear()
    await until(lambda: set(published(gateway.broker)) == {"stuck", "stuck too", "urgent"})
    assert gateway.publisher.state.full == ()


async def test_while_an_alarm_holds_publishers_back_nothing_is_accepted(
    gateway: Any, until: Until
) -> None:
    gateway.broker.alarm = "low on disk"

    one = await gateway.send(message_id="one")
    batch = await gateway.post(
        "/v1/notifications/batch", {"notifications": [EVENT | {"message_id": "two"}]}
    )
    health = (await gateway.get("/health")).json
    gateway.broker.alarm = None
    again = await gateway.send(message_id="one")

    for refused in (one, batch):
        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert "low on disk" in refused.json["detail"]
    assert health["status"] == "degraded"
    assert "low on disk" in health["checks"]["publisher"]["detail"]
    assert again.status == 202
    await until(lambda: published(gateway.broker) == ["one"])


async def test_an_alarm_that_comes_while_publishing_loses_nothing(
    gateway: Any, until: Until
) -> None:
    gateway.broker.down = True
    await gateway.send(message_id="accepted before")
    gateway.broker.alarm = "low on disk"
    gateway.broker.down = False
    await until(lambda: "low on disk" in (gateway.publisher.state.error or ""))

    gateway.broker.alarm = None

    await until(lambda: published(gateway.broker) == ["accepted before"])


async def test_a_backlog_is_taken_at_its_rate_high_priority_first(
    database_url: str, broker: Any, until: Until
) -> None:
    store = open_store(database_url, grace=-1.0)
    publisher = Publisher(store, broker, window=1, poll=0.1, rate=20.0, lease=30.0)
    low = await accept(store, *(f"low{number}" for number in range(4)), priority="low")
    high = await accept(store, "high", priority="high")

    await publisher.start()
    await until(lambda: len(broker.published) >= 2)
    taken = [each.notification_id for each in broker.published[:2]]
    await until(lambda: len(broker.published) == 5)
    await publisher.stop()
    await store.close()

    assert taken == [*high, low[0]]


async def test_what_does_not_fit_in_memory_waits_for_the_poll(
    store: Store, broker: Any, until: Until
) -> None:
    publisher = Publisher(store, broker, capacity=2, window=1, poll=0.02, lease=0.2)
    names = [f"m{number}" for number in range(9)]
    ids = await accept(store, *names)
    for notification_id in ids:
        history = await store.get(notification_id)
        assert history is not None
        publisher.offer(history.record.notification)

    await publisher.start()

    await until(lambda: published(broker) == names)
    await publisher.stop()


async def test_a_stop_publishes_what_is_in_hand(store: Store, broker: Any) -> None:
    publisher = Publisher(store, broker, poll=60.0, lease=60.0)
    ids = await accept(store, "m1", "m2")
    await broker.connect()
    for notification_id in ids:
        history = await store.get(notification_id)
        assert history is not None
        publisher.offer(history.record.notification)

    await publisher.start()
    await publisher.stop()

    assert published(broker) == ["m1", "m2"]
    assert await statuses(store) == {Status.QUEUED}


class BuggyBroker(MemoryBroker):
    """Fails on the first publish in a way that nobody foresaw."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[Message] = []
        self.tried = 0

    async def publish_all(self, messages: Sequence[Message]) -> list[BrokerError | None]:
        self.tried += 1
        if self.tried == 1:
            raise ZeroDivisionError("a bug")
        self.published += messages
        return [None] * len(messages)


async def test_an_unforeseen_error_does_not_end_publishing(store: Store, until: Until) -> None:
    broker = BuggyBroker()
    publisher = Publisher(store, broker, window=1, poll=0.02, lease=0.1)
    await accept(store, "m1", "m2")

    await publisher.start()

    await until(lambda: len(broker.published) == 2)
    await publisher.stop()


class AlmostFullBroker(MemoryBroker):
    """Its lanes have room for one message of a batch, whichever its place."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self._place = place

    async def publish_all(self, messages: Sequence[Message]) -> list[BrokerError | None]:
        return [
            None if place == self._place else QueueFull("no room") for place in range(len(messages))
        ]


@pytest.mark.parametrize("place", [0, 2])
async def test_a_lane_that_refused_some_of_a_batch_is_left_alone(store: Store, place: int) -> None:
    broker = AlmostFullBroker(place)
    publisher = Publisher(store, broker, poll=60.0)
    await broker.connect()
    [event] = parse_event(EVENT).split()
    for name in ("m1", "m2", "m3"):
        publisher.offer(event.model_copy(update={"message_id": name}))

    await publisher.start()
    await publisher.stop()

    assert publisher.state.full == (NORMAL_EMAIL.routing_key,)


async def test_one_that_cannot_be_written_holds_no_other_back(store: Store, broker: Any) -> None:
    publisher = Publisher(store, broker, poll=60.0)
    [event] = parse_event(EVENT).split()
    await broker.connect()
    # no event that comes by the gateway has half of a surrogate pair in it
    publisher.offer(event.model_copy(update={"payload": {"user_name": "\ud800"}}))
    for name in ("m1", "m2"):
        publisher.offer(event.model_copy(update={"message_id": name}))

    await publisher.start()
    await publisher.stop()

    assert published(broker) == ["m1", "m2"]


async def test_a_database_that_goes_away_does_not_end_publishing(
    broker: Any, absent_store: Store, until: Until
) -> None:
    publisher = Publisher(absent_store, broker, poll=0.01)

    await publisher.start()
    await until(lambda: broker.connected)
    await publisher.stop()

    assert publisher.state.error is None


@pytest.mark.parametrize("priority", list(Priority))
async def test_each_priority_has_its_lane(gateway: Any, until: Until, priority: str) -> None:
    await gateway.send(priority=priority)
    await until(lambda: len(gateway.broker.published) == 1)

    backlog = await gateway.broker.backlog()

    ready = {lane: depth.ready for lane, depth in backlog.lanes.items() if depth.ready}
    assert ready == {Lane(Channel.EMAIL, Priority(priority)): 1}
