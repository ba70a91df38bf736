"""Every refusal as RFC 9457 `application/problem+json`, with each field that is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ExceptionHandler

from clarion.errors import (
    BrokerUnavailable,
    FieldProblem,
    InvalidEvent,
    MessageIdConflict,
    RowRefused,
    StoreUnavailable,
    TemplateInvalid,
    TemplateNotFound,
)

MAX_ERRORS = 100
RETRY_AFTER = "2"
"""Seconds after which a client may try again while the database is away."""


class FieldError(BaseModel):
    """One field that is wrong: its path, and what to do about it."""

    path: str = Field(examples=["payload.email"])
    message: str


class ProblemBody(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: str = Field(examples=["urn:clarion:problem:unprocessable-content"])
    title: str
    status: int
    detail: str
    errors: list[FieldError] = Field(description="The fields that are wrong, if any are.")
    request_id: str | None = Field(None, description="What the log knows this request by.")


class Problem(Exception):
    """A request that is refused with this status and text."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Iterable[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers
        super().__init__(detail)

    def body(self, request_id: str | None = None) -> dict[str, object]:
        """Return the shape of `ProblemBody`; a long list of errors is cut short."""
        title = title_of(self.status)
        shown = self.errors[:MAX_ERRORS]
        body: dict[str, object] = {
            "type": f"urn:clarion:problem:{title.lower().replace(' ', '-')}",
            "title": title,
            "status": self.status,
            "detail": self.detail,
            "errors": [
                {"path": error.path[:300], "message": error.message[:500]} for error in shown
            ],
        }
        if request_id is not None:
            body["request_id"] = request_id
        return body

    def response(self, request_id: str | None = None) -> JSONResponse:
        """Return the answer that says so."""
        return JSONResponse(
            self.body(request_id), self.status, self.headers, "application/problem+json"
        )


def title_of(status: int) -> str:
    """Return a status's name in RFC 9110, which Python knows by older names before 3.13."""
    return _RENAMED.get(status) or HTTPStatus(status).phrase


def unprocessable(errors: Iterable[FieldProblem], subject: str = "the event") -> Problem:
    """Return the refusal of something well-formed whose named fields are wrong."""
    errors = list(errors)
    named = ", ".join(dict.fromkeys(error.path[:100] for error in errors[:5]))
    return Problem(422, f"{subject} cannot be accepted: see {named}", errors)


def problem_of(error: Exception) -> Problem:
    """Return what a known error means to the client. Raises it again when it is not known."""
    match error:
        case Problem():
            return error
        case InvalidEvent(problems=problems):
            return unprocessable(problems)
        case MessageIdConflict():
            detail = f"{error}; use a new message_id for a new event"
            return Problem(409, detail, [FieldProblem("message_id", "already used")])
        case RowRefused():
            return Problem(422, f"the database cannot hold this event: {error}")
        case StoreUnavailable():
            detail = "the database is not available; nothing is known to be stored, try again"
            return Problem(503, detail, headers={"Retry-After": RETRY_AFTER})
        case BrokerUnavailable():
            detail = f"nothing was stored, try again: {error}"
            return Problem(503, detail, headers={"Retry-After": RETRY_AFTER})
        case TemplateNotFound():
            return Problem(404, str(error))
        case TemplateInvalid():
            return Problem(422, str(error))
        case HTTPException():
            return Problem(
                error.status_code,
                _HTTP_DETAILS.get(error.status_code, error.detail),
                headers=error.headers,
            )
        case _:
            raise error


_RENAMED = {413: "Content Too Large", 422: "Unprocessable Content"}
_HTTP_DETAILS = {
    404: "there is nothing at this path; /docs lists what there is",
    405: "this path does not take that method; the Allow header lists those it takes",
}


async def _respond(request: Request, error: Exception) -> JSONResponse:
    return problem_of(error).response(request.state.request_id)


_KNOWN = (
    Problem,
    InvalidEvent,
    MessageIdConflict,
    RowRefused,
    StoreUnavailable,
    BrokerUnavailable,
    TemplateNotFound,
    TemplateInvalid,
    HTTPException,
)
HANDLERS: dict[type[Exception], ExceptionHandler] = dict.fromkeys(_KNOWN, _respond)
"""Starlette's exception handlers; an error that is not here is answered by the middleware."""
