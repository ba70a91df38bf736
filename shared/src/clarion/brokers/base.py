"""What a broker is to the gateway and the workers: few verbs, named after channels, not queues."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from clarion.errors import BrokerError
from clarion.notification import Channel, Lane, Priority, Status

Headers = Mapping[str, str | int]
"""Kept with a message through every retry and into the dead-letter queue."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message, and the lane that it belongs to."""

    lane: Lane
    body: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class Change:
    """A change of status that is told."""

    channel: Channel
    status: Status
    body: bytes


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits in a lane: messages ready, and seconds since the oldest was published.

    `oldest` is None where this client cannot know: AMQP tells the age of no message that it has
    not handed out.
    """

    ready: int
    oldest: float | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the broker holds: ready messages by lane, parked dead letters, messages in delay."""

    lanes: dict[Lane, Depth] = field(default_factory=dict)
    dead: dict[Channel, int] = field(default_factory=dict)
    delayed: int = 0


class Delivery(ABC):
    """A message handed to a consumer, to be settled exactly once."""

    lane: Lane
    body: bytes
    headers: Headers
    deliveries: int
    """How often the broker has handed out this copy before: more than 0 after a crash."""

    @abstractmethod
    async def ack(self) -> None:
        """Settle it as done."""

    @abstractmethod
    async def retry(self, delay: float) -> None:
        """Return once the broker holds a copy that comes back to its lane in `delay` seconds or a
        little later, never earlier; this one is settled.

        Raises `BrokerUnavailable`; the message is then not settled and comes back by itself.
        """

    @abstractmethod
    async def dead_letter(self, reason: str, detail: str = "") -> None:
        """Return once the broker holds a parked copy with body, headers and reason; this one is
        settled.

        Raises `BrokerUnavailable`; the message is then not settled and comes back by itself.
        """


class DeadLetter(ABC):
    """The copy of a message that was given up, for the record; it is settled by `ack` alone."""

    channel: Channel
    priority: Priority | None
    """None where the message went to no lane of ours."""
    body: bytes
    headers: Headers
    """As they were published."""
    reason: str
    """Why: the worker's reason, or where `by_broker` one of RabbitMQ's words: `delivery_limit`,
    `expired`, `maxlen`, `rejected`."""
    detail: str
    by_broker: bool
    """Whether the broker gave it up by itself: no worker has recorded an outcome."""

    @abstractmethod
    async def ack(self) -> None:
        """Settle it as recorded; before that a crash brings it again."""


Handler = Callable[[Delivery], Awaitable[None]]
DeadLetterHandler = Callable[[DeadLetter], Awaitable[None]]


class Consumer(ABC):
    """A running subscription; it survives the broker's restarts."""

    @property
    @abstractmethod
    def active(self) -> bool:
        """Whether the broker is delivering to it now."""

    @abstractmethod
    async def cancel(self) -> None:
        """Stop deliveries; messages already handed out may still be settled."""


class Broker(ABC):
    """Carries notifications to the workers: at least once, in no promised order."""

    @abstractmethod
    async def connect(self) -> None:
        """Return once connected and once the topology was found to be ours; again if asked again.

        Raises `BrokerUnavailable` or `TopologyMismatch`.
        """

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether a publish could succeed now."""

    @property
    def blocked(self) -> str | None:
        """Why the broker takes no messages at present though it is there, such as a full disk;
        None while it takes them, and until a first publish has met the alarm.

        Publishing then raises `BrokerUnavailable` at once, and goes on by itself afterwards.
        """
        return None

    async def publish(self, lane: Lane, body: bytes, headers: Headers) -> None:
        """Return once the broker has taken responsibility for the message.

        Raises `QueueFull` where this lane has no room, `Unroutable` where there is no such lane,
        and `BrokerUnavailable`; after that one it may hold the message all the same.
        """
        [error] = await self.publish_all([Message(lane, body, headers)])
        if error is not None:
            raise error

    @abstractmethod
    async def publish_all(self, messages: Sequence[Message]) -> list[BrokerError | None]:
        """Return for each message what `publish` raises, or None where the broker has it."""

    @abstractmethod
    async def tell_all(self, changes: Sequence[Change]) -> list[BrokerError | None]:
        """Tell each change of status to all who bound a queue to hear of it, be it nobody.

        Returns None for each that they have all got, `QueueFull` where one of their queues had no
        room, or `BrokerUnavailable`.
        """

    @abstractmethod
    async def consume(self, lane: Lane, handler: Handler, *, prefetch: int) -> Consumer:
        """Hand at most `prefetch` unsettled messages of the lane at a time to `handler`, each in a
        task of its own.

        A handler that raises leaves its message unsettled until it is redelivered.
        """

    @abstractmethod
    async def consume_dead_letters(self, handler: DeadLetterHandler, *, prefetch: int) -> Consumer:
        """Hand a copy of everything that was given up, by a worker or by the broker itself, to
        `handler`, at least once; what several clients consume is shared among them.

        Otherwise as `consume`. Raises `BrokerUnavailable`, `TopologyMismatch`.
        """

    @abstractmethod
    async def backlog(self) -> Backlog:
        """Return what waits where. Raises `BrokerUnavailable`."""

    @abstractmethod
    async def close(self) -> None:
        """Stop deliveries and close; what was handed out and not settled is delivered again."""
