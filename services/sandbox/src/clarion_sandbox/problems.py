"""Errors of the sandbox's own API as RFC 9457 problems."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


def problem(
    status: int,
    detail: str,
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return a problem; `errors` names each bad field."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        document["errors"] = errors
    return JSONResponse(
        document, status_code=status, media_type="application/problem+json", headers=headers
    )


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer what Starlette refuses, such as an unknown path."""
    if not isinstance(error, HTTPException):
        raise error
    detail = f"{request.method} {request.url.path}: {error.detail}"
    headers = None if error.headers is None else dict(error.headers)
    return problem(error.status_code, detail, headers=headers)


async def on_error(_request: Request, _error: Exception) -> Response:
    """Answer a fault of our own; the server logs it."""
    return problem(500, "The sandbox itself failed; its log says why.")
