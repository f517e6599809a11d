"""The first thing behind every door: bounds how much is worked on and how large bodies are, and counts answers."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bluegreen.domain.access import Caller
from bluegreen.domain.errors import BluegreenError, RateLimited, TooLarge
from bluegreen.interfaces.http.bounded_body import BoundedBody
from bluegreen.interfaces.http.callers import CALLER, PUBLIC_PATHS, caller_of, door_of
from bluegreen.interfaces.http.limits import Limits, RequestCounts, release
from bluegreen.interfaces.http.problems import Overloaded, send_problem

ALWAYS_LET_IN = PUBLIC_PATHS | {"/metrics"}
"""A daemon that is busy still says that it lives."""


class Entrance:
    """ASGI middleware. `mounts` are apps of their own below a prefix, such as /mcp; they need a caller as well."""

    def __init__(
        self, app: ASGIApp, *, limits: Limits, counts: RequestCounts, max_body_bytes: int, mounts: Mapping[str, ASGIApp]
    ) -> None:
        self._app = app
        self._limits = limits
        self._counts = counts
        self._max_body_bytes = max_body_bytes
        self._mounts = mounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        door, working, started = door_of(scope), self._counts.in_flight, False

        async def counted(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._counts.answered(door, message["status"])
            await send(message)

        token = _token_of(scope)
        if scope["path"] not in ALWAYS_LET_IN and (full := self._full(door, token)):
            await send_problem(full, scope, receive, counted)
            return
        body = BoundedBody(scope, receive, self._max_body_bytes)
        working[door] += 1
        self._counts.in_flight_by_token[token] += 1
        try:
            body.check()
            await self._dispatch(scope, body, counted)
        except BluegreenError as error:
            if started:
                raise
            if isinstance(error, TooLarge):
                await body.discard()
            await send_problem(error, scope, receive, counted)
        finally:
            working[door] -= 1
            release(self._counts.in_flight_by_token, token)

    def _full(self, door: str, token: str) -> BluegreenError | None:
        """What is said to a request for which there is no room; None when there is."""
        if self._counts.in_flight[door] >= self._limits.max_in_flight:
            return Overloaded(
                f"requests: {self._limits.max_in_flight} are being worked on already; this one was not begun",
                hint="Send it again after the time in Retry-After",
            )
        if token and self._counts.in_flight_by_token[token] >= self._limits.max_in_flight_per_token:
            return RateLimited(
                f"requests: {self._limits.max_in_flight_per_token} of this token are being worked on already; "
                "this one was not begun",
                retry_after_seconds=1.0,
                hint="Wait for their answers; those that wait end when their connection is closed",
            )
        return None

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        for prefix, app in self._mounts.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                inner = {**scope, CALLER: caller_of(scope), "root_path": scope.get("root_path", "") + prefix}
                await app(inner, receive, send)
                return
        await self._app(scope, receive, send)


def _token_of(scope: Scope) -> str:
    """The id of the token that came in; empty for the owner, and for pages that need none."""
    caller = scope.get(CALLER)
    return caller.token_id if isinstance(caller, Caller) else ""
