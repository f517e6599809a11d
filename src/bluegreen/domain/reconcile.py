"""From what is seen to what to do. Pure: the same deployment and observation give the same plan.

Each phase has one function. A plan's events are facts that were decided here; its actions are performed
by the executor, which records how they ended. Nothing here assumes that an action worked: the next
observation tells.
"""

from __future__ import annotations

from dataclasses import replace

from bluegreen.domain import events as e
from bluegreen.domain.actions import Action, Plan, PrepareWorkload, RunSmokeTests, StartWorkload
from bluegreen.domain.alert_texts import awaiting_approval
from bluegreen.domain.capacity import requirements
from bluegreen.domain.deployment import Deployment, Phase
from bluegreen.domain.health import Health
from bluegreen.domain.model import Color, Workload
from bluegreen.domain.observation import Observation
from bluegreen.domain.reconcile_after import reconcile_cleaning_up, reconcile_rolling_back
from bluegreen.domain.reconcile_switch import connect_slot, reconcile_switching, untouched
from bluegreen.domain.reconcile_watch import reconcile_monitoring, reconcile_retaining
from bluegreen.domain.service import HealthCheck, ServiceSpec
from bluegreen.domain.strategy import replicas_at, watched_at
from bluegreen.domain.text import size_text

PREPARED_RUNTIMES = frozenset({"docker"})
"""Where something must be got before anything is started: an image."""
ROUTER_PATIENCE_SECONDS = 3.0
"""How long preflight waits for a router that is just being started again."""


def reconcile(deployment: Deployment, spec: ServiceSpec, observation: Observation) -> Plan:
    """What to record and do next."""
    spec = watched_at(deployment.share, spec)
    match deployment.phase:
        case Phase.PREFLIGHT:
            return _preflight(deployment, spec, observation)
        case Phase.STARTING:
            return _starting(deployment, spec, observation)
        case Phase.VERIFYING:
            return _verifying(deployment, spec, observation)
        case Phase.AWAITING_APPROVAL:
            return _awaiting_approval(deployment, spec, observation)
        case Phase.SWITCHING:
            return reconcile_switching(deployment, spec, observation)
        case Phase.MONITORING:
            return reconcile_monitoring(deployment, spec, observation)
        case Phase.RETAINING:
            return reconcile_retaining(deployment, spec, observation)
        case Phase.CLEANING_UP:
            return reconcile_cleaning_up(deployment, spec, observation)
        case Phase.ROLLING_BACK:
            return reconcile_rolling_back(deployment, spec, observation)
        case _:
            return Plan("ended")


def green_of(deployment: Deployment) -> Workload:
    """The workload of a deployment that has passed preflight."""
    assert deployment.green is not None, f"deployment {deployment.id} passed preflight without a workload"
    return deployment.green


def _failing(cause: str) -> Plan:
    return Plan(cause, events=(e.DeploymentFailing(cause),))


def planned_green(
    deployment_id: str, image: str, version: str, blue: Workload | None, spec: ServiceSpec, percent: int
) -> Workload:
    """The workload a deployment will start: the other color, with the labels every workload has, and as many replicas
    as its first share of the traffic (`percent`) needs."""
    color = blue.color.other if blue else Color.BLUE
    return Workload(
        id=f"{spec.name}-{color}-{deployment_id.rsplit('-', 1)[-1]}",
        service=spec.name,
        color=color,
        image=image,
        version=version,
        replicas=replicas_at(percent, spec.replicas),
        resources=spec.resources,
        labels={
            **spec.labels,
            "app": spec.name,
            "env": spec.environment,
            "deployment": str(color),
            "version": version,
        },
    )


def _preflight(d: Deployment, spec: ServiceSpec, seen: Observation) -> Plan:
    if seen.router_problem and seen.elapsed_seconds < ROUTER_PATIENCE_SECONDS:
        return Plan(f"waiting for the router: {seen.router_problem}")
    green = planned_green(d.id, d.image, d.image.rpartition(":")[2], d.blue, spec, d.steps[0])
    occupant = seen.occupant(green.color)
    retained = occupant.workload if occupant else None
    checks = requirements(spec, d.blue, seen, retained, steps=d.steps)
    unmet = [f"{check.name}: {check.detail}" for check in checks if not check.met]
    if unmet:
        return _failing("requirements not met: " + "; ".join(unmet))
    if spec.runtime in PREPARED_RUNTIMES and e.GreenPrepared.kind not in d.seen:
        if d.failures.get(PrepareWorkload.name):
            return _failing(f"nothing was started{untouched(d)}: {d.last_error[PrepareWorkload.name]}")
        return Plan(f"getting {d.image}{_pulled(d)}", actions=(PrepareWorkload(replace(green, digest=d.digest)),))
    green = replace(green, digest=d.digest)
    found = next((check.detail for check in checks if check.name == "running version identified"), "first deployment")
    passed = e.PreflightPassed(
        green=green,
        checks=(
            *(f"{check.name}: {check.detail}" for check in checks),
            *((f"the image: {d.prepared}",) if d.prepared else ()),
        ),
        blue_found=found,
    )
    return Plan("all requirements are met", events=(passed,))


def _pulled(d: Deployment) -> str:
    received, total = d.pulled or (0, 0)
    return f": {100 * received // total} % of {size_text(total)}" if total else ""


def _starting(d: Deployment, spec: ServiceSpec, seen: Observation) -> Plan:
    green = green_of(d)
    if d.failures.get(StartWorkload.name):
        problem = d.last_error[StartWorkload.name]
        return _failing(f"{green.color} of '{d.service}' could not be started: {problem}{untouched(d)}")
    occupants = [
        status.workload.id
        for status in seen.workloads.values()
        if status.workload.color is green.color and status.workload.id != green.id
    ]
    if occupants:
        return Plan(f"waiting for the retained {', '.join(occupants)} to drain and stop")
    # A start that was cut short may have left a part of it: only one that came to its end counts.
    if seen.status(green) is not None and f"done:{StartWorkload.name}" in d.seen:
        return Plan(f"{green.label} is started", events=(e.GreenStarted(tuple(map(str, seen.endpoints(green)))),))
    return Plan(f"starting {green.image} as {green.color}", actions=(StartWorkload(green),))


def _broken(d: Deployment, spec: ServiceSpec, seen: Observation) -> str:
    """Why green will not become healthy any more; empty while it may."""
    green = green_of(d)
    status = seen.status(green)
    if status is None:
        return f"{green.id} disappeared"
    for replica in status.replicas:
        if replica.error:
            return f"replica {replica.index} could not run: {replica.error}"
    if seen.restarts_in_phase(green) > spec.policy.max_restarts:
        codes = ", ".join(str(r.exit_code) for r in status.replicas if r.exit_code is not None)
        ends = seen.ends_in_phase(green)
        return f"crash loop: {status.restarts} restarts (last exit code: {codes or 'unknown'}){ends}"
    return ""


def _verifying(d: Deployment, spec: ServiceSpec, seen: Observation) -> Plan:
    green = green_of(d)
    check = spec.health or HealthCheck()
    if broken := _broken(d, spec, seen):
        return _failing(f"{green.color} of '{d.service}' did not become healthy: {broken}{untouched(d)}")
    if d.failures.get(RunSmokeTests.name):
        return _failing(f"smoke test failed: {d.last_error[RunSmokeTests.name]}{untouched(d)}")
    health = seen.health_of(green)
    if health.verdict is not Health.HEALTHY or len(seen.endpoints(green)) < green.replicas:
        if seen.elapsed_seconds > check.deadline_seconds:
            return _failing(
                f"{green.color} of '{d.service}' was not healthy within {check.deadline_seconds:g} s "
                f"({health.summary}){untouched(d)}"
            )
        return Plan(f"waiting for {green.label} to be healthy: {health.summary}")
    if e.HealthPassed.kind not in d.seen:
        return Plan(f"{green.label} is healthy", events=(e.HealthPassed(health.summary),))
    if spec.smoke and e.SmokePassed.kind not in d.seen:
        return Plan("running smoke tests", actions=(RunSmokeTests(green, seen.endpoints(green)),))
    if (connect := connect_slot(green, seen)) is not None:
        return Plan(f"telling the router where {green.label} is", actions=(connect,))
    if spec.policy.auto_promote:
        return Plan(f"{green.label} is verified", events=(e.Verified(),))
    return Plan(f"{green.label} is verified and waits for a person", events=(e.ApprovalNeeded(),))


def _awaiting_approval(d: Deployment, spec: ServiceSpec, seen: Observation) -> Plan:
    green = green_of(d)
    if broken := _broken(d, spec, seen):
        return _failing(f"{green.label} broke while waiting for approval: {broken}{untouched(d)}")
    limit = spec.policy.approval_timeout_seconds
    if limit and seen.elapsed_seconds > limit:
        expired = f"nobody let {green.label} have the traffic within {limit:g} s{untouched(d)}"
        return Plan(expired, events=(e.AbortRequested("bluegreen", expired),))
    connect = connect_slot(green, seen)
    actions: tuple[Action, ...] = (connect,) if connect else ()
    alert = awaiting_approval(d, limit)
    if f"alert:{alert.id_in(d.id)}" not in d.seen:
        actions = (*actions, alert)
    if not seen.is_healthy(green):
        return Plan(f"{green.label} is not healthy now: {seen.health_of(green).summary}", actions=actions)
    left = f" and waits {max(limit - seen.elapsed_seconds, 0):.0f} s more, then it is stopped" if limit else ""
    ready = f"{green.label} is ready{left}; let it have the traffic with: bluegreen promote {d.service}"
    return Plan(ready, actions=actions)
