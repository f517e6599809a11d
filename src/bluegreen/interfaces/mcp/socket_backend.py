"""The operations through the daemon's unix socket, without ever holding up the event loop."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from bluegreen.control.operations import OPERATIONS, Operation
from bluegreen.domain.errors import BluegreenError, DaemonUnreachable
from bluegreen.interfaces.cli.client import DaemonClient, error_from
from bluegreen.interfaces.cli.location import command_line
from bluegreen.interfaces.mcp.configuration_text import read_masked
from bluegreen.interfaces.mcp.unix_http import post

ANSWER_TIMEOUT_SECONDS = 60.0
"""How long an operation may take beyond what it was asked to wait."""
_WAITS = ("timeout_seconds", "wait_seconds")


class SocketBackend:
    """Whoever may open the socket is the owner, and may use everything."""

    def __init__(self, config_path: Path) -> None:
        """Raises ConfigurationError, UsageError when the file does not say where its daemon is."""
        self._config_path = config_path
        self._daemon = DaemonClient(config_path)
        self._requested_by = f"{_login()} (mcp)"

    def operations(self) -> Sequence[Operation]:
        return list(OPERATIONS.values())

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Raises DaemonUnreachable when nobody answers, and the daemon's own errors."""
        body = dict(arguments)
        if any(field.name == "requested_by" for field in fields(OPERATIONS[operation].request)):
            body.setdefault("requested_by", self._requested_by)
        patience = ANSWER_TIMEOUT_SECONDS + _asked_to_wait(arguments)
        try:
            status, content = await post(
                self._daemon.socket_path,
                f"/v1/operations/{operation}",
                json.dumps(body).encode(),
                timeout_seconds=patience,
            )
        except OSError as error:
            raise self._unreachable(error, patience) from error
        return self._parsed(operation, status, content)

    async def configuration(self) -> str:
        return await asyncio.to_thread(read_masked, self._config_path)

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
                hint=f"See the end of {self._daemon.log_path}",
            )
        return parsed

    def _unreachable(self, error: OSError, patience: float) -> DaemonUnreachable:
        start = command_line("up", self._config_path)
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return DaemonUnreachable(
                f"the daemon is not running ({self._daemon.socket_path})",
                hint=f"Ask a person to start it, or run: {start}",
            )
        if isinstance(error, TimeoutError):
            return DaemonUnreachable(
                f"the daemon did not answer within {patience:g} s", hint=f"See the end of {self._daemon.log_path}"
            )
        return DaemonUnreachable(
            f"the daemon went away before it answered ({error or type(error).__name__}); whether it did what was asked "
            "is not known",
            hint=f"Look with bluegreen_status; start the daemon again, it goes on where it was: {start}",
        )


def _asked_to_wait(arguments: Mapping[str, Any]) -> float:
    seconds = (arguments.get(name) for name in _WAITS)
    return sum(max(0.0, float(value)) for value in seconds if isinstance(value, int | float))


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
