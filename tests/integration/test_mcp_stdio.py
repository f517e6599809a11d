"""`bluegreen mcp` as a client starts it: a process that speaks the protocol and forwards to the daemon's socket."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.client import ConnectMode

from bluegreen.control import views as v
from bluegreen.control.operations import OPERATIONS
from bluegreen.domain.errors import UnknownName
from bluegreen.interfaces.mcp.tools import ERROR_KEY
from tests.integration import cli_support as support
from tests.integration.mcp_support import MODES, refusal

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return support.write_configuration(tmp_path)


@asynccontextmanager
async def connected(config: Path, mode: ConnectMode = "legacy") -> AsyncIterator[Client]:
    program, *arguments = support.command("mcp", "--config", str(config))
    server = StdioServerParameters(
        command=program, args=arguments, env=support.environment(config), cwd=str(config.parent)
    )
    async with Client(server, mode=mode) as client:
        yield client


@pytest.mark.parametrize("mode", MODES)
async def test_calls_are_forwarded_to_the_daemon(config: Path, mode: ConnectMode) -> None:
    answers: dict[str, Any] = {
        "status": support.status(),
        "deploy": support.deployment(),
        "history": UnknownName("service: there is no service 'shp'", hint="Did you mean 'shop'?"),
    }
    with support.fake_daemon(config, **answers) as daemon:
        async with connected(config, mode) as client:
            tools = (await client.list_tools()).tools
            status = await client.call_tool("bluegreen_status", {"service": "shop"})
            await client.call_tool("bluegreen_deploy", {"service": "shop", "image": "v2"})
            refused = await client.call_tool("bluegreen_history", {"service": "shp"})
    assert [tool.name for tool in tools] == [operation.tool for operation in OPERATIONS.values()]
    assert status.structured_content == json.loads(json.dumps(dataclasses.asdict(support.status())))
    assert daemon.asked("status") == [{"service": "shop"}]
    (deployed,) = daemon.asked("deploy")
    assert deployed.pop("requested_by").endswith(" (mcp)")
    assert deployed == {"service": "shop", "image": "v2"}
    assert refusal(refused) == "service: there is no service 'shp'\nDid you mean 'shop'?"
    assert (refused.meta or {})[ERROR_KEY]["code"] == "unknown_name"


async def test_without_a_daemon_each_call_says_how_to_start_it_and_works_once_it_runs(config: Path) -> None:
    async with connected(config) as client:
        assert len((await client.list_tools()).tools) == len(OPERATIONS)
        assert [resource.name for resource in (await client.list_resources()).resources] == [
            "configuration",
            "services",
        ]
        refused = refusal(await client.call_tool("bluegreen_services", {}))
        assert "the daemon is not running" in refused
        assert "bluegreen up" in refused
        with support.fake_daemon(config):
            answered = await client.call_tool("bluegreen_services", {})
    assert answered.structured_content == {"services": ["shop", "search"]}


async def test_a_long_wait_holds_up_nothing_and_reports_progress(config: Path) -> None:
    over, told = threading.Event(), list[str]()
    halfway = asyncio.Event()
    log = [
        support.event(7, "preflight_passed", checks=["capacity"]),
        support.event(9, "verified"),
        support.event(12, "deployment_completed"),
    ]

    def wait(_: dict[str, Any]) -> v.DeploymentView:
        assert over.wait(60)
        return support.deployment(phase="completed")

    def events(request: dict[str, Any]) -> v.EventsView:
        if request["after"] >= 9 and request["wait_seconds"]:
            over.wait(request["wait_seconds"])
        known = log if over.is_set() else log[:2]
        return v.EventsView(tuple(e for e in known if e.sequence > request["after"]), over.is_set(), "monitoring")

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(f"{progress:g} {message}")
        if len(told) == 2:
            halfway.set()

    with support.fake_daemon(config, wait=wait, events=events):
        async with connected(config) as client:
            arguments = {"deployment": "shop-abc234"}
            waiting = asyncio.create_task(client.call_tool("bluegreen_wait", arguments, progress_callback=on_progress))
            await asyncio.wait_for(halfway.wait(), 30)
            services = await client.call_tool("bluegreen_services", {})
            assert services.structured_content == {"services": ["shop", "search"]}
            assert not waiting.done()
            over.set()
            ended = await waiting
    assert (ended.structured_content or {})["phase"] == "completed"
    assert told == [
        "1 preflight_passed: all 1 requirements are met",
        "2 verified: the new version is verified",
        "3 deployment_completed: completed",
    ]


@pytest.fixture
def process(config: Path) -> Iterator[subprocess.Popen[str]]:
    """Started, and it has answered the handshake."""
    started = subprocess.Popen(
        support.command("mcp"), env=support.environment(config), cwd=config.parent, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with started:
        assert started.stdin is not None and started.stdout is not None
        started.stdin.write(json.dumps(INITIALIZE) + "\n")
        started.stdin.flush()
        assert json.loads(started.stdout.readline())["result"]["serverInfo"]["name"] == "bluegreen"
        yield started
        started.kill()


@pytest.mark.parametrize("end", ["end of input", signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_and_quietly(process: subprocess.Popen[str], end: str | signal.Signals) -> None:
    if isinstance(end, signal.Signals):
        process.send_signal(end)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (0, "", "")


def test_what_is_no_message_is_answered_as_such_and_the_next_one_all_the_same(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("this is no JSON\n" + json.dumps({"jsonrpc": "2.0", "id": 2, "method": "ping"}) + "\n")
    process.stdin.flush()
    answers = [json.loads(process.stdout.readline())]
    while answers[-1].get("id") != 2:
        answers.append(json.loads(process.stdout.readline()))
    assert answers[-1]["result"] == {}


def test_a_configuration_that_is_not_there_is_an_error_on_stderr(tmp_path: Path) -> None:
    done = support.bluegreen(tmp_path / "none.toml", "mcp")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "there is no configuration file" in done.stderr


def test_the_command_line_does_not_load_the_protocol_for_other_commands() -> None:
    code = "import bluegreen.interfaces.cli.mcp_commands, sys; print({'mcp', 'mcp_types', 'httpx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
