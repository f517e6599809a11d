"""What a deployment would be: its image, its size, its requirements. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bluegreen.control import requests as r
from bluegreen.control import views as v
from bluegreen.control.fleet import Fleet
from bluegreen.domain.access import Scope
from bluegreen.domain.analysis import questions
from bluegreen.domain.capacity import Requirement, counted, needed_text, requirements
from bluegreen.domain.deployment import Phase
from bluegreen.domain.errors import Refused, UsageError
from bluegreen.domain.images import image_allowed
from bluegreen.domain.model import Color, ImageReference, Workload
from bluegreen.domain.service import ServiceSpec
from bluegreen.domain.strategy import replicas_at, steps_of, watched_at
from bluegreen.spec.overrides import apply_overrides

PULLS = {"always": "the registry is asked", "missing": "pulled when it is not here", "never": "it must be here"}


async def blue_of(fleet: Fleet, service: str) -> Workload | None:
    """What has the traffic: by the log; with an empty one (lost, begun anew) by the route and by what runs."""
    last = fleet.watchers[service].last
    if last is not None:
        return last.active
    await fleet.view.refresh_for([service])
    route = fleet.view.route(service)
    routed = {target.workload_id for target in route.targets if target.weight > 0} if route else set()
    return next((status.workload for status in await fleet.ports.runtime.list() if status.workload.id in routed), None)


async def resolve(fleet: Fleet, request: r.PlanRequest) -> tuple[ServiceSpec, str, Workload | None]:
    """The spec green will run by, the full image reference, and blue. Raises UsageError, UnknownName."""
    spec = fleet.spec(request.service)
    blue = await blue_of(fleet, request.service)
    if blue is not None:
        # The same size as what it replaces: only an override changes it in the course of a deployment.
        spec = replace(spec, replicas=blue.replicas, resources=blue.resources)
    spec = apply_overrides(spec, request.overrides)
    image = request.image or spec.image
    if not image:
        raise UsageError(
            f"image: services.{spec.name}.image is not set and no image was given",
            hint=f"bluegreen deploy {spec.name} --image repository:tag",
        )
    if "/" not in image and ":" not in image and blue is not None:
        # A bare tag means another version of what runs.
        image = f"{ImageReference.parse(blue.image).repository}:{image}"
    image = str(ImageReference.parse(image))
    if not image_allowed(image, fleet.policy.images):
        raise Refused(
            f"image: {image} is not on the list of allowed images",
            hint=f"[policy] images allows: {', '.join(fleet.policy.images or ())}",
        )
    return spec, image, blue


def sizes_as_overrides(declared: ServiceSpec, wanted: ServiceSpec) -> dict[str, str]:
    """What must be remembered so that a deployment of another size than the file says stays that size."""
    pairs = {
        "replicas": (declared.replicas, wanted.replicas),
        "gpus": (declared.resources.gpus, wanted.resources.gpus),
        "cpus": (declared.resources.cpus, wanted.resources.cpus),
        "memory_mb": (declared.resources.memory_mb, wanted.resources.memory_mb),
    }
    return {key: str(value) for key, (default, value) in pairs.items() if value != default}


async def _requirements(
    fleet: Fleet, spec: ServiceSpec, blue: Workload | None, steps: Sequence[int]
) -> list[Requirement]:
    """Checked as preflight will check them; a retained workload counts as room, for it goes first."""
    observer, watcher = fleet.observers[spec.name], fleet.watchers[spec.name]
    capacity, problem = await observer.requirements(spec)
    retained = next((w for w, _ in watcher.held() if blue is not None and w.id != blue.id), None)
    seen = observer.snapshot(capacity=capacity, router_problem=problem)
    return requirements(spec, blue, seen, retained, steps=steps)


async def plan(fleet: Fleet, request: r.PlanRequest) -> v.PlanView:
    """What a deployment would do, and whether its requirements hold: capacity, health check, state, router. Changes
    nothing. Use it before bluegreen_deploy; when `possible` is false, `requirements` says what is missing."""
    spec, image, blue = await resolve(fleet, request)
    shares = steps_of(request.strategy, spec.canary, first_deployment=blue is None)
    declared = fleet.spec(request.service)
    checks = await _requirements(fleet, spec, blue, shares)
    color = blue.color.other if blue else Color.BLUE
    notes = []
    if blue is not None and blue.image == image:
        notes.append(f"{image} is what runs already: deploy refuses it without --force")
    for key, value in sizes_as_overrides(declared, spec).items():
        if key not in request.overrides:
            configured = getattr(declared, key, None) or getattr(declared.resources, key, None)
            notes.append(f"{key}: {value} as {blue.id if blue else 'now'} has; the file says {configured}")
    for deployment in fleet.watchers[spec.name].live.values():
        if deployment.phase is Phase.RETAINING:
            notes.append(f"the retained {deployment.blue.id if deployment.blue else ''} is retired first")
    policy = spec.policy
    replicas = replicas_at(shares[0], spec.replicas)
    goes_on = policy.auto_promote and fleet.caller.scope.includes(Scope.SWITCH)
    asked = [f"{analysis.name} every {analysis.interval_seconds:g} s" for analysis in questions(spec)]
    steps = (
        *((f"get {image} ({PULLS[spec.container.pull]}) and pin what it means",) if spec.runtime == "docker" else ()),
        f"start {image} as {color}: {counted(replicas, 'replica')} ({needed_text(spec.resources)})",
        f"verify {color}: health of every replica, {counted(len(spec.smoke), 'smoke test')}",
        *(() if goes_on else (f"wait for: bluegreen promote {spec.name}",)),
        *(step for number in range(len(shares)) for step in _share_steps(spec, color, shares, number)),
        *((f"ask meanwhile: {', '.join(asked)}",) if asked else ()),
        *((f"keep {blue.color} for {policy.retain_seconds:g} s, then drain and stop it",) if blue else ()),
    )
    return v.PlanView(
        service=spec.name,
        image=image,
        strategy=request.strategy,
        possible=all(check.met for check in checks),
        requirements=tuple(v.RequirementView(check.name, check.met, check.detail) for check in checks),
        steps=steps,
        notes=tuple(notes),
        green_color=str(color),
        replicas=spec.replicas,
        resources=spec.resources,
    )


def _share_steps(spec: ServiceSpec, color: Color, shares: Sequence[int], number: int) -> Iterator[str]:
    """What happens at one of green's shares: it grows, gets the share, and is watched."""
    share, policy = shares[number], watched_at(shares[number], spec).policy
    replicas = replicas_at(share, spec.replicas)
    more = replicas - replicas_at(shares[number - 1], spec.replicas) if number else 0
    if more:
        yield f"start {counted(more, 'more replica')} of {color} and verify {'it' if more == 1 else 'them'}"
    yield f"switch {share} % of the traffic to {color}"
    worse = " and more than the old version has at the same time" if share < 100 else ""
    limit = f"more than {policy.max_error_rate:.1%} errors{worse} roll it back"
    yield f"watch it for {policy.monitor_seconds:g} s; {limit}"
