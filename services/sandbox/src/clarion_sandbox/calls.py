"""The call log: every provider call per notification, also those that got no answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from clarion_sandbox.clock import iso
from clarion_sandbox.vendor import Recipient

ENTRIES_PER_NOTIFICATION = 100


class Call:
    """One call; the status stays None while it hangs and when the connection was dropped."""

    __slots__ = ("accepted", "at", "attempt", "fault", "status")

    def __init__(self, at: float, attempt: int | None) -> None:
        self.at = at
        self.attempt = attempt
        self.status: int | None = None
        self.fault: str | None = None
        self.accepted = False

    def as_json(self) -> dict[str, Any]:
        """Return the call as the API shows it."""
        return {
            "at": iso(self.at),
            "at_unix": self.at,
            "status": self.status,
            "attempt": self.attempt,
            "fault": self.fault,
            "accepted": self.accepted,
        }


class Record:
    """All calls for one notification; the newest ones with their details."""

    __slots__ = ("accepted", "calls", "channel", "entries", "notification_id", "to")

    def __init__(self, notification_id: str, channel: str, to: str) -> None:
        self.notification_id = notification_id
        self.channel = channel
        self.to = to
        self.calls = 0
        self.accepted = 0
        self.entries: list[Call] = []

    def as_json(self) -> dict[str, Any]:
        """Return the record as the API shows it."""
        return {
            "notification_id": self.notification_id,
            "channel": self.channel,
            "to": self.to,
            "calls": self.calls,
            "accepted": self.accepted,
            "outcome": outcome(self.entries),
            "entries": [call.as_json() for call in self.entries],
        }


class CallLog:
    """Calls per notification id, for the newest `limit` ids; the totals count all calls."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.changes = 0
        self._reset()

    def _reset(self) -> None:
        self._records: dict[str, Record] = {}
        self._calls: Counter[str] = Counter()
        self._accepted: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._accepted_twice = 0
        self._without_id = 0

    def begin(self, at: float, channel: str, recipients: list[Recipient]) -> list[Call]:
        """Count a call that has just come in, once for each notification that it carries."""
        self.changes += 1
        self._calls[channel] += 1
        by_id = {one.notification_id: one for one in recipients if one.notification_id}
        if not by_id:
            self._without_id += 1
        return [self._enter(at, channel, one) for one in by_id.values()]

    def _enter(self, at: float, channel: str, recipient: Recipient) -> Call:
        key = recipient.notification_id or ""
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = Record(key, channel, recipient.to)
            if len(self._records) > self._limit:
                del self._records[next(iter(self._records))]
        call = Call(at, recipient.attempt)
        record.calls += 1
        record.entries.append(call)
        if len(record.entries) > ENTRIES_PER_NOTIFICATION:
            del record.entries[0]
        return call

    def accepted(self, channel: str, recipients: list[Recipient], calls: list[Call]) -> None:
        """Note that the vendor took the message of a call."""
        self.changes += 1
        self._accepted[channel] += 1
        for call in calls:
            call.accepted = True
        for key in {one.notification_id for one in recipients if one.notification_id}:
            record = self._records.get(key)
            if record is not None:
                record.accepted += 1
                self._accepted_twice += record.accepted == 2

    def finished(self, calls: list[Call], status: int | None, fault: str | None) -> None:
        """Note how a call ended; `status` is None when nothing was answered."""
        self.changes += 1
        self._statuses["none" if status is None else str(status)] += 1
        for call in calls:
            call.status = status
            call.fault = fault

    def get(self, notification_id: str) -> Record | None:
        """Return the calls for one notification."""
        return self._records.get(notification_id)

    def newest(self) -> Iterator[Record]:
        """Return all records, the latest notification first."""
        return reversed(self._records.values())

    def summary(self) -> dict[str, Any]:
        """Return the totals since the start or the last clearing."""
        return {
            "calls": self._calls.total(),
            "accepted": self._accepted.total(),
            "notifications": len(self._records),
            "accepted_more_than_once": self._accepted_twice,
            "calls_without_notification_id": self._without_id,
            "calls_by_channel": dict(self._calls),
            "accepted_by_channel": dict(self._accepted),
            "calls_by_status": dict(self._statuses),
        }

    def clear(self) -> None:
        """Forget all calls."""
        self.changes += 1
        self._reset()


def outcome(entries: list[Call]) -> str:
    """Return the story of some calls in a few words, such as `503 x2, then accepted`."""
    words: list[list[Any]] = []
    for call in entries:
        word = _word(call)
        if words and words[-1][0] == word:
            words[-1][1] += 1
        else:
            words.append([word, 1])
    return ", then ".join(f"{word} x{times}" if times > 1 else word for word, times in words)


def _word(call: Call) -> str:
    if call.accepted:
        return "accepted, no answer" if call.status is None and call.fault else "accepted"
    if call.status is not None:
        return str(call.status)
    return {None: "no answer yet", "hang": "hung"}.get(call.fault, "dropped")
