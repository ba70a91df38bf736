"""What every broker must do: a test class to derive from, and what a broker brings to it."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import pytest

from clarion.brokers.base import Backlog, Broker, Change, DeadLetter, Delivery, Message
from clarion.errors import BrokerUnavailable
from clarion.notification import Channel, Lane, Priority, Status

LANE = Lane(Channel.EMAIL, Priority.NORMAL)
OTHER_LANE = Lane(Channel.EMAIL, Priority.LOW)


@dataclass(frozen=True, slots=True)
class Parked:
    """A dead letter as its broker keeps it."""

    body: bytes
    headers: dict[str, object]
    reason: str
    detail: str


class BrokerHarness(ABC):
    """A broker under test."""

    @abstractmethod
    async def open(self) -> Broker:
        """Return a connected client of the same broker."""

    @abstractmethod
    async def dead_letters(self, channel: Channel) -> list[Parked]:
        """Return what is parked, and leave it there."""


ArrivedT = TypeVar("ArrivedT")


class _Arrivals(Generic[ArrivedT]):
    """A handler that settles nothing: the test does."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[ArrivedT] = asyncio.Queue()

    async def __call__(self, arrived: ArrivedT) -> None:
        self._arrived.put_nowait(arrived)

    def __len__(self) -> int:
        return self._arrived.qsize()

    async def next(self) -> ArrivedT:
        return await self._arrived.get()


class Inbox(_Arrivals[Delivery]):
    """What a lane's consumer was handed."""


class Letters(_Arrivals[DeadLetter]):
    """What a consumer of dead letters was handed."""


async def backlog_where(broker: Broker, condition: Callable[[Backlog], bool]) -> Backlog:
    """Return the backlog as soon as it is as expected; the test's timeout ends the wait."""
    while True:
        backlog = await broker.backlog()
        if condition(backlog):
            return backlog
        await asyncio.sleep(0.05)


def ready(backlog: Backlog, lane: Lane = LANE) -> int:
    """Return how many messages wait in a lane."""
    return backlog.lanes[lane].ready


@pytest.mark.timeout(60)
class BrokerContract:
    """Derive from it and provide the fixture `harness`."""

    @pytest.mark.parametrize(
        "body",
        [b"", b'{"a": 1}', b"\x00\xff\xfe", b"x" * 300_000],
        ids=["", "json", "bytes", "big"],
    )
    async def test_a_message_arrives_as_it_was_published(
        self, harness: BrokerHarness, body: bytes
    ) -> None:
        broker, inbox = await harness.open(), Inbox()
        consumer = await broker.consume(LANE, inbox, prefetch=10)

        await broker.publish(LANE, body, {"trace": "abc", "attempt": 2})
        delivery = await inbox.next()

        assert consumer.active
        assert (delivery.lane, delivery.body, delivery.deliveries) == (LANE, body, 0)
        assert delivery.headers == {"trace": "abc", "attempt": 2}

    async def test_a_change_of_status_may_be_told_to_nobody(self, harness: BrokerHarness) -> None:
        broker = await harness.open()

        told = await broker.tell_all([Change(Channel.EMAIL, Status.SENT, b"{}")] * 2)

        assert told == [None, None]

    async def test_a_change_of_status_is_not_told_to_a_broker_that_is_gone(
        self, harness: BrokerHarness
    ) -> None:
        broker = await harness.open()
        await broker.close()

        told = await broker.tell_all([Change(Channel.EMAIL, Status.SENT, b"{}")] * 2)

        assert [type(error) for error in told] == [BrokerUnavailable, BrokerUnavailable]

    async def test_messages_that_are_published_together_go_each_its_way(
        self, harness: BrokerHarness
    ) -> None:
        broker, inbox, other = await harness.open(), Inbox(), Inbox()
        await broker.consume(LANE, inbox, prefetch=10)
        await broker.consume(OTHER_LANE, other, prefetch=10)
        # larger than an AMQP frame, and than nothing
        large, empty = b"large" * 60_000, b""

        published = await broker.publish_all(
            [
                Message(LANE, large, {"trace": "abc"}),
                Message(OTHER_LANE, b"there", {}),
                Message(LANE, empty, {}),
            ]
        )
        first, second, third = await inbox.next(), await inbox.next(), await other.next()

        assert published == [None, None, None]
        assert (first.body, first.headers) == (large, {"trace": "abc"})
        assert (second.body, third.body) == (empty, b"there")

    async def test_any_number_of_messages_is_published_together(
        self, harness: BrokerHarness
    ) -> None:
        broker = await harness.open()
        bodies = [str(number).encode() for number in range(1000)]

        published = await broker.publish_all([Message(LANE, body, {}) for body in bodies])

        assert published == [None] * 1000
        assert await broker.publish_all([]) == []
        await backlog_where(broker, lambda backlog: ready(backlog) == 1000)

    async def test_a_message_goes_to_no_other_lane(self, harness: BrokerHarness) -> None:
        broker, inbox, other = await harness.open(), Inbox(), Inbox()
        await broker.consume(LANE, inbox, prefetch=10)
        await broker.consume(OTHER_LANE, other, prefetch=10)

        await broker.publish(LANE, b"here", {})
        await broker.publish(OTHER_LANE, b"there", {})

        assert (await inbox.next()).body == b"here"
        assert (await other.next()).body == b"there"
        assert (len(inbox), len(other)) == (0, 0)

    async def test_what_was_published_before_anyone_listened_arrives(
        self, harness: BrokerHarness
    ) -> None:
        broker, inbox = await harness.open(), Inbox()
        await broker.publish(LANE, b"early", {})

        await broker.consume(LANE, inbox, prefetch=10)

        assert (await inbox.next()).body == b"early"

    async def test_each_message_goes_to_one_of_several_consumers(
        self, harness: BrokerHarness
    ) -> None:
        broker, bodies, done = await harness.open(), list[bytes](), asyncio.Event()

        async def handle(delivery: Delivery) -> None:
            bodies.append(delivery.body)
            await delivery.ack()
            if len(bodies) == 300:
                done.set()

        await broker.consume(LANE, handle, prefetch=7)
        await broker.consume(LANE, handle, prefetch=7)
        sent = [str(number).encode() for number in range(300)]
        await asyncio.gather(*(broker.publish(LANE, body, {}) for body in sent))
        await done.wait()

        assert sorted(bodies) == sorted(sent)
        await backlog_where(broker, lambda backlog: ready(backlog) == 0)

    async def test_no_more_is_handed_out_than_the_prefetch(self, harness: BrokerHarness) -> None:
        broker, inbox = await harness.open(), Inbox()
        await broker.consume(LANE, inbox, prefetch=2)
        for number in range(5):
            await broker.publish(LANE, str(number).encode(), {})
        first, _ = await inbox.next(), await inbox.next()

        await backlog_where(broker, lambda backlog: ready(backlog) == 3)
        assert len(inbox) == 0
        await first.ack()
        await inbox.next()

        await backlog_where(broker, lambda backlog: ready(backlog) == 2)
        assert len(inbox) == 0

    @pytest.mark.parametrize("delay", [0.0, 0.3, 1.0, 1.2])
    async def test_a_retry_never_comes_early_and_keeps_its_message(
        self, harness: BrokerHarness, delay: float
    ) -> None:
        broker, inbox = await harness.open(), Inbox()
        await broker.consume(LANE, inbox, prefetch=10)
        await broker.publish(LANE, b"again", {"trace": "abc", "attempt": 2})
        delivery = await inbox.next()

        asked = time.monotonic()
        await delivery.retry(delay)
        back = await inbox.next()

        assert time.monotonic() - asked >= delay
        assert (back.lane, back.body, back.deliveries) == (LANE, b"again", 0)
        assert back.headers == {"trace": "abc", "attempt": 2}

    async def test_a_retry_may_be_retried(self, harness: BrokerHarness) -> None:
        broker, inbox = await harness.open(), Inbox()
        await broker.consume(LANE, inbox, prefetch=1)
        await broker.publish(LANE, b"again", {"trace": "abc"})

        for _ in range(3):
            await (await inbox.next()).retry(0.5)
        last = await inbox.next()

        assert (last.body, last.headers) == (b"again", {"trace": "abc"})

    async def test_a_short_delay_does_not_wait_behind_a_long_one(
        self, harness: BrokerHarness
    ) -> None:
        broker, inbox = await harness.open(), Inbox()
        await broker.consume(LANE, inbox, prefetch=10)
        await broker.publish(LANE, b"long", {})
        await (await inbox.next()).retry(3000)
        await broker.publish(LANE, b"short", {})
        await (await inbox.next()).retry(0.5)

        back = await inbox.next()

        assert back.body == b"short"
        await backlog_where(broker, lambda backlog: backlog.delayed == 1)

    async def test_a_dead_letter_keeps_body_headers_and_reason(
        self, harness: BrokerHarness
    ) -> None:
        broker, inbox = await harness.open(), Inbox()
        await broker.consume(LANE, inbox, prefetch=10)
        await broker.publish(LANE, b"\xff dead", {"trace": "abc"})

        await (await inbox.next()).dead_letter("invalid_recipient", "no such mailbox")

        [parked] = await harness.dead_letters(Channel.EMAIL)
        assert (parked.body, parked.reason) == (b"\xff dead", "invalid_recipient")
        assert parked.detail == "no such mailbox"
        assert parked.headers["trace"] == "abc"
        backlog = await backlog_where(broker, lambda backlog: backlog.dead[Channel.EMAIL] == 1)
        assert (backlog.dead[Channel.PUSH], ready(backlog)) == (0, 0)

    async def test_the_backlog_counts_what_is_ready_by_lane(self, harness: BrokerHarness) -> None:
        broker = await harness.open()

        for lane, count in ((LANE, 3), (OTHER_LANE, 1)):
            for _ in range(count):
                await broker.publish(lane, b"waits", {})

        backlog = await backlog_where(
            broker, lambda backlog: ready(backlog) + ready(backlog, OTHER_LANE) == 4
        )
        assert (ready(backlog), ready(backlog, OTHER_LANE)) == (3, 1)
        assert (sum(backlog.dead.values()), backlog.delayed) == (0, 0)

    async def test_the_backlog_tells_the_age_of_the_oldest_that_is_held(
        self, harness: BrokerHarness
    ) -> None:
        broker, inbox = await harness.open(), Inbox()
        await broker.consume(LANE, inbox, prefetch=1)
        await broker.publish(LANE, b"old", {})
        held = await inbox.next()
        seen = time.monotonic()
        await broker.publish(LANE, b"young", {})

        await asyncio.sleep(0.2)
        oldest = (await broker.backlog()).lanes[LANE].oldest

        # the wall clock that dates a message counts in milliseconds
        assert oldest is not None
        assert oldest >= 0.2 - 0.001
        await held.ack()
        await inbox.next()
        younger = (await broker.backlog()).lanes[LANE].oldest
        assert younger is not None
        assert younger < time.monotonic() - seen + 0.002

    async def test_an_empty_lane_has_no_oldest(self, harness: BrokerHarness) -> None:
        broker = await harness.open()

        backlog = await broker.backlog()

        assert backlog.lanes[LANE].oldest is None

    async def test_what_is_unsettled_comes_back_after_a_close(self, harness: BrokerHarness) -> None:
        broker, inbox = await harness.open(), Inbox()
        await broker.consume(LANE, inbox, prefetch=10)
        await broker.publish(LANE, b"settled", {})
        await broker.publish(LANE, b"unsettled", {"trace": "abc"})
        for _ in range(2):
            delivery = await inbox.next()
            if delivery.body == b"settled":
                await delivery.ack()
        await broker.close()

        again, after = await harness.open(), Inbox()
        await again.consume(LANE, after, prefetch=10)
        back = await after.next()

        assert (back.body, back.headers) == (b"unsettled", {"trace": "abc"})
        assert back.deliveries == 1
        assert len(after) == 0

    async def test_what_a_failed_handler_left_comes_back_and_the_rest_goes_on(
        self, harness: BrokerHarness
    ) -> None:
        broker, handled = await harness.open(), asyncio.Event()

        async def handle(delivery: Delivery) -> None:
            if delivery.body == b"bad":
                raise ValueError(delivery.body)
            await delivery.ack()
            handled.set()

        await broker.consume(LANE, handle, prefetch=2)
        await broker.publish(LANE, b"bad", {})
        await broker.publish(LANE, b"good", {})
        await handled.wait()
        await broker.close()

        again, after = await harness.open(), Inbox()
        await again.consume(LANE, after, prefetch=10)
        back = await after.next()

        assert (back.body, back.deliveries) == (b"bad", 1)

    async def test_a_cancelled_consumer_gets_nothing_more(self, harness: BrokerHarness) -> None:
        broker, inbox, after = await harness.open(), Inbox(), Inbox()
        consumer = await broker.consume(LANE, inbox, prefetch=10)
        await broker.publish(LANE, b"settled", {})
        await (await inbox.next()).ack()

        await consumer.cancel()
        await broker.publish(LANE, b"later", {})
        await broker.consume(LANE, after, prefetch=10)

        assert (await after.next()).body == b"later"
        assert (len(inbox), len(after)) == (0, 0)
        assert not consumer.active

    async def test_a_handler_may_settle_after_its_consumer_was_cancelled(
        self, harness: BrokerHarness
    ) -> None:
        broker, started, go_on = await harness.open(), asyncio.Event(), asyncio.Event()
        settled, after = asyncio.Event(), Inbox()

        async def handle(delivery: Delivery) -> None:
            started.set()
            await go_on.wait()
            await delivery.ack()
            settled.set()

        consumer = await broker.consume(LANE, handle, prefetch=1)
        await broker.publish(LANE, b"slow", {})
        await started.wait()

        await consumer.cancel()
        go_on.set()
        await settled.wait()
        await broker.publish(LANE, b"next", {})
        await broker.consume(LANE, after, prefetch=10)

        assert (await after.next()).body == b"next"
        assert len(after) == 0

    async def test_cancelling_gives_back_what_finished_handlers_left_unsettled(
        self, harness: BrokerHarness
    ) -> None:
        broker, inbox, after = await harness.open(), Inbox(), Inbox()
        consumer = await broker.consume(LANE, inbox, prefetch=10)
        await broker.publish(LANE, b"left", {})
        await inbox.next()

        await consumer.cancel()
        await broker.consume(LANE, after, prefetch=10)
        back = await after.next()

        assert (back.body, back.deliveries) == (b"left", 1)

    async def test_a_delivery_is_settled_once(self, harness: BrokerHarness) -> None:
        broker, inbox = await harness.open(), Inbox()
        await broker.consume(LANE, inbox, prefetch=10)
        await broker.publish(LANE, b"once", {})
        delivery = await inbox.next()
        await delivery.ack()

        with pytest.raises(RuntimeError, match="settled before"):
            await delivery.retry(1)

    async def test_nothing_works_on_a_closed_client(self, harness: BrokerHarness) -> None:
        broker = await harness.open()
        consumer = await broker.consume(LANE, Inbox(), prefetch=1)
        before = broker.connected

        await broker.close()
        await broker.close()

        assert (before, broker.connected) == (True, False)
        assert not consumer.active
        with pytest.raises(BrokerUnavailable):
            await broker.publish(LANE, b"late", {})
        with pytest.raises(BrokerUnavailable):
            await broker.consume(LANE, Inbox(), prefetch=1)
        with pytest.raises(BrokerUnavailable):
            await broker.consume_dead_letters(Letters(), prefetch=1)
        with pytest.raises(BrokerUnavailable):
            await broker.backlog()

    async def test_a_close_ends_the_handlers_that_still_run(self, harness: BrokerHarness) -> None:
        broker, started = await harness.open(), asyncio.Event()
        ended = asyncio.Event()

        async def handle(delivery: Delivery) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        await broker.consume(LANE, handle, prefetch=1)
        await broker.publish(LANE, b"endless", {})
        await started.wait()

        await broker.close()

        assert ended.is_set()
