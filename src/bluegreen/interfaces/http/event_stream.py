"""A deployment's events as they happen: Server-Sent Events, resumed with `Last-Event-ID`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bluegreen.control import views as v
from bluegreen.control.gate import Gate
from bluegreen.control.schemas import to_json
from bluegreen.domain.access import Caller
from bluegreen.domain.errors import BluegreenError, RateLimited, UsageError
from bluegreen.interfaces.http.arguments import QueryField, from_query, refuse_body
from bluegreen.interfaces.http.callers import CLOSING, caller_of, require_standing
from bluegreen.interfaces.http.handler import until_gone
from bluegreen.interfaces.http.limits import Limits, RequestCounts
from bluegreen.interfaces.http.problems import Overloaded, problem_document

PATH = "/v1/deployments/{deployment}/events/stream"
COME_BACK_MILLISECONDS = 2000
"""After this long a client whose stream ended asks again."""
ANNOUNCED_WAIT_SECONDS = 10.0
"""Retry-After when there are too many streams."""

AFTER = QueryField(
    "after",
    "after",
    {
        "type": "integer",
        "minimum": 0,
        "default": 0,
        "description": "The last sequence number already seen. The header Last-Event-ID says the same, and wins.",
    },
)

LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The `id` of the last event that was received: the stream goes on behind it.",
    "schema": {"type": "integer", "minimum": 0},
}
MESSAGE = {
    "type": "object",
    "description": "One message of the stream.",
    "properties": {
        "id": {"type": "string", "description": "Sequence number of the event."},
        "event": {"type": "string", "description": "Kind of the event, `end` or `problem`."},
        "data": {"type": "string", "description": "JSON: an EventView, `{phase}` for `end`, a Problem for `problem`."},
        "retry": {"type": "string"},
    },
}
DESCRIPTION = """Server-Sent Events: `id` is the sequence number, `event` the kind, `data` the event as JSON. The stream
resumes with the header `Last-Event-ID`, and ends with `event: end` when the deployment has ended. `event: problem` says
why it ends early. Takes scope `read`."""


class EventStreams:
    """Makes the streams, and bounds how many there are."""

    def __init__(self, gate: Gate, limits: Limits, counts: RequestCounts) -> None:
        self._gate = gate
        self._limits = limits
        self._counts = counts

    async def answer(self, request: Request) -> Response:
        """Raises what the operation `events` raises before the stream begins, and Overloaded."""
        refuse_body(request)
        after = _after(request)
        if self._counts.streams >= self._limits.max_streams:
            raise Overloaded(
                f"streams: there are {self._limits.max_streams} event streams already",
                retry_after_seconds=ANNOUNCED_WAIT_SECONDS,
                hint="Close one, or ask for the events without /stream",
            )
        caller = caller_of(request.scope)
        if caller.token_id and self._counts.streams_by_token[caller.token_id] >= self._limits.max_streams_per_token:
            raise RateLimited(
                f"streams: {caller.name} has {self._limits.max_streams_per_token} event streams already",
                retry_after_seconds=ANNOUNCED_WAIT_SECONDS,
                hint="Close one, or ask for the events without /stream",
            )
        source = _Source(self._gate, request, caller, after)
        # The place is taken before anything is waited for; the stream gives it back when it ends.
        self._counts.begin_stream(caller.token_id)
        try:
            return _EventStream(source, await source.next(0.0), self._limits, self._counts)
        except BaseException:
            self._counts.end_stream(caller.token_id)
            raise


def _after(request: Request) -> int:
    given = from_query(request.scope["query_string"], {"after": AFTER})
    headers = request.headers.getlist("last-event-id")
    if not headers:
        after = int(given.get("after", 0))
        if after < 0:
            raise UsageError(f"after: must not be negative, got {after}")
        return after
    if len(headers) > 1 or not (headers[0].isascii() and headers[0].isdigit() and len(headers[0]) <= 15):
        raise UsageError(
            f"Last-Event-ID: must be the sequence number of an event, got {headers[0][:100]!r}",
            hint="Leave it out to begin with the first event",
        )
    return int(headers[0])


class _Source:
    """Asks for what came after the last event that was given."""

    def __init__(self, gate: Gate, request: Request, caller: Caller, after: int) -> None:
        self._gate = gate
        self._scope = request.scope
        self._deployment = request.path_params["deployment"]
        self.caller = caller
        self._after = after

    async def next(self, wait_seconds: float) -> v.EventsView:
        arguments = {"deployment": self._deployment, "after": self._after, "wait_seconds": wait_seconds}
        found: v.EventsView = await self._gate.call("events", json.dumps(arguments).encode(), self.caller)
        # What happened while it waited is not for a token that was revoked meanwhile.
        require_standing(self._scope)
        if found.events:
            self._after = found.events[-1].sequence
        return found


class _EventStream(Response):
    """Ends with the deployment, after `stream_seconds`, with the server, and when nobody listens or reads."""

    media_type = "text/event-stream"

    def __init__(self, source: _Source, first: v.EventsView, limits: Limits, counts: RequestCounts) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._source = source
        self._first = first
        self._limits = limits
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send_all(send))
        leaving = asyncio.create_task(until_gone(receive))
        closing = asyncio.create_task(_closing(scope))
        tasks = (sending, leaving, closing)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            stuck = sending.done() and sending.exception() is not None
            gone = leaving.done() or stuck
        finally:
            self._counts.end_stream(self._source.caller.token_id)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not gone:
            await self._send(send, b"", more=False)

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await self._send(send, f"retry: {COME_BACK_MILLISECONDS}\n\n".encode())
        loop, found = asyncio.get_running_loop(), self._first
        end_at = loop.time() + self._limits.stream_seconds
        while True:
            if found.events:
                await self._send(send, b"".join(map(event_text, found.events)))
            if found.ended:
                await self._send(send, _message("end", {"phase": found.phase}))
                return
            remaining = end_at - loop.time()
            if remaining <= 0:
                return
            try:
                found = await self._source.next(min(self._limits.heartbeat_seconds, remaining))
            except BluegreenError as error:
                await self._send(send, _message("problem", problem_document(error, "")))
                return
            if not found.events and not found.ended:
                await self._send(send, b": still here\n\n")

    async def _send(self, send: Send, data: bytes, *, more: bool = True) -> None:
        """Raises TimeoutError when the client reads nothing for so long that nothing can be sent."""
        async with asyncio.timeout(self._limits.write_timeout_seconds):
            await send({"type": "http.response.body", "body": data, "more_body": more})


async def _closing(scope: Scope) -> None:
    """Returns when the server wants to end; never where it can't tell."""
    event = scope.get(CLOSING)
    await (event if isinstance(event, asyncio.Event) else asyncio.Event()).wait()


def event_text(event: v.EventView) -> bytes:
    """`id` is the sequence number, `event` the kind, `data` the event as in the answer of the operation."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.sequence, event.kind.encode(), to_json(v.EventView, event))


def _message(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
