"""An endpoint: what is served and how it is described, in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as ASGIScope

from clarion.errors import FieldProblem
from clarion.event import problems_of
from clarion_gateway.auth import ApiKeys, Scope
from clarion_gateway.problems import Problem, unprocessable
from clarion_gateway.rate import RateLimit

Handler = Callable[[Request], Awaitable[Response]]
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method on one path. `answers` maps a status to its body's model, or to a media type."""

    method: str
    path: str
    handler: Handler
    name: str
    summary: str
    answers: Mapping[int, type[BaseModel] | str]
    tag: str
    description: str = ""
    refusals: tuple[int, ...] = ()
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    path_patterns: Mapping[str, str] = field(default_factory=dict)
    scope: Scope | None = field(kw_only=True)
    """What a key must be for to use it; None where it answers without a key."""


def routes(endpoints: Iterable[Endpoint], keys: ApiKeys, rate: RateLimit) -> list[Route]:
    """Return one route per path, so that a 405 lists every method that the path takes."""
    by_path: dict[str, dict[str, Handler]] = {}
    for endpoint in endpoints:
        handler = endpoint.handler
        if endpoint.scope is not None:
            handler = _guarded(handler, endpoint.scope, keys, rate)
        by_path.setdefault(endpoint.path, {})[endpoint.method] = handler
    served = [Route(path, _Resource(handlers)) for path, handlers in by_path.items()]
    for route in served:
        # every method comes to the dispatcher; else GET /batch would be looked up as an id
        route.methods = None
    return served


def parse_body(model: type[ModelT], raw: bytes, subject: str = "the event") -> ModelT:
    """Return the model in a JSON body. Raises `Problem`: 400 when it is not JSON, else 422."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise malformed(first["msg"].removeprefix("Invalid JSON: ")) from error
        raise unprocessable(problems_of(error), subject) from error


def parse_query(model: type[ModelT], request: Request) -> ModelT:
    """Return the model in the query string. Raises `Problem` 422 naming each bad parameter."""
    values: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in values:
            raise unprocessable([FieldProblem(name, "given more than once")], "the query")
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise unprocessable(problems_of(error), "the query") from error


def malformed(message: str) -> Problem:
    """Return the refusal of a body that is not JSON; `message` says where."""
    return Problem(400, f"the body is not valid JSON (RFC 8259, UTF-8): {message}")


def json_response(body: object, status: int = HTTPStatus.OK) -> Response:
    """Return an answer with this as its body, of types that JSON knows."""
    return Response(to_json(body), status, media_type="application/json")


def model_response(model: BaseModel, status: int = HTTPStatus.OK) -> Response:
    """Return an answer with the model as its body."""
    return Response(model.model_dump_json(), status, media_type="application/json")


def _guarded(handler: Handler, scope: Scope, keys: ApiKeys, rate: RateLimit) -> Handler:
    async def guarded(request: Request) -> Response:
        key = keys.identify(request.headers.get("authorization"))
        request.state.key = key
        request.state.producer = key.name
        key.require(scope)
        rate.admit(key.name)
        return await handler(request)

    return guarded


class _Resource:
    """One path, as an application: around a function Starlette would look for exceptions to handle
    once more, which is work for every request."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._allowed = ", ".join(sorted({*handlers, *(("HEAD",) if "GET" in handlers else ())}))

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        handler = self._handlers.get(method)
        if handler is None:
            raise HTTPException(405, headers={"Allow": self._allowed})
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)
