"""The use cases that change a deployment: begin, approve, promote, abort, roll back."""

from __future__ import annotations

import secrets
from dataclasses import replace

from bluegreen.control import requests as r
from bluegreen.control import views as v
from bluegreen.control.fleet import Fleet
from bluegreen.control.planning import resolve, sizes_as_overrides
from bluegreen.control.presenter import deployment_view
from bluegreen.control.reading import read_history
from bluegreen.control.watcher import ServiceWatcher
from bluegreen.domain import events as e
from bluegreen.domain.access import Scope, override_problem
from bluegreen.domain.deployment import BEFORE_SWITCH, Deployment, Phase
from bluegreen.domain.errors import Forbidden, IllegalEvent, Refused, UsageError
from bluegreen.domain.strategy import steps_of

ID_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
"""No letters or digits that look like another: ids are read aloud at night."""


LONGEST_TEXT = 1000
"""Of a note or a reason: it stands in the log, in every list of deployments and in alerts."""
MOST_OVERRIDES = 128
LONGEST_OVERRIDE = 16_384


def new_deployment_id(service: str) -> str:
    return f"{service}-{''.join(secrets.choice(ID_ALPHABET) for _ in range(6))}"


def _check_sizes(request: r.DeployRequest) -> None:
    """Raises UsageError: what is kept for good is bounded, whoever asks."""
    if len(request.note) > LONGEST_TEXT:
        raise UsageError(f"note: at most {LONGEST_TEXT} characters, got {len(request.note)}", hint="Shorten it")
    if len(request.overrides) > MOST_OVERRIDES:
        raise UsageError(f"overrides: at most {MOST_OVERRIDES}, got {len(request.overrides)}")
    for key, value in request.overrides.items():
        if len(key) + len(value) > LONGEST_OVERRIDE:
            raise UsageError(
                f"overrides.{key[:80]}: at most {LONGEST_OVERRIDE} characters, got {len(key) + len(value)}"
            )


def _refuse_if_busy(watcher: ServiceWatcher) -> None:
    for deployment in watcher.live.values():
        settled = deployment.blue_healthy_after_rollback is False
        if deployment.phase in (Phase.RETAINING, Phase.CLEANING_UP) or settled:
            continue
        raise Refused(
            f"service: deployment {deployment.id} of {deployment.service!r} is {deployment.phase}, "
            "and a service has one deployment at a time",
            hint=f"Watch it: bluegreen status {deployment.service}   {_way_out(deployment)}",
        )


def _way_out(deployment: Deployment) -> str:
    if deployment.phase in BEFORE_SWITCH:
        return f"End it: bluegreen abort {deployment.service}"
    if deployment.can_roll_back:
        return f"End it: bluegreen rollback {deployment.service}"
    if deployment.phase is Phase.MONITORING:
        return f"Accept it as it is: bluegreen promote {deployment.service}"
    return "It ends by itself"


async def deploy(fleet: Fleet, request: r.DeployRequest) -> v.DeploymentView:
    """Begins a deployment and returns at once: starts the new version beside the running one, verifies it, moves all
    traffic in one instant (strategy canary: in steps, each watched), and goes back by itself when it fails. Use it for
    a new version of a service; look first with bluegreen_plan. Then follow it with bluegreen_status or bluegreen_events
    until its phase is completed, rolled_back, failed or aborted. Refused while another one is under way, and for the
    same image. Without the scope to switch it waits in awaiting_approval for a person (bluegreen approve)."""
    _check_sizes(request)
    for key in request.overrides:
        if why := override_problem(key, fleet.caller):
            raise Forbidden(
                f"overrides.{key}: {why}, and {fleet.caller.name} has scope {fleet.caller.scope}",
                hint="Leave it out, or ask the owner to set it in the configuration",
            )
    return await begin(fleet, request)


async def begin(fleet: Fleet, request: r.DeployRequest, *, digest: str = "") -> v.DeploymentView:
    """A deployment whose overrides are allowed, of exactly the content of `digest` when that is given. Who may
    not move traffic gets one that waits for a person, as long as an orphan may when the service does not say how
    long."""
    overrides = dict(request.overrides)
    if not fleet.caller.scope.includes(Scope.SWITCH):
        overrides["policy.auto_promote"] = "false"
    request = replace(request, overrides=overrides)
    spec, image, blue = await resolve(fleet, request)
    if not fleet.caller.scope.includes(Scope.SWITCH) and not spec.policy.approval_timeout_seconds:
        # Who asked may be gone before a person comes, and a version that waits holds as much as the one that works.
        overrides["policy.approval_timeout_seconds"] = f"{fleet.policy.orphan_seconds:g}"
    steps = steps_of(request.strategy, spec.canary, first_deployment=blue is None)
    watcher = fleet.watchers[spec.name]
    _refuse_if_busy(watcher)
    if blue is not None and blue.image == image and not request.force:
        raise Refused(
            f"image: {image} is what {spec.name!r} runs already ({blue.id})",
            hint=f"To run it anew all the same: bluegreen deploy {spec.name} --image {image} --force",
        )
    await fleet.view.refresh_for([spec.name])
    route = fleet.view.route(spec.name)
    generation = route.generation if route else (watcher.last.generation if watcher.last else 0)
    deployment_id = new_deployment_id(spec.name)
    remembered = fleet.secrets.hide(deployment_id, {**overrides, **sizes_as_overrides(fleet.spec(spec.name), spec)})
    event = e.DeploymentRequested(
        image=image,
        strategy=request.strategy,
        steps=steps,
        requested_by=request.requested_by or fleet.caller.name,
        blue=blue,
        generation=generation,
        overrides=remembered,
        force=request.force,
        note=request.note,
        digest=digest,
    )
    deployment = await watcher.request(deployment_id, event, admit=lambda: _refuse_if_busy(watcher))
    return deployment_view(fleet, deployment)


def _live(fleet: Fleet, service: str) -> Deployment:
    watcher = fleet.watcher(service)
    found = watcher.current or next(iter(watcher.live.values()), None)
    if found is None:
        raise Refused(
            f"service: {service!r} has no deployment under way",
            hint=f"Its past ones: bluegreen history {service}",
        )
    return found


async def approve(fleet: Fleet, request: r.ServiceRequest) -> v.DeploymentView:
    """Lets a verified version that waits in awaiting_approval have the traffic. For people who let an agent's
    deployment through; then follow it with bluegreen_status. bluegreen_promote does this too, and more."""
    deployment = _live(fleet, request.service)
    if deployment.phase is not Phase.AWAITING_APPROVAL:
        raise Refused(
            f"service: deployment {deployment.id} is {deployment.phase}, and only one in awaiting_approval "
            "can be approved",
            hint=f"See: bluegreen status {request.service}",
        )
    return await promote(fleet, request)


async def promote(fleet: Fleet, request: r.ServiceRequest) -> v.DeploymentView:
    """Lets a verified new version have the traffic (phase awaiting_approval), or accepts one that monitoring could not
    judge (phase monitoring, holding). On a canary step it ends the watching and goes on to the next share at once. Use
    it when bluegreen_status says that a deployment waits for it; then follow with bluegreen_status. Go back with
    bluegreen_rollback."""
    deployment = _live(fleet, request.service)
    watcher = fleet.watcher(request.service)
    if deployment.phase is Phase.AWAITING_APPROVAL:
        monitor = fleet.observers[request.service].monitors.get(deployment.green.id if deployment.green else "")
        if monitor is None or monitor.health.verdict != "healthy":
            raise Refused(
                f"service: the new version of {request.service!r} is not healthy now"
                + (f" ({monitor.health.summary})" if monitor else ""),
                hint=f"See: bluegreen logs {request.service}",
            )
    by = request.requested_by or fleet.caller.name
    try:
        changed = await watcher.command(deployment.id, e.Promoted(by, request.reason[:LONGEST_TEXT]))
    except IllegalEvent as error:
        now = watcher.live.get(deployment.id, deployment).phase
        raise Refused(
            f"service: deployment {deployment.id} is {now}; promote is for awaiting_approval "
            "and for monitoring that holds",
            hint=f"See: bluegreen status {request.service}",
        ) from error
    return deployment_view(fleet, changed)


async def abort(fleet: Fleet, request: r.ServiceRequest) -> v.DeploymentView:
    """Ends a deployment that has not moved traffic yet: the new version is stopped, the running one was never touched.
    Once traffic has moved, use bluegreen_rollback."""
    deployment = _live(fleet, request.service)
    event = e.AbortRequested(request.requested_by or fleet.caller.name, request.reason[:LONGEST_TEXT])
    try:
        changed = await fleet.watcher(request.service).command(deployment.id, event)
    except IllegalEvent as error:
        raise Refused(
            f"service: deployment {deployment.id} is {deployment.phase}: its traffic has moved, or it is ending",
            hint=f"Move the traffic back: bluegreen rollback {request.service}",
        ) from error
    return deployment_view(fleet, changed)


async def rollback(fleet: Fleet, request: r.ServiceRequest) -> v.RollbackView:
    """Moves all traffic back to the version before, in milliseconds while that still runs (see can_roll_back in
    bluegreen_status), else by deploying it again. Use it as soon as the new version does harm: it is safe to repeat.
    Then verify with metrics_query(request_error_rate)."""
    watcher = fleet.watcher(request.service)
    if request.expires_at is not None and fleet.ports.clock.now() > request.expires_at:
        raise Refused("expires_at: this request is older than who asked was willing to wait; nothing was done")
    by = request.requested_by or fleet.caller.name
    # Cut rather than refused: no text is too long for a rollback.
    cause = request.reason[:LONGEST_TEXT] or f"asked for by {by}"
    for deployment in reversed(list(watcher.live.values())):
        if deployment.phase in BEFORE_SWITCH:
            ended = await watcher.command(deployment.id, e.AbortRequested(by, cause))
            text = f"{deployment.id} had not moved traffic yet; it is aborted and the running version goes on untouched"
            return v.RollbackView("abort", text, None, True, deployment_view(fleet, ended))
        if deployment.phase is Phase.ROLLING_BACK:
            text = f"{deployment.id} is being rolled back already"
            return v.RollbackView("switch", text, None, True, deployment_view(fleet, deployment))
        if deployment.can_roll_back and deployment.blue is not None:
            return await _switch_back(fleet, watcher, deployment, request, cause)
    return await _deploy_previous(fleet, watcher, request)


async def _switch_back(
    fleet: Fleet, watcher: ServiceWatcher, deployment: Deployment, request: r.ServiceRequest, cause: str
) -> v.RollbackView:
    blue = deployment.blue
    assert blue is not None, "can_roll_back means that there is a blue"
    monitor = fleet.observers[request.service].monitors.get(blue.id)
    alive = monitor is not None and monitor.status is not None and any(r_.listening for r_ in monitor.status.replicas)
    if not alive:
        raise Refused(
            f"service: {blue.id} ({blue.image}) does not run, so the traffic stays where it is",
            hint=f"Start it again instead: bluegreen deploy {request.service} --image {blue.image}",
        )
    done = await watcher.roll_back(deployment, e.RollbackRequested(cause, request.requested_by or fleet.caller.name))
    text = f"all traffic of {request.service} is on {blue.color} ({blue.version}) again"
    if not done.recorded:
        text += "; the event log could not be written yet, this is recorded as soon as it can"
    return v.RollbackView("switch", text, done.milliseconds, done.recorded, deployment_view(fleet, done.deployment))


async def _deploy_previous(fleet: Fleet, watcher: ServiceWatcher, request: r.ServiceRequest) -> v.RollbackView:
    """After retention the version before is started again: a walk, not a switch."""
    _refuse_if_busy(watcher)
    active = watcher.last.active if watcher.last else None
    for past in await read_history(fleet, request.service, limit=50):
        if past.phase is Phase.COMPLETED and past.blue and active and past.green and past.green.id == active.id:
            # What ran, not what its tag means by now.
            view = await begin(
                fleet,
                r.DeployRequest(
                    service=request.service,
                    image=past.blue.image,
                    requested_by=request.requested_by,
                    force=True,
                    note=f"rollback of {past.id}",
                ),
                digest=past.blue.digest,
            )
            took = (past.switched_at or past.requested_at) - past.requested_at
            text = (
                f"{past.blue.version} is no longer kept, so it is started again as {view.id}. "
                f"Moving here took {took:.1f} s last time; while a version is kept it takes milliseconds"
            )
            return v.RollbackView("deploy", text, None, True, view)
    raise Refused(
        f"service: {request.service!r} has no earlier version to go back to",
        hint=f"See: bluegreen history {request.service}",
    )
