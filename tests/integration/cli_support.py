"""A daemon that is not one: it answers the command line over a unix socket with what a test gives it."""

from __future__ import annotations

import dataclasses
import json
import os
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from bluegreen.control import views as v
from bluegreen.domain.errors import BluegreenError
from bluegreen.spec.paths import daemon_socket

CONFIGURATION = """
[daemon]
state_dir = "state"
[services.shop]
hosts = ["*"]
image = "registry/shop:v1"
command = ["serve", "{port}"]
health = { path = "/" }
[services.search]
hosts = ["search.example.com"]
command = ["serve", "{port}"]
health = { path = "/" }
"""

Answer = Callable[[dict[str, Any]], Any]


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    owner: FakeDaemon


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        status, content = self.server.owner.answer(self.path.rpartition("/")[2], body)
        encoded = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class FakeDaemon:
    """`answers` maps an operation to a view, an error, or a function of the request's fields giving one of them."""

    def __init__(self, config_path: Path, **answers: Any) -> None:
        self.path = daemon_socket(config_path.parent / "state")
        self.answers: dict[str, Any] = {"services": v.ServicesView(("shop", "search")), **answers}
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._server: _Server | None = None

    def answer(self, operation: str, request: dict[str, Any]) -> tuple[int, Any]:
        self.requests.append((operation, request))
        found = self.answers[operation]
        if callable(found):
            found = found(request)
        if isinstance(found, BluegreenError):
            error = {"code": found.code, "message": found.message, "hint": found.hint, "exit_code": found.exit_code}
            return 409, {"error": error}
        return 200, dataclasses.asdict(found) if dataclasses.is_dataclass(found) else found  # type: ignore[arg-type]

    def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = _Server(str(self.path), _Handler)
        self._server.owner = self
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self.path.unlink(missing_ok=True)

    def asked(self, operation: str) -> list[dict[str, Any]]:
        return [request for name, request in self.requests if name == operation]


@contextmanager
def fake_daemon(config_path: Path, **answers: Any) -> Iterator[FakeDaemon]:
    daemon = FakeDaemon(config_path, **answers)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


def write_configuration(directory: Path) -> Path:
    path = directory / "bluegreen.toml"
    path.write_text(CONFIGURATION)
    return path


def environment(config_path: Path, **more: str) -> dict[str, str]:
    """Wide, without colours from outside, and with this configuration."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM", "BLUEGREEN_DEBUG")}
    return {**kept, "BLUEGREEN_CONFIG": str(config_path), "TERM": "xterm-256color", "COLUMNS": "160", **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bluegreen", *arguments]


def bluegreen(config_path: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The real command line, as a process, to its end."""
    return subprocess.run(
        command(*arguments), env=environment(config_path, **more), capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL, cwd=config_path.parent, check=False,
    )  # fmt: skip


def deployment(**changes: Any) -> v.DeploymentView:
    now = time.time()
    view = v.DeploymentView(
        id="shop-abc234", service="shop", phase="preflight", reason="checking", strategy="blue-green",
        image="registry/shop:v2", version="v2", previous_image="registry/shop:v1", requested_by="ada", requested_at=now,
        phase_since=now, elapsed_seconds=0.0, ended_at=None, switched_at=None, switch_milliseconds=None,
        rollback_milliseconds=None, requests=None, errors=None, cause="", attention="", cut_requests=0, blue="shop-1",
        green="shop-2", can_roll_back=False, rollback_until=None, rollback_command="bluegreen rollback shop", logs=(),
        exit_codes=(), share=0, steps=(100,),
    )  # fmt: skip
    return dataclasses.replace(view, **changes)


def service(view: v.DeploymentView | None = None, **changes: Any) -> v.ServiceView:
    blue = v.SlotView(
        workload_id="shop-1", image="registry/shop:v1", version="v1", state="running", replicas=2, replicas_healthy=2,
        endpoints=("127.0.0.1:4001", "127.0.0.1:4002"), in_flight=3, healthy=True, health="2/2 replicas healthy",
        requests_per_second=120.0, error_rate=0.0,
    )  # fmt: skip
    green = dataclasses.replace(blue, workload_id="shop-2", image="registry/shop:v2", version="v2", in_flight=7)
    shown = v.ServiceView(
        name="shop", active="blue", slots={"blue": blue, "green": green}, deployment=view,
        route=v.RouteView(4, {"blue": 100, "green": 0}), hosts=("*",), image="registry/shop:v1", policy={},
    )  # fmt: skip
    return dataclasses.replace(shown, **changes)


def status(view: v.DeploymentView | None = None, **changes: Any) -> v.StatusView:
    shown = v.StatusView((service(view),), "HAProxy 2.8, pid 7", True, "127.0.0.1:8080", os.getpid(), "0.1.0")
    return dataclasses.replace(shown, **changes)


def event(sequence: int, kind: str, **data: Any) -> v.EventView:
    return v.EventView(sequence, "shop-abc234", "shop", time.time(), kind, data)


class Walk:
    """A deployment that goes one scene further each time that its events are asked for and there is room to.

    `scenes` are (changes of the deployment, events); the walk stays in the last one. `hold_at` stops it in a scene.
    """

    def __init__(self, *scenes: tuple[dict[str, Any], list[v.EventView]], hold_at: int | None = None) -> None:
        self.scenes = scenes
        self.hold_at = hold_at
        self.position = 0
        self.view = deployment()

    def answers(self) -> dict[str, Answer]:
        return {
            "deploy": lambda _: self.view,
            "events": self._events,
            "deployment": lambda _: self.view,
            "status": lambda _: status(self.view),
        }

    def _events(self, request: dict[str, Any]) -> v.EventsView:
        if self.position < len(self.scenes) and self.position != self.hold_at:
            self.view = dataclasses.replace(self.view, **self.scenes[self.position][0])
            self.position += 1
        elif request["wait_seconds"]:
            time.sleep(0.05)  # As the daemon does: it answers later when there is no news.
        known = [found for _, events in self.scenes[: self.position] for found in events]
        news = tuple(found for found in known if found.sequence > request["after"])
        ended = self.view.phase in ("completed", "rolled_back", "failed", "aborted")
        return v.EventsView(news, ended, self.view.phase)


def good_walk(**options: Any) -> Walk:
    """From preflight to retention."""
    now = time.time()
    green = {"id": "shop-2", "color": "green"}
    switched = [{"color": "green", "workload_id": "shop-2", "weight": 100}]
    request = event(1, "deployment_requested", requested_by="ada", image="registry/shop:v2", strategy="blue-green")
    return Walk(
        ({"phase": "starting"}, [request, event(2, "preflight_passed", green=green, checks=["room"], blue_found="")]),
        ({"phase": "verifying"}, [event(3, "green_started", endpoints=["127.0.0.1:4003"])]),
        ({"phase": "switching"}, [event(4, "health_passed", detail="2/2 replicas healthy"), event(5, "verified")]),
        (
            {
                "phase": "monitoring",
                "share": 100,
                "switched_at": now,
                "switch_milliseconds": 0.4,
                "can_roll_back": True,
            },
            [event(6, "traffic_switched", targets=switched, generation=5, milliseconds=0.4)],
        ),
        (
            {"phase": "retaining", "rollback_until": now + 900, "requests": 500, "errors": 0},
            [event(7, "monitoring_passed", verdict="0 errors", requests=500, errors=0)],
        ),
        **options,
    )
