"""Status events: each change of a notification's status, kept until it was told to applications.

A trigger of the database writes them, so that no code which changes a status can forget to.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from clarion.logs import conceal
from clarion.notification import Channel, Status
from clarion.store.letters import DeadLetterStore

EVENT_ID = r"evt_([0-9A-Za-z-]{1,64})_([1-9][0-9]{0,8})"
"""The pattern of an event's id: its notification's, and its sequence."""


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """One change of one notification's status; `row` is where it is kept, for the store alone.

    `sequence` counts those of its notification from 1 without a gap, replays and receipts included.
    """

    row: int
    notification_id: str
    sequence: int
    status: Status
    at: datetime
    attempt: int
    reason: str | None
    provider: str | None
    provider_code: str | None
    provider_text: str | None
    producer: str
    message_id: str
    channel: Channel
    template_id: str
    recipient: str
    metadata: dict[str, str]

    @property
    def event_id(self) -> str:
        """The same whenever this change is told."""
        return event_id(self.notification_id, self.sequence)

    def to_bytes(self) -> bytes:
        """Return what is told of it: JSON, UTF-8, without the recipient's address or the payload.

        A provider's words may repeat the address: it is masked there.
        """
        told: dict[str, Any] = {
            "id": self.event_id,
            "type": f"notification.{self.status}",
            "sequence": self.sequence,
            "at": self.at.astimezone(UTC).isoformat(timespec="milliseconds"),
            "notification_id": self.notification_id,
            "message_id": self.message_id,
            "channel": self.channel,
            "template_id": self.template_id,
            "status": self.status,
            "attempt": self.attempt,
            "reason": self.reason,
            "provider": self.provider,
            "provider_code": self.provider_code,
            "text": self._text(),
            "metadata": self.metadata or None,
        }
        known = {name: value for name, value in told.items() if value is not None}
        return json.dumps(known, ensure_ascii=False, separators=(",", ":")).encode()

    def _text(self) -> str | None:
        return None if self.provider_text is None else conceal(self.provider_text, [self.recipient])


def event_id(notification_id: str, sequence: int) -> str:
    """Return the id of a change of status: its notification's hex, and its sequence."""
    return f"evt_{notification_id.removeprefix('notif_')}_{sequence}"


def read_event_id(text: str) -> tuple[str, int]:
    """Return the notification and the sequence of an event id. Raises `ValueError`."""
    match = re.fullmatch(EVENT_ID, text)
    if match is None:
        raise ValueError("not the id of an event")
    return f"notif_{match[1]}", int(match[2])


@dataclass(slots=True)
class Telling:
    """Events that one relay has in hand; those whose rows are in `held` come again later."""

    events: tuple[StatusEvent, ...]
    held: set[int] = field(default_factory=set)


class OutboxStore(DeadLetterStore, ABC):
    """The store as the gateway's relay needs it: with what applications are still to be told."""

    @abstractmethod
    def telling(
        self, limit: int, *, calling: Collection[str] = ()
    ) -> AbstractAsyncContextManager[Telling]:
        """Yield the oldest events, up to `limit`, that no other relay has in hand.

        Those of the producers in `calling` become callbacks besides, held or not; of several relays
        on one PostgreSQL that ask for it one is given events at a time.

        They are gone once the block is left, but for those held, which come again in
        `HOLD_SECONDS`. Where it raises, or the process dies, all of them stay and come again.
        """

    @abstractmethod
    async def oldest_event(self) -> float | None:
        """Return the seconds that the oldest event has waited to be told; None without one."""
