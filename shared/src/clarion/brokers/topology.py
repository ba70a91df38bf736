"""The exchanges, queues and users in RabbitMQ, as data: `definitions.json` is made from it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from clarion.notification import LANES, Channel, Lane, Priority, Status

WORK = "notifications"
DELAY = "notifications.delay"
DEAD = "notifications.dead"
EVENTS = "notifications.events"
EXCHANGES = (WORK, DELAY, DEAD, EVENTS)

RECORDER = f"{DEAD}.recorder"
"""The queue in which the gateway finds a copy of every dead letter."""

DELIVERY_LIMIT = 10
"""How often a message may come back unsettled before it is given up: more often than a bad
deployment restarts, as each restart hits the neighbours of a poison message too."""

PARKED_DAYS = 30
"""How long people can look at a parked message; what became of it stays in the database."""

LADDER = tuple(2**power for power in range(13))
"""The delays there is a queue for, in seconds: 1, 2, 4 ... 4096."""

Arguments = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue, the exchange it is bound to, and by which keys."""

    name: str
    exchange: str
    keys: tuple[str, ...]
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Policy:
    """What may change while the broker runs; a queue's arguments never can."""

    name: str
    pattern: str
    definition: Arguments


@dataclass(frozen=True, slots=True)
class User:
    """Whom the broker lets in, and to what; patterns are regular expressions.

    `topics` limits the routing keys that may be written, by exchange.
    """

    name: str
    configure: str = "^$"
    write: str = "^$"
    read: str = "^$"
    topics: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


def delay_queue(seconds: int) -> str:
    """Return the name of the queue in which a message waits that long."""
    return f"{DELAY}.{seconds}s"


def event_key(channel: Channel, status: Status) -> str:
    """Return the topic under which a change of status is told."""
    return f"status.{channel}.{status}"


def dead_queue(channel: Channel) -> str:
    """Return the name of the queue in which a channel's dead letters are parked."""
    return f"notifications.{channel}.dead"


def rung(delay: float) -> int:
    """Return the delay queue, in seconds, that never comes early for `delay`.

    The longest is 4096 s: a longer delay takes several rounds.
    """
    seconds = max(1, math.ceil(delay)) if delay < LADDER[-1] else LADDER[-1]
    return 1 << (seconds - 1).bit_length()


def _quorum(dead_letter_exchange: str | None = None) -> Arguments:
    # reject-publish is what makes at-least-once so: without it the broker falls back, silently, to
    # at-most-once (https://www.rabbitmq.com/docs/quorum-queues#dead-lettering)
    arguments: Arguments = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
    if dead_letter_exchange:
        arguments["x-dead-letter-exchange"] = dead_letter_exchange
        arguments["x-dead-letter-strategy"] = "at-least-once"
    return arguments


def _lane(lane: Lane) -> Queue:
    # the key of a message that comes back from its delay ends in `.8s`, hence `.#`
    keys = [f"{lane.routing_key}.#"]
    if lane.priority is Priority.NORMAL:
        keys.append(f"notifications.{lane.channel}")
    return Queue(lane.routing_key, WORK, tuple(keys), _quorum(DEAD))


def _delay(seconds: int) -> Queue:
    # no dead-letter routing key: a message keeps its own, which brings it back to its lane
    arguments = _quorum(WORK) | {"x-message-ttl": seconds * 1000}
    return Queue(delay_queue(seconds), DELAY, (f"*.*.*.{seconds}s",), arguments)


def _dead(channel: Channel) -> Queue:
    return Queue(dead_queue(channel), DEAD, (f"notifications.{channel}.#",), _quorum())


LANE_QUEUES = tuple(_lane(lane) for lane in LANES)
DELAY_QUEUES = tuple(_delay(seconds) for seconds in LADDER)
DEAD_QUEUES = tuple(_dead(channel) for channel in Channel)
RECORDER_QUEUE = Queue(RECORDER, DEAD, ("notifications.#",), _quorum())
QUEUES = (*LANE_QUEUES, *DELAY_QUEUES, *DEAD_QUEUES, RECORDER_QUEUE)

_CHANNELS = "|".join(Channel)
_PRIORITIES = "|".join(Priority)

POLICIES = (
    Policy(
        "lanes",
        rf"^notifications\.({_CHANNELS})\.({_PRIORITIES})$",
        {"delivery-limit": DELIVERY_LIMIT, "max-length": 1_000_000},
    ),
    Policy("delay", r"^notifications\.delay\.[0-9]+s$", {"max-length": 1_000_000}),
    # Nothing else empties these queues, and a full one would stop all dead-lettering: it refuses
    # what it has no room for.
    Policy(
        "dead",
        rf"^notifications\.({_CHANNELS})\.dead$",
        {
            "delivery-limit": 1000,
            "max-length": 1_000_000,
            "message-ttl": PARKED_DAYS * 24 * 3600 * 1000,
        },
    ),
    # without a limit of its own RabbitMQ 4 drops a letter that came back twenty times
    Policy(
        "recorder",
        rf"^{re.escape(RECORDER)}$",
        {"delivery-limit": 1_000_000, "max-length": 1_000_000},
    ),
)


def _gateway() -> User:
    # Write on a queue alone permits nothing, as a binding needs read on an exchange too. It is here
    # because RabbitMQ answers a passive declare, which tells the depth, only to who has some
    # permission on the queue (since 4.0.21; rabbitmq-server #16272).
    queues = rf"({_CHANNELS})\.({_PRIORITIES}|dead)|delay\.[0-9]+s"
    return User(
        "gateway",
        write=rf"^notifications(\.events|\.({queues}))?$",
        read=rf"^{re.escape(RECORDER)}$",
        topics={
            WORK: rf"^notifications\.({_CHANNELS})\.({_PRIORITIES})$",
            EVENTS: rf"^status\.({_CHANNELS})\.",
        },
    )


def _worker(channel: Channel) -> User:
    return User(
        channel.value,
        write=rf"^notifications\.(delay(\.[0-9]+s)?|dead|{channel}\.dead)$",
        read=rf"^notifications\.{channel}\.({_PRIORITIES})$",
        topics={
            DELAY: rf"^notifications\.{channel}\.({_PRIORITIES})\.[0-9]+s$",
            DEAD: rf"^notifications\.{channel}\.",
        },
    )


SERVICES = (_gateway(), *(_worker(channel) for channel in Channel))
PEOPLE = (
    User("admin", configure=".*", write=".*", read=".*", tags=("administrator",)),
    User("monitor", tags=("monitoring",)),
)
USERS = SERVICES + PEOPLE
