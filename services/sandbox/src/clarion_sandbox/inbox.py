"""The inbox: what the vendors accepted, newest first, bounded in number and in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from clarion_sandbox.clock import iso
from clarion_sandbox.vendor import Recipient

# never shown or kept: they are credentials
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A call as it came over the wire."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def as_json(self) -> dict[str, Any]:
        """Return the request without its credentials."""
        return {
            "method": self.method,
            "path": self.path,
            "headers": {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in SECRET_HEADERS
            },
            "body": self.body.decode("utf-8", "replace"),
        }


@dataclass(frozen=True, slots=True)
class Message:
    """What one recipient received; `content` holds the fields of its channel."""

    id: str
    channel: str
    recipient: Recipient
    at: float
    provider_message_id: str
    content: dict[str, Any]
    request: RawRequest

    def as_json(self) -> dict[str, Any]:
        """Return the message as the API shows it."""
        return {**self.summary(), **self.content, "request": self.request.as_json()}

    def summary(self) -> dict[str, Any]:
        """Return what is true of a message on any channel."""
        return {
            "id": self.id,
            "channel": self.channel,
            "to": self.recipient.to,
            "received_at": iso(self.at),
            "received_at_unix": self.at,
            "notification_id": self.recipient.notification_id,
            "attempt": self.recipient.attempt,
            "provider_message_id": self.provider_message_id,
        }


class Inbox:
    """The newest messages: at most `limit`, and at most `limit_bytes` of request bodies."""

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._messages: OrderedDict[str, Message] = OrderedDict()
        self._by_provider_id: dict[str, str] = {}
        self._bytes = 0
        self._last_id = 0
        self.changes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def next_id(self) -> str:
        """Return an id that no message has had in this process."""
        self._last_id += 1
        return f"m{self._last_id}"

    def add(self, message: Message) -> None:
        """Keep a message, and drop the oldest ones over the limits; the newest always stays."""
        self.changes += 1
        self._messages[message.id] = message
        self._by_provider_id[message.provider_message_id] = message.id
        self._bytes += len(message.request.body)
        while len(self._messages) > 1 and (
            len(self._messages) > self._limit or self._bytes > self._limit_bytes
        ):
            _, oldest = self._messages.popitem(last=False)
            self._by_provider_id.pop(oldest.provider_message_id, None)
            self._bytes -= len(oldest.request.body)

    def get(self, message_id: str) -> Message | None:
        """Return one message, if it is still kept."""
        return self._messages.get(message_id)

    def known_as(self, provider_message_id: str) -> Message | None:
        """Return the message that has this id at its provider, if it is still kept."""
        return self._messages.get(self._by_provider_id.get(provider_message_id, ""))

    def find(self, channel: str | None = None, to: str | None = None) -> Iterator[Message]:
        """Return the matching messages, newest first; addresses match whatever their case."""
        wanted = None if to is None else to.removeprefix("whatsapp:").casefold()
        for message in reversed(self._messages.values()):
            if channel is not None and message.channel != channel:
                continue
            if wanted is not None and message.recipient.to.casefold() != wanted:
                continue
            yield message

    def clear(self) -> None:
        """Drop all messages."""
        self.changes += 1
        self._messages.clear()
        self._by_provider_id.clear()
        self._bytes = 0
