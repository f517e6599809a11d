"""A whole bluegreen system in a directory of its own: for the demonstration, the end-to-end tests and the bench."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parent
SERVER = EXAMPLES / "inference-model" / "server.py"
TERMINAL = ("completed", "rolled_back", "failed", "aborted")
POLL_SECONDS = 0.01


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class OperationFailed(Exception):
    """The daemon's error answer."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error["message"])
        self.error = error


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class System:
    """`configuration` is the text of bluegreen.toml, with `@port@`, `@python@`, `@server@` and `@models@` for what
    only the machine it runs on knows."""

    def __init__(self, directory: Path, configuration: str, *, environment: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.port = free_port()
        self.config = directory / "bluegreen.toml"
        self.environment = {**os.environ, **(environment or {})}
        self.write(configuration)

    def write(self, configuration: str) -> None:
        text = (
            configuration.replace("@port@", str(self.port))
            .replace("@python@", sys.executable)
            .replace("@server@", str(SERVER))
            .replace("@models@", str(SERVER.parent))
        )
        self.config.write_text(text)

    # -- the command line ----------------------------------------------------------------------------------------

    def command(self, *arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", "bluegreen", *arguments, "--config", str(self.config)]

    def run(self, *arguments: str, timeout_seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            env=self.environment,
            cwd=self.directory,
            check=False,
        )

    def up(self, *arguments: str) -> None:
        done = self.run("up", *arguments)
        if done.returncode != 0:
            raise AssertionError(f"bluegreen up: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.daemon_log()}")

    def close(self) -> None:
        """Ends everything, whatever state it is in."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.run("down", "--force", timeout_seconds=30)
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    # -- the daemon ----------------------------------------------------------------------------------------------

    @property
    def socket_path(self) -> Path:
        from bluegreen.spec.paths import daemon_socket

        return daemon_socket(self.directory / ".bluegreen")

    def call(self, operation: str, *, timeout_seconds: float = 30.0, **fields: object) -> Any:
        """One operation over the daemon's socket. Raises OperationFailed."""
        connection = _UnixConnection(self.socket_path, timeout_seconds)
        try:
            body = json.dumps(fields)
            connection.request("POST", f"/v1/operations/{operation}", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            result = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise OperationFailed(result["error"])
        return result

    def get(self, path: str, *, timeout_seconds: float = 30.0) -> str:
        """What the daemon answers to a GET over its socket."""
        connection = _UnixConnection(self.socket_path, timeout_seconds)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise AssertionError(f"GET {path}: {answer.status}\n{text}")
        return text

    def status(self, service: str = "inference-model") -> Any:
        return self.call("status", service=service)["services"][0]

    def deploy(self, version: str, *, service: str = "inference-model", **fields: Any) -> str:
        image = f"registry/{service}:{version}"
        return str(self.call("deploy", service=service, image=image, requested_by="test", **fields)["id"])

    def wait(self, deployment: str, *phases: str, timeout_seconds: float = 60.0) -> Any:
        """The deployment once it is in one of the phases. A terminal phase that is not asked for is an error."""
        view: Any = {}

        def reached() -> bool:
            nonlocal view
            view = self.call("deployment", deployment=deployment)
            return view["phase"] in phases or view["phase"] in TERMINAL

        until(reached, f"{deployment} in {phases}", timeout_seconds=timeout_seconds, state=lambda: view)
        assert view["phase"] in phases, f"{deployment} is {view['phase']}, not {phases}: {view['cause']}"
        return view

    def daemon_pid(self) -> int:
        return int(self.call("status")["pid"])

    def daemon_log(self) -> str:
        log = self.directory / ".bluegreen" / "daemon.log"
        return log.read_text()[-6000:] if log.exists() else ""

    def events(self, deployment: str) -> Sequence[Any]:
        return list(self.call("events", deployment=deployment)["events"])

    def switched_at(self, deployment: str, occurrence: int = 0) -> float:
        """When a switch had been acknowledged, as `time.monotonic()`: the log has it in wall-clock time."""
        found = [event for event in self.events(deployment) if event["kind"] == "traffic_switched"]
        return monotonic_of(float(found[occurrence]["at"]))

    # -- processes -----------------------------------------------------------------------------------------------

    def processes(self, containing: str = "") -> list[int]:
        """Living processes of this system: its directory is in their command line or environment."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                command = (entry / "cmdline").read_bytes()
                seen = command + (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if str(self.directory).encode() in seen and containing.encode() in command and state not in "ZX":
                found.append(int(entry.name))
        return found


def monotonic_of(wall: float) -> float:
    """A moment of the log as `time.monotonic()`. A process that is interrupted between reading both clocks gets an
    offset that is too small, never one that is too large: the largest of some is right."""
    return wall - max(time.time() - time.monotonic() for _ in range(20))


def until(
    condition: Callable[[], bool],
    what: str,
    *,
    timeout_seconds: float = 30.0,
    state: Callable[[], object] = lambda: "",
) -> None:
    """Polls until the condition holds. Raises AssertionError at the deadline."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds:g} s: {what}\n{state()}")
        time.sleep(POLL_SECONDS)
