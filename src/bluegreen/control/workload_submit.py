"""A new version is submitted into the standby slot: a deployment that waits for its traffic."""

from __future__ import annotations

import json

from bluegreen.control import requests as r
from bluegreen.control import tool_requests as t
from bluegreen.control import tool_views as v
from bluegreen.control.deploying import begin
from bluegreen.control.fleet import Fleet
from bluegreen.control.planning import blue_of
from bluegreen.control.reading import read_deployment
from bluegreen.control.workload_labels import color_of, require_slot_name, require_version
from bluegreen.control.workload_lookup import SERVICE_SUFFIX, green_of
from bluegreen.domain.errors import ConfigurationError, Forbidden, Refused, UsageError
from bluegreen.domain.model import Color, ImageReference, WorkloadState
from bluegreen.domain.service import ServiceSpec
from bluegreen.domain.timespans import iso

NOTE = "submitted by hand"
_PARAMETER_OF = {
    "cpus": "cpuCores",
    "memory_mb": "memoryMb",
    "gpu_memory_mb": "gpuMemoryMb",
    "policy.approval_timeout_seconds": "maxRuntimeSeconds",
}
"""Keys of the configuration that are called something else here."""


async def submit_slot(fleet: Fleet, request: t.WorkloadSubmitRequest, spec: ServiceSpec) -> v.SubmittedView:
    """Begins a deployment that verifies the version and then waits until the switch is submitted."""
    color = color_of(request, "deployment")
    await _require_standby(fleet, spec.name, color)
    require_slot_name(request, color)
    wanted = r.DeployRequest(
        service=spec.name, image=_image(request), overrides=_overrides(fleet, request, spec), force=True, note=NOTE
    )
    try:
        deployment = await begin(fleet, wanted)
    except ConfigurationError as error:
        raise _by_parameters(error, spec) from error
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
    tag = ImageReference.parse(request.image).tag
    if "/" not in request.image and ":" not in request.image:
        tag = request.image  # A bare tag means another version of what runs, here as in a deployment.
    require_version(request, tag, f"the image is {tag!r} ({request.image})")
    return request.image


def _by_parameters(error: ConfigurationError, spec: ServiceSpec) -> UsageError:
    """The same problems, each by the name of the parameter it came in with."""
    problems = []
    for problem in error.problems:
        key, colon, text = problem.partition(": ")
        problems.append(f"{_PARAMETER_OF.get(key, key)}{colon}{text}")
    return UsageError(
        "\n".join(problems), hint=f"Nothing was started; {spec.name} runs on. Correct it and submit again"
    )


def _overrides(fleet: Fleet, request: t.WorkloadSubmitRequest, spec: ServiceSpec) -> dict[str, str]:
    _refuse_what_means_nothing(request)
    sizes = {
        "replicas": request.replicas,
        "gpus": request.gpus,
        "gpu_memory_mb": request.gpuMemoryMb,
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
    waits = str(_seconds_to_wait(request, fleet.policy.orphan_seconds))
    return {**overrides, "policy.auto_promote": "false", "policy.approval_timeout_seconds": waits}


def _seconds_to_wait(request: t.WorkloadSubmitRequest, limit: float) -> float:
    """How long the version may wait for its traffic. Whoever submits it may shorten the policy, not lengthen it:
    nobody may come back for it."""
    asked = limit if request.maxRuntimeSeconds is None else request.maxRuntimeSeconds
    if asked <= 0:
        raise UsageError(f"maxRuntimeSeconds: must be above 0, got {asked:g}", hint=f"At most {limit:g} here")
    if asked > limit:
        raise UsageError(
            f"maxRuntimeSeconds: a version may wait at most {limit:g} s for its traffic here, got {asked:g}",
            hint="Leave it out, or raise [policy] orphan_seconds; once it has the traffic there is no limit",
        )
    return asked


def _refuse_what_means_nothing(request: t.WorkloadSubmitRequest) -> None:
    """A parameter that is taken and has no effect would be a promise that is not kept."""
    if request.preemptible:
        raise UsageError("preemptible: a version of a service is never stopped to make room; leave it out")
    if request.priority is not None and not 0 <= request.priority <= 100:
        raise UsageError(f"priority: must be between 0 and 100, got {request.priority}")
