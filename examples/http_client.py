"""One HTTP/1.1 client connection that knows what a traffic generator must know: whether any byte of an
answer came before the connection ended. A library client hides that, and retries behind our back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


class NoAnswer(Exception):
    """The connection ended before the first byte of the answer."""


class BrokenAnswer(Exception):
    """The connection ended, or nonsense came, in the middle of an answer."""


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[bytes, bytes]
    """Names in lower case."""
    body: bytes
    keep_alive: bool


class ClientConnection(asyncio.Protocol):
    """Sends one request at a time and waits for its answer."""

    def __init__(self) -> None:
        self.requests = 0
        """Requests that were answered on this connection."""
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._waiter: asyncio.Future[Answer] | None = None
        self._ended = False
        self._without_body = False

    @classmethod
    async def open(cls, host: str, port: int) -> ClientConnection:
        """Raises OSError."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    async def ask(self, request: bytes) -> Answer:
        """Raises NoAnswer or BrokenAnswer; then the connection is of no more use."""
        if self._ended:
            raise NoAnswer("the connection was closed while it was idle")
        self._waiter = asyncio.get_running_loop().create_future()
        self._without_body = request.startswith(b"HEAD ")
        self._transport.write(request)
        try:
            answer = await self._waiter
        finally:
            self._waiter = None
        self.requests += 1
        return answer

    def close(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._settle(ended=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._settle(ended=True, cause=str(exc) if exc else "closed by the server")

    def _settle(self, *, ended: bool, cause: str = "") -> None:
        """Hands the answer over when it is whole, or says why it never will be."""
        if self._waiter is None or self._waiter.done():
            return
        try:
            answer = take_answer(self._buffer, ended=ended, without_body=self._without_body)
        except ValueError as error:
            self._waiter.set_exception(BrokenAnswer(f"the answer is not HTTP: {error}"))
            return
        if answer is not None:
            self._waiter.set_result(answer)
        elif ended and self._buffer:
            self._waiter.set_exception(BrokenAnswer(f"connection lost in the middle of the answer: {cause}"))
        elif ended:
            self._waiter.set_exception(NoAnswer(f"connection lost before the answer: {cause}"))


def take_answer(buffer: bytearray, *, ended: bool, without_body: bool) -> Answer | None:
    """Cuts one whole answer off the buffer, None while bytes are missing. Raises ValueError when it is none.

    `ended` says that no more bytes will come, which is the end of a body without a length.
    """
    while True:
        head_end = buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return None
        status, headers, keep_alive = parse_head(bytes(buffer[:head_end]))
        if status >= 200:
            break
        del buffer[: head_end + 4]  # interim answers such as 100 Continue
    start = head_end + 4
    if without_body or status in (204, 304):
        body, end = b"", start
    elif b"chunked" in headers.get(b"transfer-encoding", b"").lower():
        whole = join_chunks(buffer, start)
        if whole is None:
            return None
        body, end = whole
    elif (length := headers.get(b"content-length")) is not None:
        end = start + int(length)
        if len(buffer) < end:
            return None
        body = bytes(buffer[start:end])
    else:
        if not ended:
            return None
        body, end, keep_alive = bytes(buffer[start:]), len(buffer), False
    del buffer[:end]
    return Answer(status, headers, body, keep_alive)


def parse_head(head: bytes) -> tuple[int, dict[bytes, bytes], bool]:
    status_line, *lines = head.split(b"\r\n")
    version, _, rest = status_line.partition(b" ")
    if not version.startswith(b"HTTP/1."):
        raise ValueError(repr(status_line[:40]))
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    keep_alive = version != b"HTTP/1.0" and headers.get(b"connection", b"").lower() != b"close"
    return int(rest[:3]), headers, keep_alive


def join_chunks(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    """The body and where it ends, None while chunks are missing."""
    parts: list[bytes] = []
    while True:
        line_end = buffer.find(b"\r\n", start)
        if line_end < 0:
            return None
        size = int(buffer[start:line_end].split(b";")[0], 16)
        start = line_end + 2
        if len(buffer) < start + size + 2:
            return None
        if size == 0:
            return b"".join(parts), start + 2
        parts.append(bytes(buffer[start : start + size]))
        start += size + 2
