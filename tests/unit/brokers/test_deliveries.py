"""How a lane's message on AMQP is settled: the confirmed copy first, the acknowledgement last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import pytest

from clarion.brokers.base import Delivery
from clarion.brokers.deliveries import from_lane
from clarion.errors import BrokerUnavailable, QueueFull, Unroutable
from clarion.notification import Channel, Lane, Priority
from clarion_testing.broker_contract import Inbox

LANE = Lane(Channel.EMAIL, Priority.HIGH)


class Wire:
    """Both ends that a delivery touches: it is the original, and it takes the copies."""

    def __init__(self, headers: Mapping[str, object] | None = None) -> None:
        self.body = b"body"
        self.key = LANE.routing_key
        self.headers: Mapping[str, object] = headers or {}
        self.sent_at: float | None = None
        self.lost = False
        self.log: list[str] = []
        self.copies: list[tuple[str, str, Mapping[str, object]]] = []
        self.failures: list[Exception] = []
        self.acknowledged = asyncio.Event()

    async def ack(self) -> None:
        self.log.append("ack")
        self.acknowledged.set()

    async def give_back(self) -> None:
        self.log.append("give back")

    async def send(
        self, exchange: str, key: str, body: bytes, headers: Mapping[str, object]
    ) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.log.append("copy")
        self.copies.append((exchange, key, headers))


async def _handed_out(wire: Wire) -> Delivery:
    inbox = Inbox()
    from_lane(LANE, inbox, wire.send).hand_out(wire)
    return await inbox.next()


async def test_the_copy_is_confirmed_before_the_original_is_acknowledged() -> None:
    wire = Wire({"trace": "abc", "x-death": []})
    delivery = await _handed_out(wire)

    await delivery.retry(3)

    [(exchange, key, headers)] = wire.copies
    assert wire.log == ["copy", "ack"]
    assert (exchange, key) == ("notifications.delay", "notifications.email.high.4s")
    assert set(headers) == {"trace", "x-published-at"}


@pytest.mark.parametrize(
    "failure", [BrokerUnavailable("gone"), QueueFull("full"), Unroutable("no queue")]
)
async def test_a_copy_that_fails_is_tried_again_while_the_channel_lives(
    failure: Exception,
) -> None:
    wire = Wire()
    wire.failures = [failure]
    delivery = await _handed_out(wire)

    await delivery.dead_letter("spam")

    assert wire.log == ["copy", "ack"]


async def test_a_copy_that_fails_leaves_a_lost_message_to_the_broker() -> None:
    wire = Wire()
    wire.failures = [BrokerUnavailable("gone")]
    delivery = await _handed_out(wire)
    wire.lost = True

    with pytest.raises(BrokerUnavailable, match="comes again"):
        await delivery.retry(1)

    assert wire.log == []


async def test_a_long_delay_carries_its_due_time_and_goes_in_rounds() -> None:
    wire = Wire()
    delivery = await _handed_out(wire)
    asked = time.time()

    await delivery.retry(10_000)

    [(_, key, headers)] = wire.copies
    assert key == "notifications.email.high.4096s"
    due = headers["x-due-at"]
    assert isinstance(due, int)
    assert due >= int((asked + 10_000) * 1000)


@pytest.mark.parametrize(("left", "key"), [(5000, "4096s"), (900, "1024s"), (0.5, "1s")])
async def test_a_message_before_its_time_is_parked_again_unhandled(left: float, key: str) -> None:
    due, inbox = int((time.time() + left) * 1000), Inbox()
    wire = Wire({"x-due-at": due, "trace": "abc"})

    from_lane(LANE, inbox, wire.send).hand_out(wire)
    await wire.acknowledged.wait()

    [(_, parked, headers)] = wire.copies
    assert parked == f"notifications.email.high.{key}"
    assert (headers["x-due-at"], headers["trace"]) == (due, "abc")
    assert len(inbox) == 0


async def test_a_message_whose_time_has_come_is_handled_without_a_trace_of_it() -> None:
    wire = Wire({"x-due-at": int(time.time() * 1000) - 1, "trace": "abc"})

    delivery = await _handed_out(wire)

    assert delivery.headers == {"trace": "abc"}
    assert wire.copies == []


@pytest.mark.parametrize(
    ("headers", "sent_at", "since"),
    [({"x-published-at": 5_000}, 9.0, 5.0), ({}, 9.0, 9.0), ({"x-published-at": "?"}, 9.0, 9.0)],
)
async def test_the_age_is_from_our_stamp_or_the_producers(
    headers: dict[str, object], sent_at: float, since: float
) -> None:
    wire, inbox = Wire(headers), Inbox()
    wire.sent_at = sent_at
    in_flight = from_lane(LANE, inbox, wire.send)

    in_flight.hand_out(wire)

    assert list(in_flight.held_since()) == [since]


async def test_a_lost_message_is_held_no_longer() -> None:
    wire, inbox = Wire(), Inbox()
    in_flight = from_lane(LANE, inbox, wire.send)
    in_flight.hand_out(wire)
    await inbox.next()

    wire.lost = True
    in_flight.forget_lost()
    wire.lost = False

    assert list(in_flight.held_since()) == []
