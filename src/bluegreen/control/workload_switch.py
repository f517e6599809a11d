"""The switch of a service's traffic is submitted."""

from __future__ import annotations

from bluegreen.control import requests as r
from bluegreen.control import tool_requests as t
from bluegreen.control import tool_views as v
from bluegreen.control.deploying import promote, rollback
from bluegreen.control.fleet import Fleet
from bluegreen.control.gate_rules import scope_for_traffic
from bluegreen.control.reading import read_deployment
from bluegreen.control.workload_labels import color_of, require_switch_alone, require_switch_name, require_version
from bluegreen.control.workload_lookup import SERVICE_SUFFIX, green_of
from bluegreen.control.workload_presenter import traffic_view
from bluegreen.domain.deployment import BEFORE_SWITCH, Deployment, Phase
from bluegreen.domain.errors import Refused
from bluegreen.domain.model import Workload, WorkloadState
from bluegreen.domain.timespans import iso

SWITCH_PATIENCE_SECONDS = 10.0
SWITCH_POLL_SECONDS = 0.002


async def submit_switch(fleet: Fleet, request: t.WorkloadSubmitRequest, service: str) -> v.SubmittedView:
    """Moves all traffic to the slot of the label when it is verified; says why not otherwise. Idempotent."""
    scope_for_traffic(fleet.caller, "labels.activeDeployment")
    color = color_of(request, "activeDeployment")
    require_switch_name(request, service)
    require_switch_alone(request, color)
    await fleet.view.refresh_for([service])
    route = fleet.view.route(service)
    watcher = fleet.watcher(service)
    if route is not None and route.weights.get(color) == 100:
        if watcher.last and (active := watcher.last.active):
            _require_this(request, active)
        return _switched(fleet, request, service, None, "it had the traffic already; nothing was changed")
    for deployment in reversed(list(watcher.live.values())):
        green, blue = green_of(fleet, deployment), deployment.blue
        if green.color is color and len(deployment.steps) > 1 and deployment.share < 100:
            _refuse_jump(deployment)
        if green.color is color and deployment.phase in (*BEFORE_SWITCH, Phase.SWITCHING):
            _require_this(request, green)
            done = await _promote(fleet, deployment)
            return _switched(fleet, request, service, done.switch_milliseconds, _after_switch(done))
        if blue is not None and blue.color is color and deployment.can_roll_back:
            _require_this(request, blue)
            reason = f"switched back to {color} by {fleet.caller.name}"
            back = await rollback(fleet, r.ServiceRequest(service, reason=reason))
            next_step = f"metrics_query(request_error_rate, startTime -1m); {green.id} is drained and stopped by itself"
            return _switched(fleet, request, service, back.milliseconds, next_step)
    raise Refused(
        f"labels.activeDeployment: no version of {service!r} runs in {color}, so the traffic stays where it is",
        hint=f'Submit one first: workload_submit(name {service}-{color}, labels {{"deployment": "{color}"}}), '
        "or go back to the version before: bluegreen_rollback",
    )


def _refuse_jump(deployment: Deployment) -> None:
    """A switch moves all of the traffic, a canary does not."""
    if deployment.phase not in (*BEFORE_SWITCH, Phase.SWITCHING, Phase.MONITORING):
        return
    shares = ", ".join(f"{percent} %" for percent in deployment.steps)
    approve = deployment.phase is Phase.AWAITING_APPROVAL
    raise Refused(
        f"labels.activeDeployment: {deployment.id} is a canary of {shares}, at {deployment.share} % now, and a switch "
        "would jump over its steps",
        hint=f"It goes on by itself; {'to let it begin' if approve else 'to its next share at once'}: "
        f"{'bluegreen_approve' if approve else 'bluegreen_promote'}({deployment.service})",
    )


def _require_this(request: t.WorkloadSubmitRequest, target: Workload) -> None:
    require_version(request, target.version, f"in {target.color} is {target.version!r} ({target.id})")


async def _promote(fleet: Fleet, deployment: Deployment) -> Deployment:
    """Waits until the router has acknowledged, or says why it did not move."""
    if deployment.phase is Phase.AWAITING_APPROVAL:
        try:
            await promote(fleet, r.ServiceRequest(deployment.service))
        except Refused:
            if (await read_deployment(fleet, deployment.id)).phase is Phase.AWAITING_APPROVAL:
                raise
            # Somebody else submitted the same switch at the same moment: both are told how it ended.
    elif deployment.phase is not Phase.SWITCHING:
        reason = fleet.watchers[deployment.service].reasons.get(deployment.id, str(deployment.phase))
        raise Refused(
            f"labels.activeDeployment: {green_of(fleet, deployment).id} is not verified yet ({reason})",
            hint="workload_get it until its state is running, then submit the switch again",
        )
    clock = fleet.ports.clock
    deadline = clock.monotonic() + SWITCH_PATIENCE_SECONDS
    current = deployment
    while clock.monotonic() < deadline:
        current = await read_deployment(fleet, deployment.id)
        if current.switched or current.phase not in (Phase.AWAITING_APPROVAL, Phase.SWITCHING):
            break
        await clock.sleep(SWITCH_POLL_SECONDS)
    if not current.switched:
        watcher = fleet.watchers[deployment.service]
        why = current.cause or watcher.reasons.get(deployment.id, "it takes longer than usual")
        raise Refused(
            f"labels.activeDeployment: the traffic has not moved: {why}",
            hint=f"See: bluegreen_status {deployment.service}",
        )
    return current


def _after_switch(deployment: Deployment) -> str:
    blue = deployment.blue
    if blue is None:
        return "metrics_query(request_error_rate, startTime -5m, step 10s)"
    return (
        f"metrics_query(request_error_rate, startTime -5m, step 10s); when it is well: workload_stop({blue.id}); "
        f"to go back: submit this again with activeDeployment {blue.color}"
    )


def _switched(
    fleet: Fleet, request: t.WorkloadSubmitRequest, service: str, milliseconds: float | None, next_step: str
) -> v.SubmittedView:
    route = fleet.view.route(service)
    last = fleet.watchers[service].last
    active = last.active if last else None
    return v.SubmittedView(
        id=f"{service}{SERVICE_SUFFIX}",
        name=request.name,
        state=str(WorkloadState.RUNNING),
        gpus=active.resources.gpus if active else 0,
        createdAt=iso(fleet.ports.clock.now()),
        deployment=last.id if last else "",
        next=next_step,
        route=traffic_view(service, route, milliseconds),
    )
