"""Clients of the gateway: each sends its event again, as it was, until it is accepted."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import aiohttp

from clarion.notification import LANES
from clarion_testing.chaos.judge import HOLD, RESEND

CLIENTS = 32
PATIENCE = 15.0
"""Seconds that a client waits for an answer; the gateway's own limit is 10."""


def events(count: int) -> list[dict[str, Any]]:
    """Return events in turn over the three channels and priorities; every fourth is to be held."""
    run = uuid.uuid4().hex[:8]
    return [_event(run, number) for number in range(count)]


def _event(run: str, number: int) -> dict[str, Any]:
    lane = LANES[number % len(LANES)]
    recipients = {
        "email": {"email": f"user{number}@example.com"},
        "whatsapp": {"phone": f"+1415555{number:04}"},
        "push": {"device_token": f"device-{number}"},
    }
    event: dict[str, Any] = {
        "message_id": f"{run}-{number}",
        "target_user_id": f"user_{number}",
        "channel": lane.channel.value,
        "priority": lane.priority.value,
        "template_id": "welcome",
        "payload": {"user_name": "Ann"} | recipients[lane.channel],
    }
    if number % 4 == 0:
        event["on_doubt"] = HOLD
    return event


class Traffic:
    """What clients sent and what they were told."""

    def __init__(self, gateways: Sequence[str]) -> None:
        self._gateways = gateways
        self._random = random.Random(3001)
        self.accepted: dict[str, str] = {}
        """The policy on doubt of each accepted notification, by its id."""
        self.answers: Counter[int] = Counter()
        self.refused_connections = 0
        self.duplicates = 0
        self.complaints: list[str] = []
        self.longest = 0.0
        self._progress = asyncio.Event()

    async def send(self, batch: list[dict[str, Any]], *, over: float = 0.0) -> None:
        """Return once every event is accepted; they are spread `over` so many seconds."""
        started = time.monotonic()
        due = iter([(started + over * n / len(batch), event) for n, event in enumerate(batch)])
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._client(session, due))

    async def reached(self, count: int) -> None:
        """Return once so many notifications are accepted."""
        while len(self.accepted) < count:
            self._progress.clear()
            await self._progress.wait()

    async def answered(self, status: int, *, more_than: int = 0) -> None:
        """Return once clients were given this status more than so many times."""
        while self.answers[status] <= more_than:
            self._progress.clear()
            await self._progress.wait()

    async def _client(
        self, session: aiohttp.ClientSession, due: Iterator[tuple[float, dict[str, Any]]]
    ) -> None:
        for at, event in due:
            await asyncio.sleep(max(at - time.monotonic(), 0.0))
            while (wait := await self._try(session, event)) is not None:  # noqa: ASYNC110
                await asyncio.sleep(wait)

    async def _try(self, session: aiohttp.ClientSession, event: dict[str, Any]) -> float | None:
        """Post an event once; return how long to wait before the next try, None when done."""
        url = f"{self._random.choice(self._gateways)}/v1/notifications"
        started = time.monotonic()
        try:
            async with session.post(url, json=event) as response:
                answer = await response.json(content_type=None)
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            if isinstance(error, TimeoutError):
                self.complaints.append(f"no answer within {PATIENCE:g} s")
            self.refused_connections += 1
            return 0.1
        finally:
            self.longest = max(self.longest, time.monotonic() - started)
        self.answers[response.status] += 1
        self._progress.set()
        if response.status in (200, 202):
            self._take(event, answer)
            return None
        if response.status == 503 and (told := response.headers.get("Retry-After")):
            return min(float(told), 2.0)
        self.complaints.append(f"{response.status}: {answer}")
        return 0.5

    def _take(self, event: dict[str, Any], answer: dict[str, Any]) -> None:
        for item in answer["notifications"]:
            self.accepted[item["notification_id"]] = event.get("on_doubt", RESEND)
            self.duplicates += item["duplicate"]
