"""Just enough HTTP/1.1 for an example: one thread, keep-alive, pipelining, chunked streams, a clean end.

Requests with a Content-Length body are read whole; a chunked request body is refused with 411.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 1024 * 1024
ACCEPT_SECONDS = 0.02

REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
}


@dataclass(slots=True)
class Request:
    method: str
    path: str
    query: str
    body: bytes
    keep_alive: bool
    chunks_allowed: bool
    """False for HTTP/1.0 clients: they read a stream until the connection ends."""


@dataclass(slots=True)
class Response:
    """`delay_seconds` holds the answer back without holding anybody else up. A `stream` is sent after `body`."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    delay_seconds: float = 0.0
    stream: AsyncIterator[bytes] | None = None


Handler = Callable[[Request], Response]


class BadRequest(Exception):
    """The connection can't go on after this: what follows might be read as a request that it is not."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Service:
    """What all connections share."""

    handler: Handler
    common_headers: bytes
    """Sent with every answer, each line ended."""
    connections: set[Connection] = field(default_factory=set)
    stopping: bool = False


class Connection(asyncio.Protocol):
    """One client. Answers leave in the order of the requests: while one is being made, the next one waits."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._buffer = bytearray()
        self._answering: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended_by_client = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._service.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._service.connections.discard(self)
        if self._answering is not None:
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._answer_waiting()
        if self._answering is not None and len(self._buffer) > MAX_BODY_BYTES:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        # The client may have closed its half only, and still wait for the answer.
        self._ended_by_client = True
        return self._answering is not None

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def stop(self) -> None:
        """Ends the connection after the request that is being read or answered; at once when there is none."""
        if self._answering is None and not self._buffer:
            self._transport.close()

    def _answer_waiting(self) -> None:
        try:
            while self._answering is None and not self._transport.is_closing():
                request = take_request(self._buffer, self._transport.write)
                if request is None:
                    return
                self._answer(request)
        except BadRequest as error:
            refusal = Response(error.status, str(error).encode(), "text/plain")
            self._transport.write(self._head(refusal, len(refusal.body), keep_alive=False) + refusal.body)
            self._transport.close()

    def _answer(self, request: Request) -> None:
        response = self._service.handler(request)
        if response.stream is None and not response.delay_seconds:
            self._send_whole(request, response)
        else:
            self._answering = asyncio.create_task(self._answer_later(request, response))

    async def _answer_later(self, request: Request, response: Response) -> None:
        if response.delay_seconds:
            await asyncio.sleep(response.delay_seconds)
        if response.stream is None:
            self._send_whole(request, response)
        else:
            try:
                await self._send_stream(request, response, response.stream)
            except Exception:
                # The client must see that this was not all.
                self._transport.close()
                raise
        self._answering = None
        if self._ended_by_client:
            self._transport.close()
        self._transport.resume_reading()
        self._answer_waiting()

    def _send_whole(self, request: Request, response: Response) -> None:
        keep_alive = request.keep_alive and not self._service.stopping
        self._transport.write(self._head(response, len(response.body), keep_alive) + response.body)
        if not keep_alive:
            self._transport.close()

    async def _send_stream(self, request: Request, response: Response, stream: AsyncIterator[bytes]) -> None:
        chunked = request.chunks_allowed
        keep_alive = chunked and request.keep_alive
        self._transport.write(self._head(response, None if chunked else -1, keep_alive))
        async for part in stream:
            self._transport.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            await self._writable.wait()
        if chunked:
            self._transport.write(b"0\r\n\r\n")
        if not keep_alive or self._service.stopping:
            self._transport.close()

    def _head(self, response: Response, length: int | None, keep_alive: bool) -> bytes:
        """`length` is None for chunks, and negative for a body that ends with the connection."""
        size = "Transfer-Encoding: chunked\r\n" if length is None else f"Content-Length: {length}\r\n"
        if length is not None and length < 0:
            size = ""
        end = "" if keep_alive else "Connection: close\r\n"
        line = f"HTTP/1.1 {response.status} {REASONS[response.status]}\r\n"
        head = f"{line}Content-Type: {response.content_type}\r\n{size}{end}"
        return head.encode() + self._service.common_headers + b"\r\n"


def take_request(buffer: bytearray, write: Callable[[bytes], None]) -> Request | None:
    """Cuts the first whole request off the buffer; None when more bytes must come. Raises BadRequest."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > MAX_HEAD_BYTES:
            raise BadRequest(431, "the request head is too long")
        return None
    request_line, *lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    words = request_line.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest(400, "the request line is not HTTP/1.1")
    method, target, version = words
    headers = parse_headers(lines)
    if "transfer-encoding" in headers:
        raise BadRequest(411, "send the body with a Content-Length")
    length = body_length(headers)
    body_start = end + 4
    if len(buffer) < body_start + length:
        if headers.get("expect", "").lower() == "100-continue" and len(buffer) == body_start:
            write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return None
    body = bytes(buffer[body_start : body_start + length])
    del buffer[: body_start + length]
    path, _, query = target.partition("?")
    connection = headers.get("connection", "").lower()
    modern = version == "HTTP/1.1"
    return Request(method, path, query, body, modern and "close" not in connection, chunks_allowed=modern)


def parse_headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(400, "a header line is malformed")
        name = name.lower()
        if name == "content-length" and headers.get(name, value.strip()) != value.strip():
            raise BadRequest(400, "two different Content-Length headers")
        headers[name] = value.strip()
    return headers


def body_length(headers: dict[str, str]) -> int:
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadRequest(400, "Content-Length is not a number")
    if int(text) > MAX_BODY_BYTES:
        raise BadRequest(413, f"the body is longer than {MAX_BODY_BYTES} bytes")
    return int(text)


async def serve(host: str, port: int, handler: Handler, headers: dict[str, str], grace_seconds: float) -> None:
    """Serves until SIGTERM or SIGINT, then finishes the requests that were begun, up to `grace_seconds`."""
    loop = asyncio.get_running_loop()
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    service = Service(handler, lines.encode("latin-1"))
    stop_asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_asked.set)
    server = await loop.create_server(lambda: Connection(service), host, port, backlog=2048)
    await stop_asked.wait()
    service.stopping = True
    # Connections that the kernel took already belong to somebody: accept them before the door closes.
    await asyncio.sleep(ACCEPT_SECONDS)
    server.close()
    for connection in list(service.connections):
        connection.stop()
    deadline = loop.time() + grace_seconds
    while service.connections and loop.time() < deadline:
        await asyncio.sleep(0.01)
