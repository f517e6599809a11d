"""Errors as RFC 9457 problem details, with the member `error` that the command line reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bluegreen.domain.errors import BluegreenError, Unauthenticated, UsageError

MEDIA_TYPE = "application/problem+json"
LONGEST_INSTANCE = 300


class NotFound(UsageError):
    code = "not_found"


class MethodNotAllowed(UsageError):
    """`allowed` are the methods that the path has."""

    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.allowed = allowed


class UnsupportedMediaType(UsageError):
    code = "unsupported_media_type"


class TooSlow(UsageError):
    code = "too_slow"


class Overloaded(BluegreenError):
    code = "overloaded"

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class NotReady(BluegreenError):
    code = "not_ready"


STATUS: Mapping[str, int] = {
    "usage": 400,
    "unauthenticated": 401,
    "access": 403,
    "forbidden": 403,
    "unknown_name": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "too_slow": 408,
    "configuration": 409,
    "refused": 409,
    "requirements_not_met": 409,
    "illegal_event": 409,
    "stale_route": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "idempotency_mismatch": 422,
    "rate_limited": 429,
    "error": 500,
    "adapter": 503,
    "router": 503,
    "runtime": 503,
    "store": 503,
    "daemon_unreachable": 503,
    "overloaded": 503,
    "not_ready": 503,
}
"""Code of an error → HTTP status."""

TITLES: Mapping[int, str] = {
    400: "The request can't be meant like this",
    401: "Who asks is not known",
    403: "This may not be done with this token",
    404: "There is nothing of this name",
    405: "The path has no such method",
    408: "The request did not arrive in time",
    409: "Understood, but not now",
    413: "The request is too large",
    415: "The body is not JSON",
    422: "The idempotency key belongs to another request",
    429: "Too many requests",
    500: "A defect of bluegreen",
    503: "Something this needs does not answer",
}
"""HTTP status → the problem's title, the same for every occurrence."""


def status_of(error: BluegreenError) -> int:
    """An error that the table does not name has the status of the class it comes from."""
    codes = [error.code, *(getattr(kind, "code", "") for kind in type(error).__mro__)]
    return next((STATUS[code] for code in codes if code in STATUS), 500)


def problem_document(error: BluegreenError, path: str) -> dict[str, Any]:
    status = status_of(error)
    return {
        "type": f"urn:bluegreen:{error.code}",
        "title": TITLES[status],
        "status": status,
        "detail": error.message,
        "instance": quote(path, safe="/:@-._~", errors="replace")[:LONGEST_INSTANCE],
        "hint": error.hint,
        "error": {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "exit_code": error.exit_code,
        },
    }


def problem_headers(error: BluegreenError) -> dict[str, str]:
    headers = {}
    retry_after_seconds = getattr(error, "retry_after_seconds", None)
    if retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after_seconds)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="bluegreen"'
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allowed
    return headers


def problem_text(error: BluegreenError, path: str) -> str:
    return json.dumps(problem_document(error, path))


def problem(error: BluegreenError, path: str) -> Response:
    return Response(
        problem_text(error, path),
        status_code=status_of(error),
        headers=problem_headers(error),
        media_type=MEDIA_TYPE,
    )


async def send_problem(error: BluegreenError, scope: Scope, receive: Receive, send: Send) -> None:
    await problem(error, scope["path"])(scope, receive, send)
