"""uvicorn's connections, bounded: how many, how long they take to ask, and how long to take an answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from bluegreen.domain.errors import BluegreenError, UsageError
from bluegreen.interfaces.http.limits import Limits
from bluegreen.interfaces.http.problems import MEDIA_TYPE, Overloaded, problem_document, problem_headers, status_of


def bounded_protocol(limits: Limits, *, max_connections: int) -> type[H11Protocol]:
    """A protocol for `uvicorn.Config(http=…)`."""

    class Bounded(_BoundedProtocol):
        _limits = limits
        _max_connections = max_connections

    return Bounded


class _BoundedProtocol(H11Protocol):
    _limits: Limits
    _max_connections: int

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            self._turn_away(
                Overloaded(
                    f"connections: there are {self._max_connections} already",
                    hint="Keep connections open and use them again, or wait",
                )
            )
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # A head that stops in the middle holds its connection no longer than one that never came.
        if self.cycle is None or self.cycle.response_complete:
            self._await_head()
        else:
            _cancel(self._head_timer)
            self._head_timer = None

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self._limits.write_timeout_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._write_timer)
        self._write_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._head_timer)
        _cancel(self._write_timer)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._turn_away(UsageError(f"request: {msg}"))

    def _await_head(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self._limits.head_timeout_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    def _turn_away(self, error: BluegreenError) -> None:
        """Answers before there is a request, or when it can't be read, and closes."""
        body = json.dumps(problem_document(error, "/"))
        headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), "Connection": "close"}
        headers |= problem_headers(error)
        listing = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(f"HTTP/1.1 {status_of(error)} \r\n{listing}\r\n{body}".encode())
        self.transport.close()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
