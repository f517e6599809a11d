"""Performs one action through one port. Every action may be repeated: ports finish what was begun."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bluegreen.control.ports import Clock, LaunchRequest, Prober, PullProgress, TrafficRouter, WorkloadRuntime
from bluegreen.control.router_view import RouterView
from bluegreen.control.secrets import require_known
from bluegreen.domain import events as e
from bluegreen.domain.actions import (
    Action,
    CollectLogs,
    ConnectSlot,
    PrepareWorkload,
    RaiseAlert,
    RunSmokeTests,
    StartWorkload,
    StopWorkload,
    SwitchTraffic,
)
from bluegreen.domain.deployment import Deployment
from bluegreen.domain.errors import AdapterError, BluegreenError
from bluegreen.domain.model import ReplicaStatus, Workload
from bluegreen.domain.pulling import worth_telling
from bluegreen.domain.service import ServiceSpec

LOG_LINES_KEPT = 40
Tell = Callable[[e.Event], Awaitable[None]]
"""Records an event while an action is under way. Never raises."""


class SmokeTestFailed(BluegreenError):
    """Not a broken adapter: green answered, and not as it should."""


def launch_request(spec: ServiceSpec, workload: Workload) -> LaunchRequest:
    """Raises RuntimeFailure when an environment value of it is lost."""
    require_known(spec.env, workload.id)
    return LaunchRequest(
        workload=workload,
        command=spec.command,
        workdir=spec.workdir,
        env=spec.env,
        stop_grace_seconds=spec.stop_grace_seconds,
        runtime=spec.runtime,
        container=spec.container,
        gpu_memory_mb=spec.gpu_memory_mb,
        gpu_sharing=spec.gpu_sharing,
    )


class Executor:
    """Turns an action into calls of ports and answers with the events that follow from it."""

    def __init__(
        self,
        *,
        runtime: WorkloadRuntime,
        router: TrafficRouter,
        prober: Prober,
        view: RouterView,
        clock: Clock,
    ) -> None:
        self.runtime = runtime
        self.router = router
        self.prober = prober
        self.view = view
        self.clock = clock

    async def perform(self, deployment: Deployment, spec: ServiceSpec, action: Action, tell: Tell) -> Sequence[e.Event]:
        """Raises BluegreenError when it did not work; whether it did is for the next observation to tell."""
        match action:
            case PrepareWorkload(workload):
                return (await self._prepare(spec, workload, tell),)
            case StartWorkload(workload):
                await self.runtime.start(launch_request(spec, workload))
                return ()
            case ConnectSlot(color, endpoints):
                await self.view.connect(deployment.service, color, endpoints)
                return ()
            case RunSmokeTests():
                return (await self._smoke(spec, action),)
            case SwitchTraffic():
                return (await self.switch(deployment.service, action),)
            case CollectLogs(workload):
                return (await self._collect(workload),)
            case StopWorkload(workload):
                await self.runtime.stop(workload.id)
                return ()
            case RaiseAlert():
                return (self._alert(deployment, action),)
        raise AdapterError(f"no one performs the action {action.name!r}")

    async def _prepare(self, spec: ServiceSpec, workload: Workload, tell: Tell) -> e.GreenPrepared:
        last = None

        async def progress(pull: PullProgress) -> None:
            nonlocal last
            told = worth_telling(last, self.clock.monotonic(), pull.received_bytes, pull.total_bytes)
            if told is not None:
                last = told
                await tell(e.ImagePulling(workload.image, pull.received_bytes, pull.total_bytes))

        prepared = await self.runtime.prepare(launch_request(spec, workload), progress)
        return e.GreenPrepared(prepared.digest, prepared.detail)

    async def switch(self, service: str, action: SwitchTraffic) -> e.TrafficSwitched:
        """Moves the traffic; the time is measured from the decision to the router's acknowledgement."""
        began = self.clock.monotonic()
        expected = None if action.expected_generation is None else {service: action.expected_generation}
        routes = await self.router.switch(
            {service: action.targets}, expected_generation=expected, durable=expected is not None
        )
        milliseconds = (self.clock.monotonic() - began) * 1000
        self.view.learn(routes)
        route = routes[service]
        return e.TrafficSwitched(route.targets, route.generation, round(milliseconds, 3))

    def _alert(self, deployment: Deployment, action: RaiseAlert) -> e.AlertRaised:
        """The event is all there is to do: appending it puts the alert into the outbox."""
        duration = action.duration_seconds
        if duration is None:
            # The wall clock may have been set back since.
            duration = round(max(0.0, self.clock.now() - deployment.requested_at), 3)
        return e.AlertRaised(
            action.alert,
            action.severity,
            action.message,
            alert_id=action.id_in(deployment.id),
            version=action.version,
            duration_seconds=duration,
            cause=action.cause,
            next_command=action.next_command,
        )

    async def _smoke(self, spec: ServiceSpec, action: RunSmokeTests) -> e.SmokePassed:
        passed = []
        for test in spec.smoke:
            for endpoint in action.endpoints:
                result = await self.prober.smoke(endpoint, test, action.workload, spec.protocol)
                if not result.ok:
                    raise SmokeTestFailed(f"{result.name}: {result.detail}")
                passed.append(f"{result.name} on {endpoint}: ok in {result.seconds:.3f} s")
        return e.SmokePassed(tuple(passed))

    async def _collect(self, workload: Workload) -> e.LogsCollected:
        status = await self.runtime.inspect(workload.id)
        lines = await self.runtime.logs(workload.id, lines=LOG_LINES_KEPT)
        replicas = status.replicas if status else ()
        return e.LogsCollected(tuple(lines), tuple(_ending(r) for r in replicas if r.exit_code is not None))


def _ending(replica: ReplicaStatus) -> str:
    return f"replica {replica.index}: {replica.exit_code}{f', {replica.ended}' if replica.ended else ''}"
