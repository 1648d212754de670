"""The errors a client can meet, and the one place that turns them into responses.

    ServiceError
    ├── BadRequest 400            ├── Unprocessable 422
    ├── Unauthorized 401          ├── Overloaded 429      computed Retry-After
    ├── Forbidden 403             ├── UpstreamFailed 502  a service that we need is silent or broken
    ├── NotFound 404              ├── NotReady 503        starting, draining or broken
    ├── Conflict 409              └── DeadlineExceeded 504
    ├── TooLarge 413
    └── UnsupportedMedia 415

Anything else is a bug: a 500 and a traceback in the log, with no internals in the answer.
"""

import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import Scope


class ServiceError(Exception):
    """Base of everything that a client can meet; `detail` is written for that client.

    `code` is for programs: the name that this error has in the dialect spoken, if it has one.
    """

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(
        self,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: list[dict[str, Any]] | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = errors
        self.code = code


class BadRequest(ServiceError):
    """The request cannot be understood."""

    status = HTTPStatus.BAD_REQUEST


class Unauthorized(ServiceError):
    """A token or key is missing or wrong."""

    status = HTTPStatus.UNAUTHORIZED


class Forbidden(ServiceError):
    """The key is known and may not do this."""

    status = HTTPStatus.FORBIDDEN


class NotFound(ServiceError):
    """Nothing of that id exists for this tenant."""

    status = HTTPStatus.NOT_FOUND


class Conflict(ServiceError):
    """The request contradicts what is stored."""

    status = HTTPStatus.CONFLICT


class TooLarge(ServiceError):
    """The body or a part of it is over its limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMedia(ServiceError):
    """The body's type cannot be read."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Unprocessable(ServiceError):
    """The request is well formed and its content cannot be worked on."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class Overloaded(ServiceError):
    """The queue is full; `retry_after_seconds` is computed from the backlog."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, detail: str, *, retry_after_seconds: float) -> None:
        headers = {
            "Retry-After": str(max(1, math.ceil(retry_after_seconds))),
            "retry-after-ms": str(max(1, math.ceil(retry_after_seconds * 1000))),
        }
        super().__init__(detail, headers=headers)
        self.retry_after_seconds = retry_after_seconds


class UpstreamFailed(ServiceError):
    """A service that this one needs is silent or broken."""

    status = HTTPStatus.BAD_GATEWAY


class NotReady(ServiceError):
    """The service is starting, draining or broken."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class DeadlineExceeded(ServiceError):
    """The request's time budget ran out."""

    status = HTTPStatus.GATEWAY_TIMEOUT


Problem = dict[str, Any]
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem, as RFC 9457 has it.",
        "content": {
            "application/problem+json": {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail", "request_id"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                        "request_id": {"type": "string"},
                        "code": {"type": "string"},
                        "errors": {"type": "array", "items": {"type": "object"}},
                    },
                }
            }
        },
    }
}
"""What the API's document says about every answer that is not a success."""

ErrorShape = Callable[[Problem], dict[str, Any]]
"""Turns a problem into a dialect's own error body."""


def problem_of(scope: Scope, error: ServiceError) -> Problem:
    """Describe an error as RFC 9457 has it."""
    problem: Problem = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": int(error.status),
        "detail": error.detail,
        "request_id": scope.get("state", {}).get("request_id", ""),
    }
    if error.errors is not None:
        problem["errors"] = error.errors
    if error.code is not None:
        problem["code"] = error.code
    return problem


def problem_response(scope: Scope, error: ServiceError) -> Response:
    """Render an error as problem+json, or in the shape of the path's dialect."""
    problem = problem_of(scope, error)
    shape = _dialect(scope)
    body = shape(problem) if shape else problem
    media_type = "application/problem+json" if body is problem else "application/json"
    return JSONResponse(body, int(error.status), error.headers, media_type)


def _dialect(scope: Scope) -> ErrorShape | None:
    """Return the shape of the longest prefix that the path is at or below, by whole segments."""
    app = scope.get("app")
    shapes: Mapping[str, ErrorShape] = getattr(app.state, "error_shapes", {}) if app else {}
    path = f"{scope['path']}/"
    above = [prefix for prefix in shapes if path.startswith(f"{prefix.rstrip('/')}/")]
    return shapes[max(above, key=len)] if above else None


def install(app: FastAPI, error_shapes: Mapping[str, ErrorShape]) -> None:
    """Make the app answer every error as a problem, or in its dialect's shape by path prefix."""
    app.state.error_shapes = error_shapes
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(UnicodeEncodeError, _half_a_character)
    app.add_exception_handler(Exception, _bug)


async def _service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return problem_response(request.scope, error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [_validation_line(line) for line in error.errors()]
    if any(line["kind"] == "json_invalid" for line in errors):
        return problem_response(request.scope, BadRequest("The body is not valid JSON."))
    where = "; ".join(f"{line['field']}: {line['message']}" for line in errors[:3])
    return problem_response(request.scope, Unprocessable(where, errors=errors))


def _validation_line(line: Mapping[str, Any]) -> dict[str, Any]:
    # The input itself is left out: it may be large or private.
    path = [str(part) for part in line["loc"]]
    return {
        "field": ".".join(path[1:]) or path[0],
        "in": path[0],
        "message": line["msg"],
        "kind": line["type"],
    }


async def _http_error(request: Request, error: Exception) -> Response:
    """Render what the framework itself refuses: unknown path, wrong method, broken body."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request))
    framework = ServiceError(str(error.detail), headers=headers)
    framework.status = HTTPStatus(error.status_code)
    return problem_response(request.scope, framework)


def _allowed(request: Request) -> list[str]:
    """Return every method of a path; the framework names those of its first route alone."""
    return [
        method
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


async def _half_a_character(request: Request, _error: Exception) -> Response:
    """Refuse a lone surrogate: JSON can carry it, UTF-8 and so every store and model cannot."""
    refused = Unprocessable("A text holds half a character (a lone surrogate).")
    return problem_response(request.scope, refused)


async def _bug(request: Request, _error: Exception) -> Response:
    detail = "Something went wrong here. The request id helps to find it in the log."
    response = problem_response(request.scope, ServiceError(detail))
    response.headers["X-Request-ID"] = request.scope.get("state", {}).get("request_id", "")
    return response
