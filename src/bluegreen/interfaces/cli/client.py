"""Asks the daemon: one POST over its unix socket for each operation."""

from __future__ import annotations

import dataclasses
import http.client
import json
import socket
from pathlib import Path
from typing import Any, TypeVar

from bluegreen.domain.errors import BluegreenError, DaemonUnreachable
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.cli.location import command_line, state_directory_of
from bluegreen.spec.paths import daemon_log, daemon_socket

ANSWER_TIMEOUT_SECONDS = 30.0

View = TypeVar("View")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class DaemonClient:
    """The daemon of one configuration. Nothing is opened before the first call, and nothing is kept open."""

    def __init__(self, config_path: Path) -> None:
        self.config_path = config_path
        self.state_directory = state_directory_of(config_path)
        self.socket_path = daemon_socket(self.state_directory)

    @property
    def log_path(self) -> Path:
        return daemon_log(self.state_directory)

    def call(
        self,
        operation: str,
        request: object,
        view: type[View],
        *,
        timeout_seconds: float = ANSWER_TIMEOUT_SECONDS,
    ) -> View:
        """The answer as a view. Raises what `call_raw` raises."""
        return decode(view, self.call_raw(operation, request, timeout_seconds=timeout_seconds))

    def call_raw(
        self, operation: str, request: object, *, timeout_seconds: float = ANSWER_TIMEOUT_SECONDS
    ) -> dict[str, Any]:
        """The answer as the daemon wrote it; `request` is a request dataclass.

        Raises DaemonUnreachable when nobody answers within `timeout_seconds`, and the daemon's own error otherwise.
        """
        assert dataclasses.is_dataclass(request) and not isinstance(request, type)
        body = json.dumps(dataclasses.asdict(request)).encode()
        connection = UnixConnection(self.socket_path, timeout_seconds)
        try:
            connection.request(
                "POST", f"/v1/operations/{operation}", body=body, headers={"Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error, timeout_seconds) from error
        finally:
            connection.close()
        return self._parsed(operation, answer.status, content)

    def _parsed(self, operation: str, status: int, content: bytes) -> dict[str, Any]:
        try:
            parsed = json.loads(content)
            problem = parsed.get("error") if status >= 400 else None
        except (ValueError, AttributeError):
            parsed, problem = None, None
        if isinstance(problem, dict):
            raise error_from(problem)
        if not isinstance(parsed, dict) or status != 200:
            raise BluegreenError(
                f"the daemon answered {operation} with HTTP {status} and no explanation",
                hint=f"See the end of {self.log_path}",
            )
        return parsed

    def _unreachable(self, error: Exception, timeout_seconds: float) -> DaemonUnreachable:
        start = command_line("up", self.config_path)
        if isinstance(error, TimeoutError):
            return DaemonUnreachable(
                f"the daemon did not answer within {timeout_seconds:g} s", hint=f"See the end of {self.log_path}"
            )
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return DaemonUnreachable(f"the daemon is not running ({self.socket_path})", hint=f"Start it: {start}")
        return DaemonUnreachable(
            f"the daemon went away before it answered ({error or type(error).__name__})",
            hint=f"Start it again, it goes on where it was: {start}",
        )


def error_from(problem: dict[str, Any]) -> BluegreenError:
    """The daemon's error, raised again here with its code and exit code."""
    error = BluegreenError(str(problem.get("message", "no message")), hint=str(problem.get("hint") or ""))
    error.code = str(problem.get("code", "error"))
    error.exit_code = int(problem.get("exit_code") or 1)
    return error
