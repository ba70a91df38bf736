"""What applications could not be told: looking at it, and having it told again."""

from __future__ import annotations

from loguru import logger
from starlette.requests import Request
from starlette.responses import Response

from clarion.errors import FieldProblem
from clarion.store.callbacks import CallbackStore
from clarion.store.outbox import read_event_id
from clarion_gateway import callback_models as models
from clarion_gateway.endpoint import Endpoint, model_response, parse_body, parse_query
from clarion_gateway.limits import Limits, read_json
from clarion_gateway.problems import unprocessable


class Callbacks:
    """The endpoints under /v1/callbacks."""

    def __init__(self, store: CallbackStore, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def find(self, request: Request) -> Response:
        """List callbacks; a key that is not to operate sees its own."""
        asked = parse_query(models.CallbackQuery, request)
        sees = request.state.key.sees
        if sees is not None and asked.key not in (None, sees):
            return model_response(models.CallbackPage(callbacks=[], next_cursor=None))
        try:
            found, cursor = await self._limits.in_time(
                self._store.find_callbacks(
                    producer=asked.key or sees,
                    dead=None if asked.state is None else asked.state == "dead",
                    limit=asked.limit,
                    cursor=asked.cursor,
                )
            )
        except ValueError as error:
            problem = FieldProblem("cursor", "not a next_cursor of this listing")
            raise unprocessable([problem], "the query") from error
        views = [models.CallbackView.of(each) for each in found]
        return model_response(models.CallbackPage(callbacks=views, next_cursor=cursor))

    async def replay(self, request: Request) -> Response:
        """Have callbacks that were given up made again."""
        asked = parse_body(
            models.CallbackReplay, await read_json(request, self._limits), "the replay"
        )
        keys = None if asked.ids is None else [read_event_id(each) for each in asked.ids]
        replayed = await self._limits.in_time(
            self._store.replay_callbacks(keys=keys, producer=asked.key, limit=models.MOST_REPLAYED)
        )
        logger.bind(callbacks=replayed, by=request.state.producer).info("callbacks replayed")
        more = keys is None and replayed == models.MOST_REPLAYED
        return model_response(models.CallbacksReplayed(replayed=replayed, more=more))

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what is served under which path."""
        return (
            Endpoint(
                "GET",
                "/v1/callbacks",
                self.find,
                "listCallbacks",
                "List what applications have not been told yet",
                {200: models.CallbackPage},
                "Callbacks",
                "A key that is not to operate sees those of its own application.",
                refusals=(422, 503),
                query=models.CallbackQuery,
                scope="read",
            ),
            Endpoint(
                "POST",
                "/v1/callbacks/replay",
                self.replay,
                "replayCallbacks",
                "Make callbacks again that were given up",
                {200: models.CallbacksReplayed},
                "Callbacks",
                "At most 1,000 at a time. Each is then tried for another 24 hours, before those of "
                "its notification that wait.",
                refusals=(400, 408, 413, 415, 422, 503),
                body=models.CallbackReplay,
                scope="operate",
            ),
        )
