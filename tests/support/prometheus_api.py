"""A small server that speaks Prometheus' query API, and says what a test wants it to."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    form: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass
class PrometheusApi:
    """`answer` is a number, numbers by route, a whole body, or None for one that hangs until the server ends."""

    url: str = ""
    answer: float | Mapping[str, float] | bytes | None = 0.0
    status: int = 200
    allowed: tuple[str, ...] = ("GET", "POST")
    at: float | None = None
    """The moment of what is answered, in seconds since the epoch; None: now."""
    location: str = ""
    asked: list[Asked] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def queries(self) -> list[str]:
        return [asked.form.get("query", "") for asked in self.asked]

    def body(self) -> bytes:
        at = time.time() if self.at is None else self.at
        if isinstance(self.answer, bytes):
            return self.answer
        if isinstance(self.answer, Mapping):
            series = [{"metric": {"route": r}, "value": [at, _text(v)]} for r, v in self.answer.items()]
            return success("vector", series)
        assert self.answer is not None
        return success("scalar", [at, _text(self.answer)])


def success(kind: str, result: Any, **more: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more}).encode()


def error(kind: str, text: str) -> bytes:
    return json.dumps({"status": "error", "errorType": kind, "error": text}).encode()


def _text(value: float) -> str:
    return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}.get(str(value), str(value))


@contextmanager
def prometheus_api(*, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[PrometheusApi]:
    api = PrometheusApi()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self._answer(parts.path, parts.query)

        def do_POST(self) -> None:
            self._answer(self.path, self.rfile.read(int(self.headers["content-length"])).decode())

        def _answer(self, path: str, form: str) -> None:
            fields = {name: values[0] for name, values in parse_qs(form).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            api.asked.append(Asked(self.command, path, fields, headers))
            if api.answer is None:
                api.over.wait(60)
                return
            allowed = self.command in api.allowed
            body = api.body() if allowed else b"method not allowed"
            self.send_response(api.status if allowed else 405)
            if api.location:
                self.send_header("location", api.location)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    api.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
