"""No door lacks an operation: HTTP, MCP and the command line offer the same list."""

from __future__ import annotations

import pytest

from bluegreen.control.gate import Gate
from bluegreen.control.operations import OPERATIONS
from bluegreen.interfaces.cli.app import PATHS
from bluegreen.interfaces.http.api import build_api
from bluegreen.interfaces.mcp.tools import BY_TOOL
from bluegreen.interfaces.reference import lines
from tests.docs.pages import ROOT
from tests.simulation.world import World
from tests.support.gate import RecordingAudit

SIX = {"workload_submit", "workload_get", "workload_list", "workload_stop", "metrics_query", "alert_create"}
COMMANDS_OF_NO_OPERATION = {
    "metrics": "several metrics_query side by side, for people",
    "ask": "a conversation: shows the operation it understood and runs that",
    "up": "starts the daemon that has the operations",
    "down": "ends it: operation shutdown, for the owner alone",
    "reload": "reads the daemon's own file: operation reload, through every door but MCP's fixed list",
    "validate": "reads a file, asks no daemon",
    "simulate": "reckons with the file alone, asks no daemon",
    "import-compose": "reads a file, asks no daemon",
    "doctor": "looks at the machine, asks no daemon",
    "version": "asks no daemon",
    "completion": "writes a shell script",
    "mcp": "is a door itself",
    "skill install": "writes files for an agent",
    "skill list": "reads the package",
    "token create": "the owner's file: no token may make tokens",
    "token list": "the owner's file",
    "token revoke": "the owner's file",
    "audit verify": "the owner's file",
    "audit list": "the owner's file",
}


def test_the_command_line_has_every_operation_and_nothing_unexplained() -> None:
    commands = {" ".join(words) for words in PATHS}
    operations = {operation.command for operation in OPERATIONS.values()}
    assert operations - commands == set()
    assert commands - operations == set(COMMANDS_OF_NO_OPERATION)


def test_mcp_has_every_operation() -> None:
    assert set(BY_TOOL.values()) == set(OPERATIONS.values())
    assert set(BY_TOOL) >= SIX


async def test_http_has_every_operation() -> None:
    async with World() as world:
        gate = Gate(world.fleet, audit=RecordingAudit(), clock=world.clock)
        document = build_api(gate).openapi()
        paths = {path.removeprefix("/v1/operations/") for path in document["paths"] if "/v1/operations/" in path}
        assert paths == set(OPERATIONS)


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_every_description_says_what_when_and_what_next(name: str) -> None:
    description = OPERATIONS[name].description
    assert len(description) >= 60, description
    assert description[0].isupper()
    assert description.endswith((".", ")."))


def test_the_page_of_tools_is_what_the_operations_say() -> None:
    written = (ROOT / "docs" / "tools.md").read_text()
    assert written == "\n".join(lines()) + "\n", "run: python -m bluegreen.interfaces.reference > docs/tools.md"
