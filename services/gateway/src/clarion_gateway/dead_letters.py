"""Looking through dead letters, sending them again, and taking them off the list."""

from __future__ import annotations

import json
from typing import Any

from loguru import logger
from starlette.requests import Request
from starlette.responses import Response

from clarion.errors import FieldProblem
from clarion.event import content_problems
from clarion.store.letters import DeadLetterStore, DeadQuery
from clarion.templates import TemplateRepository
from clarion_gateway import dead_letter_models as models
from clarion_gateway.endpoint import Endpoint, model_response, parse_body, parse_query
from clarion_gateway.limits import Limits, read_json
from clarion_gateway.mending import Mending
from clarion_gateway.orders import Action, Discards, Replays, Selection, Tally, fulfil
from clarion_gateway.problems import unprocessable

MAX_PATCH_BYTES = 64 * 1024
"""How large a payload may be that is merged into every letter."""

_REFUSALS = (400, 408, 413, 415, 422, 503)


class DeadLetters:
    """The endpoints under /v1/dead-letters."""

    def __init__(
        self, store: DeadLetterStore, templates: TemplateRepository, limits: Limits
    ) -> None:
        self._store = store
        self._templates = templates
        self._limits = limits

    async def find(self, request: Request) -> Response:
        """List dead letters."""
        asked = parse_query(models.DeadListing, request)
        try:
            page = await self._limits.in_time(
                self._store.find_dead(asked.query(), limit=asked.limit, cursor=asked.cursor)
            )
        except ValueError as error:
            problem = FieldProblem("cursor", "not a next_cursor of this listing")
            raise unprocessable([problem], "the query") from error
        return model_response(
            models.DeadLetterPage(
                dead_letters=[models.DeadLetterView.of_letter(each) for each in page.records],
                next_cursor=page.cursor,
            )
        )

    async def groups(self, request: Request) -> Response:
        """Count dead letters that ended alike."""
        asked = parse_query(models.Narrowing, request)
        found = await self._limits.in_time(self._store.dead_groups(asked.query()))
        return model_response(
            models.DeadGroupList(
                groups=[
                    models.DeadGroupView.model_validate(group, from_attributes=True)
                    for group in found.groups
                ],
                complete=found.complete,
            )
        )

    async def replay(self, request: Request) -> Response:
        """Send dead letters again."""
        body = await read_json(request, self._limits)
        order = parse_body(models.ReplayOrder, body, "the replay")
        selection = _selection(order, _mending_problems(order, self._templates), "the replay")
        mending = Mending(order.payload, order.template_id, redirected=order.ids is not None)
        action = Replays(
            self._store,
            self._templates,
            mending,
            by=request.state.producer,
            rate=order.rate,
            dry_run=order.dry_run,
        )
        tally = await self._fulfil(request, order, selection, action)
        report = _report(order, tally, "replayed")
        return model_response(models.ReplayReport(**report, replayed=tally.done, until=tally.until))

    async def discard(self, request: Request) -> Response:
        """Take dead letters off the list."""
        body = await read_json(request, self._limits)
        order = parse_body(models.DiscardOrder, body, "the discard")
        selection = _selection(order, [], "the discard")
        action = Discards(self._store, by=request.state.producer, dry_run=order.dry_run)
        tally = await self._fulfil(request, order, selection, action)
        report = _report(order, tally, "discarded")
        return model_response(models.DiscardReport(**report, discarded=tally.done))

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what is served under which path."""
        return (
            Endpoint(
                "GET",
                "/v1/dead-letters",
                self.find,
                "listDeadLetters",
                "List the notifications that people must see to, newest first",
                {200: models.DeadLetterPage},
                "Dead letters",
                "Those that failed and those held in doubt, until they are replayed or discarded. "
                "`GET /v1/notifications/{id}` shows one with its payload and its timeline.",
                refusals=(422, 503),
                scope="operate",
                query=models.DeadListing,
            ),
            Endpoint(
                "GET",
                "/v1/dead-letters/groups",
                self.groups,
                "groupDeadLetters",
                "Count those that ended alike",
                {200: models.DeadGroupList},
                "Dead letters",
                refusals=(422, 503),
                scope="operate",
                query=models.Narrowing,
            ),
            Endpoint(
                "POST",
                "/v1/dead-letters/replay",
                self.replay,
                "replayDeadLetters",
                "Send dead letters again",
                {200: models.ReplayReport},
                "Dead letters",
                "Each is checked first, with what the order mends in it: one that would fail "
                "again at once stays dead and is reported. A request ends after about five "
                "seconds; while there are `remaining`, send the order again with `after`. Safe to "
                "repeat: what was replayed is no dead letter any more.",
                refusals=_REFUSALS,
                scope="operate",
                body=models.ReplayOrder,
            ),
            Endpoint(
                "POST",
                "/v1/dead-letters/discard",
                self.discard,
                "discardDeadLetters",
                "Take dead letters off the list for good",
                {200: models.DiscardReport},
                "Dead letters",
                "They stay on record as `failed`.",
                refusals=_REFUSALS,
                scope="operate",
                body=models.DiscardOrder,
            ),
        )

    async def _fulfil(
        self, request: Request, order: models.Order, selection: Selection, action: Action
    ) -> Tally:
        tally = await fulfil(self._store, selection, action, patience=self._limits.work_seconds)
        logger.bind(
            by=request.state.producer,
            dry_run=order.dry_run,
            done=tally.done,
            skipped=tally.skipped,
            remaining=tally.remaining,
        ).info("dead letters: {}", type(action).__name__.lower())
        return tally


def _selection(order: models.Order, problems: list[FieldProblem], subject: str) -> Selection:
    """Return the letters that an order is for. Raises `Problem` where that is not clear."""
    wanted, query = order.filter, DeadQuery()
    if (order.ids is None) == (wanted is None):
        problems.append(FieldProblem("filter", "give either ids or a filter"))
    if order.after is not None and order.ids is not None:
        problems.append(FieldProblem("after", "goes on with a filter, not with ids"))
    if wanted is not None:
        query = wanted.query()
        if wanted.all == (query != DeadQuery()):
            said = '{"all": true} is every dead letter, and else something must narrow it'
            problems.append(FieldProblem("filter", said))
    if problems:
        raise unprocessable(problems, subject)
    ids = None if order.ids is None else tuple(order.ids)
    return Selection(ids, query, order.after or "", order.limit)


def _mending_problems(
    order: models.ReplayOrder, templates: TemplateRepository
) -> list[FieldProblem]:
    problems = []
    if order.payload is not None:
        problems += content_problems("payload", order.payload)
        if not problems and len(json.dumps(order.payload)) > MAX_PATCH_BYTES:
            said = f"larger than {MAX_PATCH_BYTES} bytes, which every letter would carry"
            problems.append(FieldProblem("payload", said))
    if order.template_id is not None and order.template_id not in templates.names():
        said = f"there is no template {order.template_id!r}"
        problems.append(FieldProblem("template_id", said))
    return problems


def _report(order: models.Order, tally: Tally, done: str) -> dict[str, Any]:
    more = tally.remaining > 0 or tally.interrupted
    return {
        "dry_run": order.dry_run,
        "matched": tally.matched,
        "skipped": tally.skipped,
        "skips": tally.skips,
        "remaining": tally.remaining,
        "next": tally.last if more and order.ids is None else None,
        "detail": _in_words(order, tally, done),
    }


def _in_words(order: models.Order, tally: Tally, done: str) -> str:
    words = f"{tally.done} {'would be ' if order.dry_run else ''}{done}, {tally.skipped} skipped"
    if tally.interrupted:
        return (
            f"{words}; then the database did not answer in time: send the order again, "
            "it touches none twice"
        )
    if tally.remaining and order.ids is not None:
        return f"{words}, {tally.remaining} not looked at: send the order again for those"
    if tally.remaining:
        return f"{words}, {tally.remaining} remain: send the order again with after={tally.last}"
    return words
