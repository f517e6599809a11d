"""MCP over streamable HTTP on a real server: both spellings of the path, callers kept apart, progress as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from mcp.client.client import ConnectMode

from bluegreen.control.operations import OPERATIONS
from bluegreen.domain.access import OWNER, Scope
from tests.integration.mcp_support import MODES, LiveWorld, http_client, refusal, served
from tests.support.gate import agent

CALLERS = {"owner": OWNER, "reader": agent(Scope.READ, name="reader"), "deployer": agent(Scope.DEPLOY, name="deployer")}
HEADERS = {"accept": "application/json, text/event-stream", "x-caller": "reader"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


@dataclass
class Served:
    world: LiveWorld
    url: str


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Served]:
    async with LiveWorld(tmp_path) as world, served(world, CALLERS) as url:
        yield Served(world, url)


@pytest.mark.parametrize("mode", MODES)
async def test_tools_are_listed_and_called(daemon: Served, mode: ConnectMode) -> None:
    async with http_client(daemon.url, "owner", mode=mode) as client:
        tools = (await client.list_tools()).tools
        result = await client.call_tool("bluegreen_services", {})
    assert [tool.name for tool in tools] == [operation.tool for operation in OPERATIONS.values()]
    assert result.structured_content == {"services": ["app", "other"]}


@pytest.mark.parametrize("path", ["", "/"])
async def test_both_spellings_of_the_path_take_a_post_without_a_redirect(daemon: Served, path: str) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await http.post(daemon.url + path, json=INITIALIZE, headers=HEADERS)
    assert answer.status_code == 200
    assert '"serverInfo"' in answer.text
    assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_there_is_no_session_to_listen_to_or_to_end(daemon: Served, method: str) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await http.request(method, daemon.url, headers={**HEADERS, "mcp-session-id": "1"})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


async def test_nobody_gets_in_without_a_caller(daemon: Served) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await http.post(daemon.url, json=INITIALIZE, headers={**HEADERS, "x-caller": "stranger"})
    assert answer.status_code == 401


async def test_a_body_that_is_too_large_is_refused(daemon: Served) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await http.post(daemon.url, content=b" " * (1 << 20) + b"{}", headers=HEADERS)
    assert answer.status_code == 413


@pytest.mark.parametrize("mode", MODES)
async def test_callers_at_the_same_time_are_never_mixed_up(daemon: Served, mode: ConnectMode) -> None:
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(http_client(daemon.url, "reader", mode=mode))
        owner = await stack.enter_async_context(http_client(daemon.url, "owner", mode=mode))

        async def ask(number: int) -> bool:
            client = reader if number % 2 else owner
            result = await client.call_tool("bluegreen_abort", {"service": "app"})
            return "reader has read" in refusal(result)

        refused = await asyncio.gather(*(ask(number) for number in range(20)))
    assert refused == [bool(number % 2) for number in range(20)]
    await daemon.world.gate.close()
    assert {(entry.who, entry.door) for entry in daemon.world.audit.entries} == {("reader", "mcp"), ("owner", "mcp")}


@pytest.mark.parametrize("mode", MODES)
async def test_progress_arrives_while_the_deployment_is_under_way(daemon: Served, mode: ConnectMode) -> None:
    told: list[float] = []
    verified = asyncio.Event()

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(progress)
        if (message or "").startswith("approval_needed"):
            verified.set()

    async with AsyncExitStack() as stack:
        deployer = await stack.enter_async_context(http_client(daemon.url, "deployer", mode=mode))
        owner = await stack.enter_async_context(http_client(daemon.url, "owner", mode=mode))
        # A first version for the second one to wait beside.
        started = await owner.call_tool("bluegreen_deploy", {"service": "app", "image": "app:v1"})
        answer = await owner.call_tool(
            "bluegreen_wait", {"deployment": started.structured_content["id"]}, progress_callback=on_progress
        )
        assert answer.structured_content["phase"] == "completed"
        assert told == [float(number) for number in range(1, len(told) + 1)]
        assert len(told) >= 8
        told.clear()
        # Whoever may not switch has a deployment that waits for a person.
        started = await deployer.call_tool("bluegreen_deploy", {"service": "app", "image": "app:v2"})
        answer = await deployer.call_tool(
            "bluegreen_wait", {"deployment": started.structured_content["id"]}, progress_callback=on_progress
        )
        assert answer.structured_content["phase"] == "awaiting_approval"
        assert verified.is_set()
        assert answer.structured_content["requested_by"] == "deployer"


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_that_hangs_up_leaves_nothing_behind(tmp_path: Path, mode: ConnectMode) -> None:
    async with LiveWorld(tmp_path) as world, served(world, CALLERS) as url:
        world.prober.hanging_smoke = asyncio.Event()
        reported = asyncio.Event()

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            reported.set()

        started = await world.ask("deploy", service="app", image="app:v1")

        async def wait() -> None:
            async with http_client(url, "owner", mode=mode) as client:
                await client.call_tool("bluegreen_wait", {"deployment": started["id"]}, progress_callback=on_progress)

        task = asyncio.create_task(wait())
        await asyncio.wait_for(reported.wait(), 20)
        assert _waiting()
        task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(20):
            while _waiting():
                await asyncio.sleep(0.01)
        world.prober.hanging_smoke.set()


def _waiting() -> list[str]:
    """Tasks of this loop that wait for a deployment on behalf of a client."""
    return [
        str(task.get_coro())
        for task in asyncio.all_tasks()
        if "GateBackend.call" in getattr(task.get_coro(), "__qualname__", "")
    ]
