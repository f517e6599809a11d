"""The daemon's door: every operation as `POST /v1/operations/<name>`, JSON in, JSON out."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bluegreen.domain.errors import BluegreenError, UsageError

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1 << 20
_OBJECT = TypeAdapter(dict[str, Any])


@dataclass(frozen=True)
class Endpoint:
    """An operation bound to what it works on."""

    name: str
    run: Callable[[Any], Awaitable[Any]]
    request: type[Any]
    response: type[Any]

    @cached_property
    def _request_adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.request)

    @cached_property
    def _response_adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.response)

    def parse(self, body: bytes) -> Any:
        """Strict: no unknown parameters, no conversions. Raises UsageError naming each parameter."""
        try:
            parsed = self._request_adapter.validate_json(body or b"{}", strict=True)
            given = _OBJECT.validate_json(body or b"{}")
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}" for problem in error.errors()
            )
            raise UsageError(f"{self.name}: {problems}") from error
        known = [field.name for field in fields(self.request)]
        if strangers := [name for name in given if name not in known]:
            listing = ", ".join(known) or "none"
            raise UsageError(
                f"{self.name}: unknown parameter {', '.join(map(repr, strangers))}", hint=f"It takes: {listing}"
            )
        return parsed

    def render(self, result: Any) -> bytes:
        return self._response_adapter.dump_json(result)


def problem(error: BluegreenError) -> JSONResponse:
    """The error as the client raises it again: code, message, hint and the exit code of the command line."""
    status = {0: 200, 2: 400, 3: 503}.get(error.exit_code, 409)
    return JSONResponse(
        {
            "error": {
                "code": error.code,
                "message": error.message,
                "hint": error.hint,
                "exit_code": error.exit_code,
            }
        },
        status_code=status,
    )


def build_app(endpoints: Mapping[str, Endpoint]) -> Starlette:
    async def operate(request: Request) -> Response:
        endpoint = endpoints.get(request.path_params["name"])
        if endpoint is None:
            known = ", ".join(endpoints)
            return problem(UsageError(f"there is no operation {request.path_params['name']!r}", hint=f"Known: {known}"))
        try:
            body = await _bounded_body(request)
            result = await endpoint.run(endpoint.parse(body))
        except BluegreenError as error:
            return problem(error)
        except Exception as error:
            log.exception("operation %s failed", endpoint.name)
            unexpected = BluegreenError(
                f"{endpoint.name} failed unexpectedly: {type(error).__name__}: {error}",
                hint="This is a defect of bluegreen; the daemon's log has the details",
            )
            return problem(unexpected)
        return Response(endpoint.render(result), media_type="application/json")

    return Starlette(routes=[Route("/v1/operations/{name}", operate, methods=["POST"])])


async def _bounded_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise UsageError(f"body: at most {MAX_BODY_BYTES} bytes are read")
    return body
