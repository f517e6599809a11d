"""MCP over streamable HTTP, for the daemon's own HTTP server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bluegreen.control.gate import Gate
from bluegreen.domain.errors import Unauthenticated
from bluegreen.interfaces.http.callers import caller_of
from bluegreen.interfaces.http.problems import send_problem
from bluegreen.interfaces.mcp.backend import Backend, GateBackend
from bluegreen.interfaces.mcp.server import build_server

MAX_BODY_BYTES = 1 << 20

Lifespan = Callable[[], AbstractAsyncContextManager[None]]


def build_mcp_app(gate: Gate, config_path: Path, *, max_body_bytes: int = MAX_BODY_BYTES) -> tuple[ASGIApp, Lifespan]:
    """The app, and what must be entered once, in the task that leaves it again, before the first request.

    Without sessions: each request is answered on behalf of the Caller that it came with, so there is nothing that
    another caller could take over. Host and Origin are the outer door's to check.
    """

    def backend_of(request: Any) -> Backend:
        return GateBackend(gate, replace(caller_of(request.scope), door="mcp"), config_path)

    # It has a line of its own for every request.
    logging.getLogger("mcp").setLevel(logging.WARNING)
    manager = StreamableHTTPSessionManager(
        app=build_server(backend_of), stateless=True, max_request_body_size=max_body_bytes
    )
    return _Door(manager), manager.run


def mcp_routes(app: ASGIApp, path: str = "/mcp") -> list[BaseRoute]:
    """For an app that routes: both spellings, so that nobody is redirected and loses the body on the way."""
    return [Route(path, app), Route(f"{path}/", app)]


class _Door:
    def __init__(self, manager: StreamableHTTPSessionManager) -> None:
        self._manager = manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            caller_of(scope)
        except Unauthenticated as error:
            await send_problem(error, scope, receive, send)
            return
        if scope["method"] != "POST":
            # A GET would wait for messages that are never sent, a DELETE would end a session that does not exist.
            await Response(status_code=405, headers={"Allow": "POST"})(scope, receive, send)
        else:
            await self._manager.handle_request(scope, receive, send)
