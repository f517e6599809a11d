"""The HTTP API on a world of fakes that runs by the real clock, in memory and behind real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from bluegreen.control.clock import SystemClock
from bluegreen.control.gate import Gate
from bluegreen.domain.access import Caller
from bluegreen.domain.errors import BluegreenError, Unauthenticated
from bluegreen.domain.model import Endpoint, SlotTraffic
from bluegreen.domain.service import HealthCheck, Policy, ServiceSpec
from bluegreen.interfaces.http.api import build_api
from bluegreen.interfaces.http.doors import as_owner, with_tokens
from bluegreen.interfaces.http.limits import Limits
from bluegreen.interfaces.http.server import Door, TcpDoor
from bluegreen.runtimes.fake import FakeRuntime
from bluegreen.spec.configuration import ApiSettings
from tests.simulation.world import ScriptedProber, World, service
from tests.support.gate import RecordingAudit

HOST = "api.test"
TERMINAL = ("completed", "rolled_back", "failed", "aborted")


def quick_service(name: str = "app", **changes: object) -> ServiceSpec:
    """Its phases last hundredths of a second; retention lasts, so that there is something to go back to."""
    policy = Policy(monitor_seconds=0.05, retain_seconds=600, min_requests=1, poll_seconds=0.01)
    health = HealthCheck(interval_seconds=0.01, rise=1, fall=3, deadline_seconds=30)
    return service(name, **{"policy": policy, "health": health, **changes})


class _Busy(dict[str, SlotTraffic]):
    """Every workload has had its share of good answers, unless a test says otherwise."""

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key, SlotTraffic(100, 0, 0))


class ApiWorld(World):
    """`api` is built when it is first asked for; `limits` and `settings` may be set until then."""

    def __init__(self, *specs: ServiceSpec, limits: Limits | None = None, settings: ApiSettings | None = None) -> None:
        super().__init__(*(specs or (quick_service(), quick_service("other", hosts=("other.example",)))))
        self.clock = SystemClock()  # type: ignore[assignment]
        self.runtime = FakeRuntime(now=self.clock.now)
        self.prober = ScriptedProber(self.runtime)
        self.router.counters = _Busy()
        self.fleet = self._fleet()
        self.audit = RecordingAudit()
        self.gate = Gate(self.fleet, audit=self.audit, clock=self.clock)
        self.limits = limits or Limits()
        self.settings = settings or ApiSettings(hosts=(HOST,))
        self.api: FastAPI = build_api(self.gate, settings=self.settings, limits=self.limits)

    async def __aenter__(self) -> ApiWorld:
        await super().__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.gate.close()
        await super().__aexit__(*exception)

    def owner(self) -> httpx.AsyncClient:
        """A client in memory, through the owner's door."""
        return in_memory(as_owner(self.api))

    def agent(self, callers: Mapping[str, Caller | BluegreenError], **headers: str) -> httpx.AsyncClient:
        """A client in memory, through the door for tokens."""
        door = with_tokens(self.api, FakeAuthenticator(callers), settings=self.settings, gate=self.gate)
        return in_memory(door, **headers)

    async def deployed(self, client: httpx.AsyncClient, image: str, *, until: str = "retaining") -> str:
        """The id of a deployment that got that far."""
        begun = await client.post("/v1/services/app/deployments", json={"image": image})
        assert begun.status_code == 201, begun.text
        return await self.reached(client, begun.json()["id"], until)

    @staticmethod
    async def reached(client: httpx.AsyncClient, deployment: str, *phases: str) -> str:
        async with asyncio.timeout(20):
            while True:
                phase = (await client.get(f"/v1/deployments/{deployment}")).json()["phase"]
                if phase in phases:
                    return deployment
                assert phase not in TERMINAL, phase
                await asyncio.sleep(0.01)


class FakeAuthenticator:
    """`Bearer NAME` is the caller of that name, or what is raised for it."""

    def __init__(self, callers: Mapping[str, Caller | BluegreenError]) -> None:
        self._callers = callers

    def authenticate(self, authorization: str | None, door: str) -> Caller:
        found = self._callers.get((authorization or "").removeprefix("Bearer "))
        if isinstance(found, Caller):
            return found
        raise found or Unauthenticated("authorization: this token is not known here", hint="bluegreen token list")

    def require_standing(self, caller: Caller) -> None:
        if caller not in self._callers.values():
            raise Unauthenticated(f"authorization: the token '{caller.name}' is not known here any more")


def in_memory(app: Any, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}", headers=headers)


@contextlib.asynccontextmanager
async def unix_door(world: ApiWorld, path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The owner's door on a real socket, and a client of it."""
    door = Door(as_owner(world.api), path, limits=world.limits)
    await door.open()
    try:
        async with httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://localhost", timeout=20
        ) as client:
            yield client
    finally:
        await door.close()


@contextlib.asynccontextmanager
async def tcp_door(
    world: ApiWorld, callers: Mapping[str, Caller | BluegreenError], *, certificate: Path | None = None
) -> AsyncIterator[Endpoint]:
    """The door for tokens on a real port of 127.0.0.1."""
    app = with_tokens(world.api, FakeAuthenticator(callers), settings=world.settings, gate=world.gate)
    door = TcpDoor(app, Endpoint("127.0.0.1", 0), certificate=certificate, limits=world.limits)
    await door.open()
    try:
        yield door.address
    finally:
        await door.close()
