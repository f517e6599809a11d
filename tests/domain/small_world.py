"""A world small enough to walk through completely: one service, one deployment, everything that can go wrong.

A state is a deployment and the few facts about the world that `reconcile` looks at. `moves` lists every
next state: what the plan does when it works, and, as long as the budget of disturbances lasts, each way
in which it can fail, be interrupted by a crash, or be crossed by a person or by the world.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from bluegreen.domain import events as e
from bluegreen.domain.actions import (
    Action,
    CollectLogs,
    ConnectSlot,
    RaiseAlert,
    RunSmokeTests,
    StartWorkload,
    StopWorkload,
    SwitchTraffic,
)
from bluegreen.domain.deployment import BEFORE_SWITCH, Deployment, Phase, apply, requested, route_of
from bluegreen.domain.errors import IllegalEvent
from bluegreen.domain.health import Health, ReplicaHealth, WorkloadHealth
from bluegreen.domain.model import (
    Capacity,
    Color,
    Endpoint,
    ReplicaStatus,
    Resources,
    Route,
    SlotTraffic,
    Workload,
    WorkloadState,
    WorkloadStatus,
)
from bluegreen.domain.observation import Observation
from bluegreen.domain.reconcile import reconcile
from bluegreen.domain.service import Canary, HealthCheck, Policy, ServiceSpec, SmokeTest
from bluegreen.domain.strategy import steps_of
from bluegreen.domain.watch import Watch, Yardstick, yardstick

SPEC = ServiceSpec(
    name="app",
    hosts=("*",),
    command=("serve",),
    health=HealthCheck(deadline_seconds=60),
    smoke=(SmokeTest(name="smoke-1", method="GET", path="/"),),
    policy=Policy(monitor_seconds=300, retain_seconds=900, drain_timeout_seconds=60, min_requests=10),
)
BLUE = Workload("app-blue-1", "app", Color.BLUE, "app:v1", "v1", 1, Resources())
LONG = 1e9
TRAFFIC: dict[str, SlotTraffic | None] = {
    "unknown": None,
    "silent": SlotTraffic(0, 0, 0),
    "good": SlotTraffic(1000, 0, 0),
    "bad": SlotTraffic(1000, 900, 0),
    "streaming": SlotTraffic(1000, 0, 3),
    "both bad": SlotTraffic(1000, 900, 0),
}
CANARY = replace(SPEC, replicas=2, canary=Canary(steps=(40, 100), observe_seconds=60))
"""A first step with one replica of green, and a second one for which it grows to two."""


@dataclass(frozen=True)
class World:
    deployment: Deployment
    route: Route
    blue_runs: bool = True
    blue_health: Health = Health.HEALTHY
    green_runs: bool = False
    green_health: Health = Health.UNKNOWN
    green_was_verified: bool = False
    green_size: int = 1
    """Replicas of green that run, while it runs."""
    proven: int = 1
    """How many of them have passed a health check since they were added."""
    green_connected: int = 1
    """Replicas of green that the router knows, when it is connected."""
    connected: frozenset[Color] = frozenset({Color.BLUE})
    traffic: str = "good"
    late: bool = False
    """Every deadline of this phase has passed."""
    rollback_acknowledged: bool = False
    person_accepted: bool = False
    budget: int = 0
    """How many disturbances may still happen."""


def first(*, budget: int, spec: ServiceSpec = SPEC, first_deployment: bool = False, canary: bool = False) -> World:
    blue = None if first_deployment else BLUE
    strategy = "canary" if canary else "blue-green"
    steps = steps_of(strategy, spec.canary)
    event = e.DeploymentRequested("app:v2", strategy, steps, "test", blue=blue, generation=1)
    route = Route("app", 1, () if blue is None else route_of(blue))
    return World(requested("app-x", "app", 0.0, event), route, blue_runs=blue is not None, budget=budget)


def observe(world: World) -> Observation:
    d = world.deployment
    workloads, health = {}, {}
    for workload, runs, verdict in (
        (d.blue, world.blue_runs, world.blue_health),
        (d.green, world.green_runs, world.green_health),
    ):
        if workload is None or not runs:
            continue
        size = world.green_size if workload is d.green else 1
        replicas = tuple(
            ReplicaStatus(index, WorkloadState.RUNNING, _endpoint(workload.color, index), pid=1, listening=True)
            for index in range(size)
        )
        workloads[workload.id] = WorkloadStatus(replace(workload, replicas=size), WorkloadState.RUNNING, replicas)
        health[workload.id] = WorkloadHealth(
            tuple(
                ReplicaHealth(verdict if index < world.proven else Health.UNKNOWN, checks=1, last_detail="seen")
                for index in range(min(workload.replicas, size))
            )
        )
    counted = TRAFFIC[world.traffic]
    return Observation(
        elapsed_seconds=LONG if world.late else 0.0,
        workloads=workloads,
        health=health,
        traffic=None if counted is None else dict.fromkeys(Color, counted),
        watch=None if counted is None else _watch(counted, d, both_bad=world.traffic == "both bad"),
        route=world.route,
        connected={color: _connected(world, color) for color in Color},
        capacity=Capacity(Resources(0, 4, 4096), Resources()),
    )


def _connected(world: World, color: Color) -> tuple[Endpoint, ...]:
    size = world.green_connected if world.deployment.green and world.deployment.green.color is color else 1
    return tuple(_endpoint(color, index) for index in range(size)) if color in world.connected else ()


def _watch(counted: SlotTraffic, d: Deployment, *, both_bad: bool) -> Watch | None:
    if d.phase is not Phase.MONITORING and not (d.phase is Phase.SWITCHING and d.switched):
        return None
    by = yardstick(SPEC.policy, d.baseline, concurrent=len(d.steps) > 1)
    return _watched(counted, by, 1000 * d.step_index, 900 if both_bad else 0, shared=d.shares_traffic)


@cache
def _watched(counted: SlotTraffic, by: Yardstick, before: int, blue_errors: int, *, shared: bool) -> Watch:
    """What green answered comes on top of what it had answered before the step."""
    watch = Watch(by, before_step=before).after(0.0, SlotTraffic(before), SlotTraffic(), concurrent=shared)
    green = replace(counted, requests=counted.requests + before)
    return watch.after(1.0, green, SlotTraffic(1000, blue_errors), concurrent=shared)


def _endpoint(color: Color, index: int = 0) -> Endpoint:
    return Endpoint("127.0.0.1", (1001 if color is Color.BLUE else 1002) + 10 * index)


def happened(world: World, *events: e.Event) -> World:
    """The world after these were recorded."""
    for event in events:
        before = world.deployment.phase
        world = replace(world, deployment=apply(world.deployment, 0.0, event))
        if world.deployment.phase is not before or isinstance(event, e.GreenGrown):
            world = replace(world, late=False)
        if isinstance(event, e.Verified | e.ApprovalNeeded):
            world = replace(world, green_was_verified=True)
        if isinstance(event, e.Promoted):
            world = replace(world, person_accepted=True)
    return world


def calm_move(world: World, spec: ServiceSpec = SPEC) -> World:
    """What happens when nothing is in the way; time passes when there is nothing to do."""
    plan = reconcile(world.deployment, spec, observe(world))
    rollback = next((event for event in plan.events if isinstance(event, e.RollbackRequested)), None)
    if rollback is not None and rollback.automatic:
        return switch_back(world, rollback.cause)
    moved = happened(world, *plan.events)
    for action in plan.actions:
        moved = happened(took_effect(moved, action), *_reported(moved, action))
    if moved == world:
        if world.green_runs and world.proven < world.green_size:
            return replace(world, proven=world.green_size)
        moved = replace(world, late=True)
        if world.green_runs and world.green_health is Health.UNKNOWN:
            moved = replace(world, green_health=Health.HEALTHY)
    return moved


def moves(world: World, spec: ServiceSpec = SPEC, *, hard: bool = False) -> Iterator[World]:
    """Every state that can follow. `hard`: traffic and health stay as they are; what fails, is interrupted by a crash,
    is commanded or dies is all that disturbs."""
    if world.deployment.phase.terminal:
        return
    yield calm_move(world, spec)
    if not world.late:
        yield replace(world, late=True)
    if world.budget == 0:
        return
    poorer = replace(world, budget=world.budget - 1)
    plan = reconcile(world.deployment, spec, observe(world))
    for event in plan.events:
        if isinstance(event, e.RollbackRequested) and event.automatic:
            # Crash after the switch and before its record.
            yield replace(poorer, route=_next_route(poorer, BLUE), rollback_acknowledged=True)
    for action in plan.actions:
        yield from _interrupted(poorer, action)
    yield from _crossed_by_people(poorer)
    yield from _deaths(poorer)
    if not hard:
        yield from _crossed_by_the_world(poorer)


def _interrupted(world: World, action: Action) -> Iterator[World]:
    started = () if action.quiet else (e.ActionStarted(action.name),)
    failed = () if action.quiet else (e.ActionFailed(action.name, "boom"),)
    yield happened(world, *started, *failed)
    yield happened(took_effect(world, action), *started, *failed)
    yield happened(world, *started)
    yield happened(took_effect(world, action), *started)


def _crossed_by_people(world: World) -> Iterator[World]:
    for command in (e.Promoted("person"), e.AbortRequested("person")):
        try:
            crossed = happened(world, command)
        except IllegalEvent:
            continue
        yield crossed
    d = world.deployment
    if d.can_roll_back and world.blue_runs:
        yield switch_back(world, "asked for")
        # The daemon was dead, or its disk full: the route moved and the log does not know.
        yield replace(world, route=_next_route(world, BLUE), rollback_acknowledged=True)


def _crossed_by_the_world(world: World) -> Iterator[World]:
    for traffic in TRAFFIC:
        if traffic != world.traffic and (traffic != "both bad" or len(world.deployment.steps) > 1):
            yield replace(world, traffic=traffic)
    if world.green_runs:
        yield replace(world, green_health=Health.UNHEALTHY)
        yield replace(world, green_health=Health.UNKNOWN)
    if world.blue_runs:
        yield replace(world, blue_health=Health.UNHEALTHY)


def _deaths(world: World) -> Iterator[World]:
    if world.green_runs:
        yield replace(world, green_runs=False)
    if world.blue_runs:
        yield replace(world, blue_runs=False)


def switch_back(world: World, cause: str) -> World:
    """As the watcher does it: the traffic first, then both events at once."""
    route = _next_route(world, BLUE)
    switched = replace(world, route=route, rollback_acknowledged=True)
    events = (e.RollbackRequested(cause, "test", True), e.TrafficSwitched(route.targets, route.generation, 1.0))
    return happened(switched, *events)


def _next_route(world: World, workload: Workload) -> Route:
    return Route("app", world.route.generation + 1, route_of(workload))


def took_effect(world: World, action: Action) -> World:
    """The world after the action was carried out, whatever is recorded of it."""
    match action:
        case StartWorkload(workload) if world.green_runs:
            return replace(world, green_size=max(world.green_size, workload.replicas))
        case StartWorkload(workload):
            size = workload.replicas
            return replace(world, green_runs=True, green_health=Health.UNKNOWN, green_size=size, proven=size)
        case ConnectSlot(color, endpoints):
            changed = world.connected | {color} if endpoints else world.connected - {color}
            known = len(endpoints) if color is Color.GREEN and endpoints else world.green_connected
            return replace(world, connected=changed, green_connected=known)
        case SwitchTraffic(targets, expected):
            if expected is not None and expected != world.route.generation:
                return world
            back = targets == route_of(BLUE)
            return replace(
                world,
                route=Route("app", world.route.generation + 1, targets),
                rollback_acknowledged=world.rollback_acknowledged or back,
            )
        case StopWorkload(workload):
            if workload.color is Color.BLUE and workload.id == BLUE.id:
                return replace(world, blue_runs=False)
            return replace(world, green_runs=False)
    return world


def _reported(world: World, action: Action) -> tuple[e.Event, ...]:
    started, succeeded = e.ActionStarted(action.name), e.ActionSucceeded(action.name)
    match action:
        case ConnectSlot():
            return ()
        case RaiseAlert(name, severity, message):
            return (e.AlertRaised(name, severity, message, alert_id=action.id_in(world.deployment.id)),)
        case RunSmokeTests():
            return (started, succeeded, e.SmokePassed())
        case CollectLogs():
            return (started, succeeded, e.LogsCollected(("last words",)))
        case SwitchTraffic(_, expected) if expected is not None and expected != world.route.generation:
            return (started, e.ActionFailed(action.name, "stale"))
        case SwitchTraffic(targets, _):
            return (started, succeeded, e.TrafficSwitched(targets, world.route.generation + 1))
    return (started, succeeded)


__all__ = ["BEFORE_SWITCH", "BLUE", "SPEC", "Phase", "World", "calm_move", "first", "moves"]
