"""Bodies are bounded before anything reads them, for every path and for what is mounted beside them."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Message, Receive, Scope

from bluegreen.domain.errors import TooLarge, UsageError

DISCARD_SECONDS = 2.0
DISCARD_TIMES = 8
"""Of a body that is too large so many times the limit is read and forgotten: a client that is still sending when the
connection closes would not see the answer."""


class BoundedBody:
    """Wraps `receive`. Raises TooLarge from `check` when the head says so, and while reading otherwise."""

    def __init__(self, scope: Scope, receive: Receive, max_bytes: int) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._received = 0
        self._more = True
        self._headers: dict[bytes, bytes] = dict(scope["headers"])

    def check(self) -> None:
        """Raises TooLarge by what the request says of itself, UsageError when that is nonsense."""
        announced = self._headers.get(b"content-length", b"0")
        if not announced.isdigit():
            raise UsageError("Content-Length: must be a whole number")
        if len(announced) > 15 or int(announced) > self._max_bytes:
            raise self._too_large()

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            self._more = message.get("more_body", False)
            if self._received > self._max_bytes:
                raise self._too_large()
        return message

    async def discard(self) -> None:
        """Reads on for a moment, so that the answer is seen. Not when the client waits for leave to send."""
        if b"expect" in self._headers:
            return
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                while self._more and self._received <= self._max_bytes * DISCARD_TIMES:
                    message: dict[str, Any] = dict(await self._receive())
                    if message["type"] != "http.request":
                        return
                    self._received += len(message.get("body", b""))
                    self._more = message.get("more_body", False)
        except TimeoutError:
            return

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"body: at most {self._max_bytes} bytes are read",
            hint="Send less, or ask the owner to raise [api] max_body_bytes",
        )
