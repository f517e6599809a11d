"""What a submitted workload means: a new version in the standby slot, or the switch of a service's traffic."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bluegreen.control import requests as r
from bluegreen.control import tool_requests as t
from bluegreen.control import tool_views as v
from bluegreen.control.deploying import begin, promote, rollback
from bluegreen.control.fleet import Fleet
from bluegreen.control.gate_rules import scope_for_traffic
from bluegreen.control.planning import blue_of
from bluegreen.control.reading import read_deployment
from bluegreen.control.workload_lookup import SERVICE_SUFFIX, green_of
from bluegreen.control.workload_presenter import traffic_view
from bluegreen.domain.deployment import BEFORE_SWITCH, Deployment, Phase
from bluegreen.domain.errors import Forbidden, Refused, UsageError
from bluegreen.domain.model import Color, ImageReference, WorkloadState
from bluegreen.domain.timespans import iso

SWITCH_PATIENCE_SECONDS = 10.0
SWITCH_POLL_SECONDS = 0.002
NOTE = "submitted by hand"


def is_switch(request: t.WorkloadSubmitRequest) -> bool:
    return "activeDeployment" in request.labels or (
        request.name.endswith(SERVICE_SUFFIX) and "deployment" not in request.labels
    )


def service_of(request: t.WorkloadSubmitRequest) -> str:
    """The label `app`, else what the name says."""
    if app := request.labels.get("app"):
        return app
    for ending in (SERVICE_SUFFIX, "-blue", "-green"):
        if request.name.endswith(ending):
            return request.name.removesuffix(ending)
    raise UsageError(
        "labels.app: is missing, so nobody knows which service this belongs to",
        hint='For a new version: labels {"app": SERVICE, "deployment": "green"}; '
        'for the switch: name SERVICE-service, labels {"app": SERVICE, "activeDeployment": "green"}',
    )


def _color(labels: Mapping[str, str], key: str) -> Color:
    if labels.get(key) not in tuple(Color):
        raise UsageError(f"labels.{key}: must be blue or green, got {labels.get(key)!r}")
    return Color(labels[key])


# -- a new version -----------------------------------------------------------------------------------------------------


async def submit_slot(fleet: Fleet, request: t.WorkloadSubmitRequest, service: str) -> v.SubmittedView:
    """Begins a deployment that verifies the version and then waits until the switch is submitted."""
    spec = fleet.spec(service)
    color = _color(request.labels, "deployment")
    await _require_standby(fleet, service, color)
    deployment = await begin(
        fleet,
        r.DeployRequest(
            service=service,
            image=_image(request),
            overrides=_overrides(fleet, request),
            force=True,
            note=NOTE,
        ),
    )
    green = green_of(fleet, await read_deployment(fleet, deployment.id))
    return v.SubmittedView(
        id=green.id,
        name=request.name,
        state=str(WorkloadState.PENDING),
        gpus=green.resources.gpus,
        createdAt=iso(deployment.requested_at),
        deployment=deployment.id,
        next=f"workload_get({green.id}) until its state is running; then metrics_query(health_check_success) and the "
        f"switch: workload_submit(name {spec.name}{SERVICE_SUFFIX}, labels app and activeDeployment {color})",
    )


async def _require_standby(fleet: Fleet, service: str, color: Color) -> None:
    blue = await blue_of(fleet, service)
    expected = blue.color.other if blue else Color.BLUE
    if color is expected:
        return
    if blue is None:
        raise Refused(
            f"labels.deployment: {service!r} has no version yet, and the first one is blue",
            hint='Submit it with labels {"deployment": "blue"}',
        )
    raise Refused(
        f"labels.deployment: {color} has the traffic of {service!r} ({blue.image}), so a new version can't go there",
        hint=f'Submit it with labels {{"deployment": "{expected}"}}',
    )


def _image(request: t.WorkloadSubmitRequest) -> str:
    if not request.image:
        raise UsageError(
            "image: is missing", hint="Write it as repository:tag, for example registry/inference-model:v2.0"
        )
    image = ImageReference.parse(request.image)
    version = request.labels.get("version")
    if version is not None and version.removeprefix("v") != image.tag.removeprefix("v"):
        raise UsageError(
            f"labels.version: is {version!r}, and the image is {image.tag!r} ({image})",
            hint="Give both the same version, or leave the label out",
        )
    return str(image)


def _overrides(fleet: Fleet, request: t.WorkloadSubmitRequest) -> dict[str, str]:
    spec = fleet.spec(service_of(request))
    env = request.labels.get("env")
    if env is not None and env != spec.environment:
        raise UsageError(f"labels.env: {spec.name!r} is of environment {spec.environment!r}, not {env!r}")
    _refuse_what_means_nothing(request)
    sizes = {
        "replicas": request.replicas,
        "gpus": request.gpus,
        "cpus": request.cpuCores,
        "memory_mb": request.memoryMb,
    }
    overrides = {key: str(value) for key, value in sizes.items() if value is not None}
    if (request.command is not None or request.args is not None or request.env) and not fleet.caller.may_run_commands:
        given = next(name for name in ("command", "args", "env") if getattr(request, name))
        raise Forbidden(
            f"{given}: {fleet.caller.name} may run only what the configuration of {spec.name!r} says",
            hint="Leave it out, or use a token made with --commands",
        )
    if request.command is not None or request.args is not None:
        program = spec.command if request.command is None else request.command
        overrides["command"] = json.dumps([*program, *(request.args or ())])
    overrides |= {f"env.{name}": value for name, value in (request.env or {}).items()}
    own = ("app", "env", "deployment", "version", "name")
    overrides |= {f"labels.{key}": value for key, value in request.labels.items() if key not in own}
    overrides["labels.name"] = request.name
    waits = fleet.policy.orphan_seconds if request.maxRuntimeSeconds is None else request.maxRuntimeSeconds
    return {**overrides, "policy.auto_promote": "false", "policy.approval_timeout_seconds": str(waits)}


def _refuse_what_means_nothing(request: t.WorkloadSubmitRequest) -> None:
    """A parameter that is taken and has no effect would be a promise that is not kept."""
    if request.preemptible:
        raise UsageError("preemptible: a version of a service is never stopped to make room; leave it out")
    if request.priority is not None and not 0 <= request.priority <= 100:
        raise UsageError(f"priority: must be between 0 and 100, got {request.priority}")
    if request.gpuMemoryMb is not None:
        raise UsageError(
            "gpuMemoryMb: GPUs are given out whole here, so their memory can't be asked for; leave it out",
            hint="Ask for whole GPUs with gpus",
        )
    if request.maxRuntimeSeconds is not None and request.maxRuntimeSeconds <= 0:
        raise UsageError(f"maxRuntimeSeconds: must be above 0, got {request.maxRuntimeSeconds:g}")


# -- the switch --------------------------------------------------------------------------------------------------------


async def submit_switch(fleet: Fleet, request: t.WorkloadSubmitRequest, service: str) -> v.SubmittedView:
    """Moves all traffic to the slot of the label when it is verified; says why not otherwise. Idempotent."""
    fleet.spec(service)
    scope_for_traffic(fleet.caller, "activeDeployment")
    color = _color(request.labels, "activeDeployment")
    _refuse_extra(request)
    await fleet.view.refresh_for([service])
    route = fleet.view.route(service)
    watcher = fleet.watcher(service)
    if route is not None and route.weights.get(color) == 100:
        return _switched(fleet, request, service, None, "it had the traffic already; nothing was changed")
    for deployment in reversed(list(watcher.live.values())):
        green, blue = green_of(fleet, deployment), deployment.blue
        if green.color is color and deployment.phase in (*BEFORE_SWITCH, Phase.SWITCHING):
            done = await _promote(fleet, deployment)
            return _switched(fleet, request, service, done.switch_milliseconds, _after_switch(done))
        if blue is not None and blue.color is color and deployment.can_roll_back:
            reason = f"switched back to {color} by {fleet.caller.name}"
            back = await rollback(fleet, r.ServiceRequest(service, reason=reason))
            next_step = f"metrics_query(request_error_rate, startTime -1m); {green.id} is drained and stopped by itself"
            return _switched(fleet, request, service, back.milliseconds, next_step)
    raise Refused(
        f"labels.activeDeployment: no version of {service!r} runs in {color}, so the traffic stays where it is",
        hint=f'Submit one first: workload_submit(name {service}-{color}, labels {{"deployment": "{color}"}}), '
        "or go back to the version before: bluegreen_rollback",
    )


def _refuse_extra(request: t.WorkloadSubmitRequest) -> None:
    """A switch has no image: whoever gives one means something else."""
    if request.image or request.gpus or request.command or request.replicas:
        raise UsageError(
            "labels.activeDeployment: a switch takes name and labels only; it starts nothing",
            hint='For a new version use labels {"deployment": "green"} instead',
        )


async def _promote(fleet: Fleet, deployment: Deployment) -> Deployment:
    """Waits until the router has acknowledged, or says why it did not move."""
    if deployment.phase is Phase.AWAITING_APPROVAL:
        await promote(fleet, r.ServiceRequest(deployment.service))
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
