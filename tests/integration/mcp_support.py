"""A gate on a world of fakes that runs by the real clock, and the doors of MCP on it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from mcp import Client
from mcp.client.client import ConnectMode
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ContentBlock, TextContent
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from bluegreen.control.clock import SystemClock
from bluegreen.control.gate import Gate
from bluegreen.control.schemas import to_plain
from bluegreen.domain.access import OWNER, Caller
from bluegreen.domain.service import HealthCheck, Policy, ServiceSpec
from bluegreen.interfaces.http.callers import CALLER
from bluegreen.interfaces.mcp.backend import GateBackend
from bluegreen.interfaces.mcp.http import build_mcp_app, mcp_routes
from bluegreen.interfaces.mcp.server import build_server
from bluegreen.runtimes.fake import FakeRuntime
from tests.simulation.world import ScriptedProber, World, service
from tests.support.gate import RecordingAudit

MODES: tuple[ConnectMode, ...] = ("legacy", "auto")
"""Both generations of the protocol: with a handshake, and without."""

CONFIGURATION = """
# A comment with a secret in it: hunter2
[alerts]
webhook_url = "https://hooks.example/T0/hunter2"
[services.app]
hosts = ["*"]
image = "app:v1"
command = ["serve", "{port}"]
env = { DATABASE_PASSWORD = "hunter2" }
[services.other]
hosts = ["other.example"]
command = ["serve", "{port}"]
"""


def quick_service(name: str = "app", **changes: object) -> ServiceSpec:
    policy = Policy(monitor_seconds=0.05, retain_seconds=0.05, min_requests=1, poll_seconds=0.01)
    health = HealthCheck(interval_seconds=0.01, rise=1, fall=3, deadline_seconds=30)
    return service(name, **{"policy": policy, "health": health, **changes})


class LiveWorld(World):
    """Its time is the real one, so its policies are short."""

    def __init__(self, directory: Path, *specs: ServiceSpec) -> None:
        super().__init__(*(specs or (quick_service(), quick_service("other", hosts=("other.example",)))))
        self.clock = SystemClock()  # type: ignore[assignment]
        self.runtime = FakeRuntime(now=self.clock.now)
        self.prober = ScriptedProber(self.runtime)
        self.fleet = self._fleet()
        self.audit = RecordingAudit()
        self.gate = Gate(self.fleet, audit=self.audit, clock=self.clock)
        self.config_path = directory / "bluegreen.toml"
        self.config_path.write_text(CONFIGURATION)

    async def __aenter__(self) -> LiveWorld:
        await super().__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.gate.close()
        await super().__aexit__(*exception)

    async def ask(self, operation: str, **arguments: Any) -> Any:
        """Through the gate, as the owner."""
        view = await self.gate.call(operation, arguments, OWNER)
        return to_plain(self.gate.operation(operation).response, view)

    def client(self, caller: Caller = OWNER, *, mode: ConnectMode = "legacy") -> Client:
        """In memory. `mode` is the protocol's generation: `legacy` shakes hands, `auto` does without."""
        backend = GateBackend(self.gate, replace(caller, door="mcp"), self.config_path)
        return Client(build_server(lambda _: backend), mode=mode)


def text_of(content: ContentBlock) -> str:
    assert isinstance(content, TextContent)
    return content.text


def refusal(result: CallToolResult) -> str:
    """What a tool that said no has told the agent."""
    assert result.is_error, result
    (content,) = result.content
    return text_of(content)


class _OuterDoor:
    """Stands for the daemon's: a header names the caller."""

    def __init__(self, app: ASGIApp, callers: Mapping[str, Caller]) -> None:
        self._app = app
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            name = dict(scope["headers"]).get(b"x-caller", b"").decode()
            if name in self._callers:
                scope[CALLER] = self._callers[name]
        await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(world: LiveWorld, callers: Mapping[str, Caller]) -> AsyncIterator[str]:
    """The address of `/mcp` on a real HTTP server."""
    app, lifespan = build_mcp_app(world.gate, world.config_path)
    outer = _OuterDoor(Starlette(routes=mcp_routes(app)), callers)
    # With the protocol named, asyncio sends each answer at once; without it the kernel holds parts back for 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(outer, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        server = _Server(config)
        ready = asyncio.Event()

        async def serve() -> None:
            async with lifespan():  # Entered and left by the same task, as it must be.
                ready.set()
                await server.serve(sockets=[listener])

        task = asyncio.create_task(serve())
        await ready.wait()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def http_client(url: str, caller: str, *, mode: ConnectMode = "legacy") -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"x-caller": caller}, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client
