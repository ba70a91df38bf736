"""Sending notifications, and looking at what became of them."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from clarion.errors import ClarionError, FieldProblem
from clarion.event import Event, parse_event
from clarion.notification import FINAL, Status
from clarion.store.base import Accepted, NotificationHistory, Query, Store
from clarion_gateway import models
from clarion_gateway.endpoint import (
    Endpoint,
    json_response,
    malformed,
    model_response,
    parse_query,
)
from clarion_gateway.intake import Acceptor, Answer, Checked
from clarion_gateway.limits import Limits, read_json
from clarion_gateway.problems import RETRY_AFTER, Problem, problem_of, unprocessable
from clarion_gateway.rate import RateLimit
from clarion_gateway.reception import Reception

_BODY_REFUSALS = (400, 408, 413, 415, 422, 503)

_ID = {"notification_id": "^notif_[0-9a-f]{32}$"}


class Notifications:
    """The endpoints under /v1/notifications."""

    def __init__(self, acceptor: Acceptor, store: Store, rate: RateLimit, limits: Limits) -> None:
        self._acceptor = acceptor
        self._reception = Reception(acceptor)
        self._store = store
        self._rate = rate
        self._limits = limits

    async def send(self, request: Request) -> Response:
        """Accept one event."""
        body = await read_json(request, self._limits)
        accepted = await self._reception.take_in(request.state.producer, body)
        return json_response({"notifications": _shown(accepted)}, _status(accepted))

    async def send_batch(self, request: Request) -> Response:
        """Accept many events, each by itself."""
        events = _events(await read_json(request, self._limits), self._limits)
        producer = request.state.producer
        self._rate.charge(producer, len(events) - 1)
        checked = await self._check_all(producer, events)
        sound = [item for item in checked if not isinstance(item, Exception)]
        answers = iter(await self._acceptor.accept_all(sound))
        results = [
            _result(index, item if isinstance(item, Exception) else next(answers))
            for index, item in enumerate(checked)
        ]
        statuses = {result["status"] for result in results}
        if statuses == {503}:
            detail = results[0]["problem"]["detail"]
            raise Problem(503, f"none of the batch: {detail}", headers={"Retry-After": RETRY_AFTER})
        status = statuses.pop() if statuses <= {200} or statuses == {202} else 207
        return json_response({"results": results}, status)

    async def show(self, request: Request) -> Response:
        """Show one notification."""
        history = await self._own(request, request.path_params["notification_id"])
        return model_response(models.NotificationDetail.of_history(history))

    async def cancel(self, request: Request) -> Response:
        """Call one notification off."""
        notification_id = request.path_params["notification_id"]
        history = await self._own(request, notification_id)
        if history.record.status is not Status.CANCELLED:
            cancelled = await self._limits.in_time(
                self._store.cancel(notification_id, request.state.producer)
            )
            history = await self._own(request, notification_id)
            if not cancelled and history.record.status is not Status.CANCELLED:
                raise Problem(409, _too_late(history.record.status))
        return model_response(models.NotificationDetail.of_history(history))

    async def find(self, request: Request) -> Response:
        """List notifications."""
        asked = parse_query(models.Listing, request)
        query = Query(
            producer=request.state.key.sees,
            **asked.model_dump(exclude={"limit", "cursor"}),
        )
        try:
            page = await self._limits.in_time(
                self._store.find(query, limit=asked.limit, cursor=asked.cursor)
            )
        except ValueError as error:
            problem = FieldProblem("cursor", "not a next_cursor of this listing")
            raise unprocessable([problem], "the query") from error
        return model_response(
            models.NotificationPage(
                notifications=[models.NotificationView.of(record) for record in page.records],
                next_cursor=page.cursor,
            )
        )

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what is served under which path."""
        return (
            Endpoint(
                "POST",
                "/v1/notifications",
                self.send,
                "sendNotification",
                "Send a notification",
                {202: models.AcceptedEvent, 200: models.AcceptedEvent},
                "Notifications",
                "Answers 202 once the event is stored: from then on it is delivered or ends with "
                "a reason. The same `message_id` and body again answer 200 with `duplicate: true` "
                "and send nothing; another body answers 409.",
                refusals=(*_BODY_REFUSALS, 409),
                scope="send",
                body=Event,
            ),
            Endpoint(
                "POST",
                "/v1/notifications/batch",
                self.send_batch,
                "sendBatch",
                "Send up to 1,000 events",
                {
                    202: models.BatchResults,
                    200: models.BatchResults,
                    207: models.BatchResults,
                },
                "Notifications",
                "Each event is accepted or refused by itself. 202 when all were accepted, 200 when "
                "all were accepted before, 207 otherwise: see the status of each result.",
                refusals=_BODY_REFUSALS,
                scope="send",
                body=models.Batch,
            ),
            Endpoint(
                "GET",
                "/v1/notifications",
                self.find,
                "listNotifications",
                "List notifications, newest first",
                {200: models.NotificationPage},
                "Notifications",
                refusals=(422, 503),
                scope="read",
                query=models.Listing,
            ),
            Endpoint(
                "GET",
                "/v1/notifications/{notification_id}",
                self.show,
                "showNotification",
                "Show a notification, its attempts and its timeline",
                {200: models.NotificationDetail},
                "Notifications",
                refusals=(404, 503),
                scope="read",
                path_patterns=_ID,
            ),
            Endpoint(
                "POST",
                "/v1/notifications/{notification_id}/cancel",
                self.cancel,
                "cancelNotification",
                "Call a notification off before it is sent",
                {200: models.NotificationDetail},
                "Notifications",
                "Answers 200 with the notification, `cancelled` now or before, and 409 once it is "
                "being sent or has come to another end.",
                refusals=(404, 409, 503),
                scope="send",
                path_patterns=_ID,
            ),
        )

    async def _own(self, request: Request, notification_id: str) -> NotificationHistory:
        history = await self._limits.in_time(self._store.get(notification_id))
        if history is None or request.state.key.sees not in {None, history.record.producer}:
            raise Problem(404, "there is no such notification")
        return history

    async def _check_all(
        self, producer: str, events: list[Any]
    ) -> list[Checked | ClarionError | Problem]:
        checked: list[Checked | ClarionError | Problem] = []
        room = self._limits.batch_notifications
        for raw in events:
            if len(checked) % 50 == 49:
                # a batch is up to 1,000 validations: let other requests have their turn
                await asyncio.sleep(0)
            try:
                one = self._acceptor.check(producer, _event(raw))
                room -= len(one.notifications)
                if room < 0:
                    raise _batch_too_large(self._limits)
                checked.append(one)
            except (ClarionError, Problem) as error:
                checked.append(error)
        return checked


def _result(index: int, answer: Answer | Problem) -> dict[str, Any]:
    if isinstance(answer, Exception):
        problem = problem_of(answer)
        return {"index": index, "status": problem.status, "problem": problem.body()}
    return {"index": index, "status": _status(answer), "notifications": _shown(answer)}


def _too_late(status: Status) -> str:
    if status is Status.IN_DOUBT:
        return "the provider may have accepted it already; whether it did is not known yet"
    if status in FINAL:
        return f"it is {status} already"
    return "it is being sent at this moment; ask again for what became of it"


def _shown(accepted: list[Accepted]) -> list[dict[str, object]]:
    # the shape of models.AcceptedNotification, without its cost: a test holds the two together;
    # as text, since an enum costs the encoder three times the rest
    return [
        {
            "notification_id": item.notification_id,
            "channel": item.channel.value,
            "status": item.status.value,
            "duplicate": item.duplicate,
        }
        for item in accepted
    ]


def _status(accepted: list[Accepted]) -> int:
    return 200 if all(item.duplicate for item in accepted) else 202


def _events(raw: bytes, limits: Limits) -> list[Any]:
    try:
        body = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise malformed(str(error)) from error
    if not isinstance(body, dict) or not isinstance(body.get("notifications"), list):
        wrong = FieldProblem("notifications", "expected a list of events here")
        raise unprocessable([wrong], "the batch")
    unknown = [FieldProblem(key, "unknown field") for key in body if key != "notifications"]
    events: list[Any] = body["notifications"]
    if unknown:
        raise unprocessable(unknown, "the batch")
    if not 1 <= len(events) <= limits.batch:
        wrong = FieldProblem("notifications", f"expected 1 to {limits.batch} events")
        raise unprocessable([wrong], "the batch")
    return events


def _event(raw: Any) -> Event:
    if not isinstance(raw, dict):
        raise unprocessable([FieldProblem("body", "expected an event, a JSON object")])
    return parse_event(raw)


def _batch_too_large(limits: Limits) -> Problem:
    return Problem(
        413,
        f"a batch may ask for {limits.batch_notifications} notifications in all; "
        "send this event in another one",
    )
