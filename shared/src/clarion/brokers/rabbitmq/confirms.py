"""Many messages by one write, and what the broker answers to each.

The client library gives every publish a lock, two timeouts, a write, and a future with five
callbacks of its own. Here those of a batch share one of each.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from aio_pika.abc import DeliveryMode
from aio_pika.exceptions import DeliveryError, PublishError
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.frame import marshal
from pamqp.header import ContentHeader

from clarion.errors import BrokerError, BrokerUnavailable, QueueFull, Unroutable


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message and where it goes; one that is not `mandatory` needs no queue."""

    exchange: str
    key: str
    body: bytes
    headers: Mapping[str, object]
    mandatory: bool = True


class Confirms:
    """The answers to messages that are published together: by their place, what was wrong with
    each, None where the broker has it."""

    def __init__(self, messages: Sequence[Outgoing]) -> None:
        self.answers: dict[int, BrokerError | None] = {}
        self._messages = messages
        self._complete: asyncio.Future[None] | None = None

    async def publish(self, channel: Channel) -> None:
        """Write all messages and return once all have an answer.

        Raises what the client library raises when the channel ends before that.
        """
        # by their ids it tells which of several came back; unlike uuid's they ask nothing of
        # the system
        ids = [f"{random.getrandbits(96):024x}" for _ in self._messages]
        payload = b"".join(
            piece
            for message, message_id in zip(self._messages, ids, strict=True)
            for piece in _frames(message, message_id, channel)
        )
        data = ChannelFrame(payload, should_close=False)
        async with channel.lock:
            await channel.write_queue.put(data)
            # the broker counts what it is given from 1 on: nothing may come between here
            self._complete = channel.create_future()
            for place, message_id in enumerate(ids):
                channel.delivery_tag += 1
                # of a future it wants no more than what this has
                confirm = cast("asyncio.Future[object]", _Confirm(self, place))
                channel.confirmations[channel.delivery_tag] = confirm
                channel.message_id_delivery_tag[message_id] = channel.delivery_tag
        try:
            await self._complete
        finally:
            for message_id in ids:
                channel.message_id_delivery_tag.pop(message_id, None)

    def take(self, place: int, error: BaseException | None) -> None:
        """Note the answer to one message."""
        self.answers[place] = None if error is None else _refusal(self._messages[place], error)
        complete = self._complete
        if len(self.answers) == len(self._messages) and complete and not complete.done():
            complete.set_result(None)


class _Confirm:
    """What the client library tells of one message, once."""

    __slots__ = ("_confirms", "_place")

    def __init__(self, confirms: Confirms, place: int) -> None:
        self._confirms = confirms
        self._place = place

    def done(self) -> bool:
        return False

    def set_result(self, _: object) -> None:
        self._confirms.take(self._place, None)

    def set_exception(self, error: BaseException) -> None:
        self._confirms.take(self._place, error)


def _frames(message: Outgoing, message_id: str, channel: Channel) -> Iterator[bytes]:
    number = channel.number
    yield _method(number, message.exchange, message.key, message.mandatory)
    properties = commands.Basic.Properties(
        headers=dict(message.headers),  # type: ignore[arg-type]  # what AMQP carries came from it
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=message_id,
    )
    yield marshal(ContentHeader(properties=properties, body_size=len(message.body)), number)
    most = channel.max_content_size
    for start in range(0, len(message.body), most):
        yield marshal(ContentBody(message.body[start : start + most]), number)


@lru_cache(maxsize=256)  # a third of the work, and the same for all of a lane
def _method(channel: int, exchange: str, key: str, mandatory: bool) -> bytes:
    publish = commands.Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory)
    return marshal(publish, channel)


def _refusal(message: Outgoing, error: BaseException) -> BrokerError:
    refusal: BrokerError
    match error:
        case PublishError():
            refusal = Unroutable(
                f"{message.exchange} has no queue for {message.key}: "
                "import rabbitmq/definitions.json"
            )
        case DeliveryError():
            refusal = QueueFull(
                f"publish {message.key}: refused, as a queue is full or has no leader at present"
            )
        case _:
            refusal = BrokerUnavailable(f"publish {message.key}: {error}")
    refusal.__cause__ = error
    return refusal
