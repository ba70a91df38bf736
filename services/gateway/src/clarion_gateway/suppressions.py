"""The addresses that are not written to: looking at them, and changing them by hand."""

from __future__ import annotations

from loguru import logger
from starlette.requests import Request
from starlette.responses import Response

from clarion.errors import FieldProblem
from clarion.store.base import Store
from clarion_gateway import suppression_models as models
from clarion_gateway.endpoint import Endpoint, model_response, parse_body, parse_query
from clarion_gateway.limits import Limits, read_json
from clarion_gateway.problems import Problem, unprocessable


class Suppressions:
    """The endpoints under /v1/suppressions."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def find(self, request: Request) -> Response:
        """List suppressions."""
        asked = parse_query(models.SuppressionQuery, request)
        try:
            found = await self._limits.in_time(self._store.suppressions(**asked.model_dump()))
        except ValueError as error:
            problem = FieldProblem("cursor", "not a next_cursor of this listing")
            raise unprocessable([problem], "the query") from error
        return model_response(models.SuppressionPage.of(*found))

    async def add(self, request: Request) -> Response:
        """Suppress an address."""
        asked = parse_body(
            models.SuppressionRequest, await read_json(request, self._limits), "the suppression"
        )
        given = asked.suppression(request.state.producer)
        new = await self._limits.in_time(self._store.suppress(given))
        logger.bind(channel=given.channel, kind=given.kind, reason=given.reason).info(
            "address suppressed" if new else "address was suppressed already"
        )
        view = models.SuppressionView.model_validate(given, from_attributes=True)
        return model_response(view, 201 if new else 200)

    async def end(self, request: Request) -> Response:
        """Write to an address again."""
        asked = parse_query(models.SuppressionEnd, request)
        ended = await self._limits.in_time(
            self._store.unsuppress(asked.channel, asked.address, asked.kind)
        )
        if not ended:
            raise Problem(404, "this address is not suppressed")
        logger.bind(channel=asked.channel, kind=asked.kind).info("suppression ended")
        return model_response(models.SuppressionsEnded(ended=ended))

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what is served under which path."""
        path, tag = "/v1/suppressions", "Suppressions"
        return (
            Endpoint(
                "GET",
                path,
                self.find,
                "listSuppressions",
                "List the addresses that are not written to",
                {200: models.SuppressionPage},
                tag,
                refusals=(422, 503),
                query=models.SuppressionQuery,
                scope="operate",
            ),
            Endpoint(
                "POST",
                path,
                self.add,
                "suppress",
                "Write to an address no more",
                {201: models.SuppressionView, 200: models.SuppressionView},
                tag,
                "A notification to it then ends as `suppressed`, without a call to a provider. 200 "
                "where it was so before.",
                refusals=(400, 408, 413, 415, 422, 503),
                body=models.SuppressionRequest,
                scope="operate",
            ),
            Endpoint(
                "DELETE",
                path,
                self.end,
                "endSuppression",
                "Write to an address again",
                {200: models.SuppressionsEnded},
                tag,
                "The provider may have a list of its own, which this does not change.",
                refusals=(404, 422, 503),
                query=models.SuppressionEnd,
                scope="operate",
            ),
        )
