"""How the MCP server reaches the operations, on behalf of whoever sent the request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bluegreen.control.gate import Gate
from bluegreen.control.operations import OPERATIONS, Operation
from bluegreen.control.schemas import to_json
from bluegreen.domain.access import Caller
from bluegreen.interfaces.mcp.configuration_text import read_masked


class Backend(Protocol):
    """The operations as one caller may use them. All methods raise BluegreenError."""

    def operations(self) -> Sequence[Operation]:
        """Those that the caller's scope includes, in the order in which they are listed."""
        ...

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Runs an operation; `operation` is its name, not the tool's. The answer is as JSON would give it."""
        ...

    async def configuration(self) -> str:
        """The configuration file as text, secrets masked."""
        ...


BackendOf = Callable[[Any], Backend]
"""From the HTTP request that a message came with (None where there is none) to what its sender may use."""


@dataclass(frozen=True, slots=True)
class GateBackend:
    """In the daemon: straight to the gate, which decides what the caller may do."""

    gate: Gate
    caller: Caller
    config_path: Path

    def operations(self) -> Sequence[Operation]:
        return [operation for operation in OPERATIONS.values() if self.caller.scope.includes(operation.scope)]

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        view = await self.gate.call(operation, arguments, self.caller)
        plain: dict[str, Any] = json.loads(to_json(self.gate.operation(operation).response, view))
        return plain

    async def configuration(self) -> str:
        return await asyncio.to_thread(read_masked, self.config_path, self.caller.services)
