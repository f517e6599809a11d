"""The whole controller on fakes and a clock that is turned by hand: hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence

from bluegreen.alerts.fake import RecordingSink
from bluegreen.control import requests as r
from bluegreen.control.alerting import AlertDesk
from bluegreen.control.deploying import deploy
from bluegreen.control.fleet import Fleet, Ports
from bluegreen.control.ports import ProbeResult, SmokeResult
from bluegreen.control.recovery import recover
from bluegreen.control.secrets import EnvironmentSecrets
from bluegreen.control.views import DeploymentView
from bluegreen.domain.analysis import CommandResult
from bluegreen.domain.deployment import Deployment, Phase
from bluegreen.domain.model import Endpoint, Resources, SlotTraffic, Workload
from bluegreen.domain.service import HealthCheck, Policy, ServiceSpec, SmokeTest
from bluegreen.probes.fake_metrics import FakeAnalysisSource
from bluegreen.routers.fake import FakeRouter
from bluegreen.runtimes.fake import FakeRuntime
from bluegreen.stores.memory import MemoryEventStore
from bluegreen.stores.memory_samples import MemorySampleStore

SETTLE_ROUNDS = 40
"""Turns of the event loop after which everything that can run without time passing has run."""


class SimulatedClock:
    """Time stands still until `advance`. `jump` moves the wall clock alone, as a wrong time server does."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        self._wall_offset = 1_800_000_000.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._wall_offset + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed + 1000.0

    def jump(self, seconds: float) -> None:
        self._wall_offset += seconds

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + max(seconds, 0.0), next(self._order), future))
        await future

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        if event.is_set():
            return
        sleeper = asyncio.ensure_future(self.sleep(seconds))
        woken = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait({sleeper, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            woken.cancel()

    async def advance(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> bool:
        """Lets time pass, waking sleepers in order; ends early, with True, when `until` holds."""
        end = self._elapsed + seconds
        await settle()
        while not until():
            while self._sleepers and self._sleepers[0][2].done():
                heapq.heappop(self._sleepers)
            if not self._sleepers or self._sleepers[0][0] > end:
                self._elapsed = end
                return until()
            at, _, future = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, at)
            future.set_result(None)
            await settle()
        return True


async def settle() -> None:
    for _ in range(SETTLE_ROUNDS):
        await asyncio.sleep(0)


class ScriptedProber:
    """Everything is healthy but the images in `sick`; smoke tests fail for the images in `wrong`."""

    def __init__(self, runtime: FakeRuntime, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self.sick: set[str] = set()
        self.wrong: set[str] = set()
        self.hanging_smoke: asyncio.Event | None = None
        self.exits: int | None = 0
        """How commands of analyses end; None hangs until the time is up."""
        self._runtime = runtime

    async def check(self, endpoint: Endpoint, check: HealthCheck, protocol: str) -> ProbeResult:
        for status in await self._runtime.list():
            if endpoint in status.endpoints and status.workload.image in self.sick:
                return ProbeResult(False, f"HTTP 500 from {endpoint}{check.path}")
        return ProbeResult(True, f"HTTP 200 from {endpoint}{check.path}")

    async def run(
        self, command: Sequence[str], endpoint: Endpoint, workload: Workload, timeout_seconds: float
    ) -> CommandResult:
        if self.exits is None:
            await self._sleep(timeout_seconds)
            return CommandResult(None, problem=f"still ran after {timeout_seconds:g} s and was killed")
        return CommandResult(self.exits, f"tried {workload.version}")

    async def smoke(
        self, endpoint: Endpoint, test: SmokeTest, workload: Workload, protocol: str = "http1"
    ) -> SmokeResult:
        if self.hanging_smoke is not None:
            await self.hanging_smoke.wait()
        ok = workload.image not in self.wrong
        return SmokeResult(test.name, ok, "as expected" if ok else "expected 200, got 500")


def service(name: str = "app", **changes: object) -> ServiceSpec:
    policy = Policy(monitor_seconds=300, retain_seconds=900, drain_timeout_seconds=60, min_requests=20)
    values: dict[str, object] = {
        "name": name,
        "hosts": ("*",),
        "command": ("serve", "{port}"),
        "image": f"{name}:v1",
        "resources": Resources(gpus=4),
        "health": HealthCheck(rise=2, fall=3, deadline_seconds=60),
        "smoke": (SmokeTest(name="smoke-1", method="GET", path="/"),),
        "policy": policy,
    }
    return ServiceSpec(**{**values, **changes})  # type: ignore[arg-type]


class World:
    """One machine. `restart` is a `kill -9` of the controller followed by a new start on what is left."""

    def __init__(self, *specs: ServiceSpec) -> None:
        self.specs: Mapping[str, ServiceSpec] = {spec.name: spec for spec in specs or (service(),)}
        self.clock = SimulatedClock()
        self.runtime = FakeRuntime(now=self.clock.now)
        self.router = FakeRouter()
        self.prober = ScriptedProber(self.runtime, self.clock.sleep)
        self.metrics = FakeAnalysisSource(now=self.clock.now, sleep=self.clock.sleep)
        self.store = MemoryEventStore()
        self.samples = MemorySampleStore()
        self.alerts = RecordingSink()
        self.fleet = self._fleet()

    def _fleet(self) -> Fleet:
        ports = Ports(self.runtime, self.router, self.prober, self.store, self.clock, self.metrics)
        return Fleet(ports, self.specs, AlertDesk([self.alerts], self.clock, self.store, self.store), self.samples)

    async def __aenter__(self) -> World:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.fleet.close()

    async def start(self) -> None:
        await self.router.configure(list(self.specs.values()))
        await recover(self.fleet)

    async def restart(self) -> None:
        await self.restart_with(EnvironmentSecrets())

    async def restart_with(self, secrets: EnvironmentSecrets) -> None:
        """With what a former controller kept of environment values."""
        await self.fleet.close()
        self.fleet = self._fleet()
        self.fleet.secrets = secrets
        await self.start()

    def last(self, name: str = "app") -> Deployment:
        last = self.fleet.watchers[name].last
        assert last is not None
        return last

    async def deploy(
        self, image: str = "app:v2", *, name: str = "app", force: bool = False, strategy: str = "blue-green"
    ) -> DeploymentView:
        request = r.DeployRequest(service=name, image=image, strategy=strategy, requested_by="ada", force=force)
        return await deploy(self.fleet, request)

    async def until(self, *phases: Phase, seconds: float = 4000.0, name: str = "app") -> Deployment:
        """Lets time pass until the newest deployment is in one of these phases."""
        reached = await self.clock.advance(seconds, until=lambda: self.last(name).phase in phases)
        last = self.last(name)
        reason = self.fleet.watchers[name].reasons.get(last.id)
        assert reached, f"{last.id} is {last.phase} after {seconds} s: {reason}"
        return last

    def serve(self, image: str, *, requests: int = 1000, errors: int = 0) -> None:
        """The router counted this much for every workload of the image."""
        for name in self.specs:
            for workload in (self.last(name).blue, self.last(name).green):
                if workload is not None and workload.image == image:
                    self.router.counters[workload.id] = SlotTraffic(requests, errors, 0)

    def serve_both(self, *, errors: float = 0.0, blue_errors: float = 0.0, requests: int = 1000) -> None:
        """This many requests more for each side that has traffic now, with these shares of errors in them."""
        for target in self.router.switches[-1]["app"].targets:
            before = self.router.counters.get(target.workload_id, SlotTraffic())
            blue = self.last().blue
            share = blue_errors if blue is not None and target.workload_id == blue.id else errors
            counted = SlotTraffic(before.requests + requests, before.errors + round(requests * share))
            self.router.counters[target.workload_id] = counted

    async def running(self) -> set[str]:
        return {status.workload.image for status in await self.runtime.list()}

    async def first_version(self) -> None:
        """v1 is deployed and alone."""
        await self.deploy("app:v1")
        await self.until(Phase.COMPLETED)

    async def to_monitoring(self, image: str = "app:v2") -> Deployment:
        await self.deploy(image)
        return await self.until(Phase.MONITORING)

    def active_image(self, name: str = "app") -> str:
        """What the router really sends traffic to."""
        routes = self.router.switches
        target = next(switch[name].targets for switch in reversed(routes) if name in switch)
        workloads = [self.last(name).blue, self.last(name).green]
        return next(w.image for w in workloads if w is not None and w.id == target[0].workload_id)
