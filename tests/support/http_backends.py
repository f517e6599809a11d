"""A small HTTP server for tests of routers. It says its name, streams, is slow when asked, and counts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from bluegreen.domain.model import Endpoint


class HttpBackend:
    """Listens on a free port from `with` on.

    `GET /` its name; `/status?code=500`; `/slow` answers after `release` is set, `/wait?seconds=0.2` after
    that time, `/close` never: it ends the connection; `/break` begins an answer and ends the connection
    (`?wait`: when `release` is set); `/stream?events=9` is an event stream whose second half waits for
    `release`; `/headers` what it received; `POST` the number of bytes. `begun` holds the monotonic time at which
    each request but the health checks arrived.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.healthy = True
        self.release = threading.Event()
        self.begun: list[float] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def handle_error(self, request: object, client_address: object) -> None:
        """Routers reset idle connections; that is no news."""


def _handler(backend: HttpBackend) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            if url.path == "/health":
                self._answer(200 if backend.healthy else 503, b"")
                return
            backend.begun.append(time.monotonic())
            if url.path == "/stream":
                self._stream(int(query["events"]))
                return
            if url.path == "/break":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"so far")
                if "wait" in query:
                    backend.release.wait(30)
            if url.path in ("/close", "/break"):
                self.close_connection = True
                return
            if url.path == "/wait":
                time.sleep(float(query["seconds"]))
            if url.path == "/slow":
                backend.release.wait(30)
            body = str(self.headers).encode() if url.path == "/headers" else backend.name.encode()
            self._answer(int(query.get("code", "200")), body)

        def do_POST(self) -> None:
            backend.begun.append(time.monotonic())
            left = int(self.headers["Content-Length"])
            received = 0
            while received < left:
                received += len(self.rfile.read(min(1 << 16, left - received)))
            self._answer(200, f"{backend.name} {received}".encode())

        def _stream(self, events: int) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(events):
                if number == events // 2:
                    backend.release.wait(30)
                data = f"data: {backend.name} {number}\n\n".encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


async def until(condition: Callable[[], bool | Awaitable[bool]], what: str, *, timeout_seconds: float = 10.0) -> None:
    """Returns as soon as the condition holds. Fails, naming it, after the timeout."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        holds = condition()
        if holds if isinstance(holds, bool) else await holds:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds:g} s: {what}")
        await asyncio.sleep(0.01)
