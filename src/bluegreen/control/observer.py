"""Gathers everything a decision about one service may look at into one immutable value."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from bluegreen.control.analysis_keeper import AnalysisKeeper, Analysts
from bluegreen.control.kept_watches import KeptWatches
from bluegreen.control.ports import Clock, Prober, TrafficRouter, WorkloadRuntime
from bluegreen.control.router_view import RouterView
from bluegreen.control.watch_keeper import WatchKeeper
from bluegreen.control.workload_monitor import WorkloadMonitor
from bluegreen.domain.baseline import Baseline
from bluegreen.domain.deployment import Deployment, Phase
from bluegreen.domain.errors import BluegreenError
from bluegreen.domain.model import Capacity, Endpoint, Workload
from bluegreen.domain.observation import Observation
from bluegreen.domain.service import HealthCheck, ServiceSpec


class Observer:
    """`monitors` are those of the service's workloads by id; the fleet adds and removes them.

    Durations are measured by the monotonic clock; what a former daemon had waited is taken from the log,
    and a wall clock that went backwards counts as no time at all.
    """

    def __init__(
        self,
        service: str,
        *,
        runtime: WorkloadRuntime,
        router: TrafficRouter,
        prober: Prober,
        view: RouterView,
        clock: Clock,
        analysts: Analysts,
        kept_watches: KeptWatches,
        baseline_of: Callable[[Workload], Baseline | None] = lambda _: None,
        prepare_baseline: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.service = service
        self.monitors: dict[str, WorkloadMonitor] = {}
        self._runtime = runtime
        self._router = router
        self._prober = prober
        self._view = view
        self._clock = clock
        self._baseline_of = baseline_of
        self._prepare_baseline = prepare_baseline
        self._watches = WatchKeeper(service, view, clock, kept_watches)
        self._changed: Callable[[], None] = lambda: None
        self._analyses = AnalysisKeeper(analysts, clock, endpoints_of=self._listening, changed=self._answered)
        self._phase_began: dict[str, float] = {}
        self._restarts_before: dict[str, Mapping[str, int]] = {}

    def follow(self, changed: Callable[[], None], *, poll_seconds: float) -> None:
        self._view.follow(self.service, changed, poll_seconds=poll_seconds)

    def unfollow(self) -> None:
        self._view.unfollow(self.service)

    def attend(
        self, wanted: Iterable[tuple[Workload, ServiceSpec]], *, calm: bool, changed: Callable[[], None]
    ) -> None:
        """Monitors these workloads and no others. `calm` makes the checks rarer: nothing is being decided."""
        self._changed = changed
        keep = set()
        for workload, spec in wanted:
            keep.add(workload.id)
            monitor = self.monitors.get(workload.id)
            if monitor is None:
                monitor = WorkloadMonitor(
                    workload,
                    spec.health or HealthCheck(),
                    spec.protocol,
                    runtime=self._runtime,
                    prober=self._prober,
                    clock=self._clock,
                    changed=changed,
                )
                self.monitors[workload.id] = monitor
                monitor.start()
            monitor.workload = workload
            monitor.set_calm(calm)
        for workload_id in [known for known in self.monitors if known not in keep]:
            self.monitors.pop(workload_id).cancel()

    async def look(self, workload_id: str) -> None:
        """Looks at a workload now, because something was just done to it."""
        if monitor := self.monitors.get(workload_id):
            await monitor.look()

    async def connect(self, workload: Workload) -> None:
        """Tells the router where the replicas of a workload are, when it doesn't know. Raises RouterError."""
        monitor = self.monitors.get(workload.id)
        endpoints = monitor.status.endpoints if monitor and monitor.status else ()
        if endpoints and self._view.connected(self.service)[workload.color] != endpoints:
            await self._view.connect(self.service, workload.color, endpoints)

    async def stop(self) -> None:
        await self._analyses.stop()
        await self._watches.stop()
        for monitor in self.monitors.values():
            await monitor.stop()

    def phase_began(self, deployment: Deployment, *, resumed: bool = False) -> None:
        """Restarts that happened while nobody looked are not held against a resumed phase."""
        self._analyses.end(deployment.id)
        waited = max(0.0, self._clock.now() - deployment.phase_since) if resumed else 0.0
        self._phase_began[deployment.id] = self._clock.monotonic() - waited
        self._restarts_before[deployment.id] = {
            workload_id: monitor.status.restarts
            for workload_id, monitor in self.monitors.items()
            if monitor.status is not None
        }
        blue = self.monitors.get(deployment.blue.id) if deployment.blue else None
        if deployment.phase is Phase.ROLLING_BACK and blue is not None:
            # "Verify blue" means checks made after the traffic came back, not a verdict from before.
            blue.start_over()
        if deployment.phase.terminal:
            del self._phase_began[deployment.id], self._restarts_before[deployment.id]
            self._watches.forget(deployment)

    async def recall(self, deployment: Deployment) -> None:
        """Goes on with what a former daemon had counted. The time in which nobody counted is no time of watching."""
        unwatched = await self._watches.recall(deployment)
        began = self._phase_began[deployment.id]
        self._phase_began[deployment.id] = min(began + unwatched, self._clock.monotonic())

    def elapsed_seconds(self, deployment: Deployment) -> float:
        began = self._phase_began.get(deployment.id)
        return self._clock.monotonic() - began if began is not None else 0.0

    async def observe(
        self,
        deployment: Deployment,
        spec: ServiceSpec,
        *,
        running: frozenset[str] = frozenset(),
        superseded_by: str = "",
    ) -> Observation:
        began = self._phase_began.get(deployment.id, 0.0)
        capacity, problem = await self._requirements(deployment, spec)
        await self._look_at_unseen()
        await self._check_before_switch(deployment, began)
        return replace(
            self.snapshot(capacity=capacity, router_problem=problem),
            elapsed_seconds=self._clock.monotonic() - began,
            # Counters read before the phase began say nothing about it: a drain must not end on them.
            traffic=self._view.traffic(self.service, since=began),
            watch=self._watches.look(deployment, spec.policy, began=began, now=self._clock.monotonic()),
            analyses=self._analyses.look(deployment, spec),
            baseline=self._baseline(deployment),
            running=running,
            superseded_by=superseded_by,
            restarts_before=self._restarts_before.get(deployment.id, {}),
        )

    def snapshot(self, *, capacity: Capacity | None = None, router_problem: str = "") -> Observation:
        """What is known now, apart from any deployment."""
        return Observation(
            workloads={
                workload_id: monitor.status
                for workload_id, monitor in self.monitors.items()
                if monitor.status is not None
            },
            health={workload_id: monitor.health for workload_id, monitor in self.monitors.items()},
            route=self._view.route(self.service),
            connected=self._view.connected(self.service),
            capacity=capacity,
            router_problem=router_problem,
        )

    def _answered(self) -> None:
        self._changed()

    def _listening(self, workload: Workload) -> tuple[Endpoint, ...]:
        monitor = self.monitors.get(workload.id)
        replicas = monitor.status.replicas if monitor and monitor.status else ()
        return tuple(replica.endpoint for replica in replicas if replica.listening and replica.endpoint is not None)

    def _baseline(self, deployment: Deployment) -> Baseline | None:
        """Blue's record, when it is about to lose traffic for the first time."""
        if deployment.phase is not Phase.SWITCHING or deployment.switched or deployment.blue is None:
            return None
        return self._baseline_of(deployment.blue)

    async def _requirements(self, deployment: Deployment, spec: ServiceSpec) -> tuple[Capacity | None, str]:
        if deployment.phase is Phase.PREFLIGHT:
            self._prepare_baseline(self.service)
            return await self.requirements(spec)
        if deployment.phase is Phase.SWITCHING and deployment.switched:
            # Green may have to grow for its next share.
            with contextlib.suppress(BluegreenError):
                return await self._runtime.capacity(spec.runtime), ""
        return None, ""

    async def requirements(self, spec: ServiceSpec) -> tuple[Capacity | None, str]:
        """What is free, and what is wrong with the router (empty when it is well)."""
        capacity: Capacity | None = None
        try:
            capacity = await self._runtime.capacity(spec.runtime)
            health = await self._router.health()
            await self._view.refresh()
        except BluegreenError as error:
            return capacity, error.message
        return capacity, "" if health.alive else health.detail or "the router does not answer"

    async def _check_before_switch(self, deployment: Deployment, began: float) -> None:
        """A verdict may be a whole interval old; the last look before the traffic moves is made at that moment."""
        green = self.monitors.get(deployment.green.id) if deployment.green else None
        if deployment.phase is Phase.SWITCHING and green is not None and green.looked_at < began:
            await green.check_now()

    async def _look_at_unseen(self) -> None:
        """A monitor that was just made has seen nothing; absent must not be read as gone."""
        for monitor in list(self.monitors.values()):
            if not monitor.seen_once:
                await monitor.look()
