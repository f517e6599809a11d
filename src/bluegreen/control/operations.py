"""The use cases, each once: typed input, typed output. Every door calls these and nothing else."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bluegreen import __version__
from bluegreen.control import requests as r
from bluegreen.control import views as v
from bluegreen.control.fleet import Fleet
from bluegreen.control.planning import plan, resolve, sizes_as_overrides
from bluegreen.control.presenter import deployment_view, service_view
from bluegreen.control.reading import read_deployment, read_events, read_history, read_logs
from bluegreen.control.watcher import ServiceWatcher
from bluegreen.domain import events as e
from bluegreen.domain.deployment import BEFORE_SWITCH, Deployment, Phase
from bluegreen.domain.errors import IllegalEvent, Refused, UsageError
from bluegreen.domain.strategy import steps_of

ID_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
"""No letters or digits that look like another: ids are read aloud at night."""


def new_deployment_id(service: str) -> str:
    return f"{service}-{''.join(secrets.choice(ID_ALPHABET) for _ in range(6))}"


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
    """Begins a deployment and returns at once. Refused while another one is under way, and for the same image."""
    steps = steps_of(request.strategy)
    spec, image, blue = await resolve(fleet, request)
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
    event = e.DeploymentRequested(
        image=image,
        strategy=request.strategy,
        steps=steps,
        requested_by=request.requested_by or "unknown",
        blue=blue,
        generation=generation,
        overrides={**request.overrides, **sizes_as_overrides(fleet.spec(spec.name), spec)},
        force=request.force,
        note=request.note,
    )
    deployment = await watcher.request(new_deployment_id(spec.name), event, admit=lambda: _refuse_if_busy(watcher))
    return deployment_view(fleet, deployment)


async def status(fleet: Fleet, request: r.StatusRequest) -> v.StatusView:
    """Slots, route and deployment of one service or of all."""
    names = [fleet.spec(request.service).name] if request.service else list(fleet.specs)
    # Side by side: a router that hangs costs one patience, not two.
    health, _ = await asyncio.gather(fleet.ports.router.health(), fleet.view.refresh_for(names))
    return v.StatusView(
        services=tuple(service_view(fleet, name) for name in names),
        router=health.detail,
        router_alive=health.alive,
        listen=fleet.listen,
        pid=os.getpid(),
        version=__version__,
    )


def _live(fleet: Fleet, service: str) -> Deployment:
    watcher = fleet.watcher(service)
    found = watcher.current or next(iter(watcher.live.values()), None)
    if found is None:
        raise Refused(
            f"service: {service!r} has no deployment under way",
            hint=f"Its past ones: bluegreen history {service}",
        )
    return found


async def promote(fleet: Fleet, request: r.ServiceRequest) -> v.DeploymentView:
    """Lets a verified green have the traffic, or accepts a green that monitoring could not judge."""
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
    try:
        changed = await watcher.command(deployment.id, e.Promoted(request.requested_by))
    except IllegalEvent as error:
        raise Refused(
            f"service: deployment {deployment.id} is {deployment.phase}; promote is for awaiting_approval "
            "and for monitoring that holds",
            hint=f"See: bluegreen status {request.service}",
        ) from error
    return deployment_view(fleet, changed)


async def abort(fleet: Fleet, request: r.ServiceRequest) -> v.DeploymentView:
    """Ends a deployment that has not moved traffic yet; green is stopped, blue was never touched."""
    deployment = _live(fleet, request.service)
    event = e.AbortRequested(request.requested_by, request.reason)
    try:
        changed = await fleet.watcher(request.service).command(deployment.id, event)
    except IllegalEvent as error:
        raise Refused(
            f"service: deployment {deployment.id} is {deployment.phase}: its traffic has moved, or it is ending",
            hint=f"Move the traffic back: bluegreen rollback {request.service}",
        ) from error
    return deployment_view(fleet, changed)


async def rollback(fleet: Fleet, request: r.ServiceRequest) -> v.RollbackView:
    """Back to the version before: by one switch while it runs, else by deploying it again."""
    watcher = fleet.watcher(request.service)
    if request.expires_at is not None and fleet.ports.clock.now() > request.expires_at:
        raise Refused("expires_at: this request is older than who asked was willing to wait; nothing was done")
    cause = request.reason or f"asked for by {request.requested_by or 'unknown'}"
    for deployment in reversed(list(watcher.live.values())):
        if deployment.phase in BEFORE_SWITCH:
            ended = await watcher.command(deployment.id, e.AbortRequested(request.requested_by, cause))
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
    done = await watcher.roll_back(deployment, cause, request.requested_by or "unknown")
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
            view = await deploy(
                fleet,
                r.DeployRequest(
                    service=request.service,
                    image=past.blue.image,
                    requested_by=request.requested_by,
                    force=True,
                    note=f"rollback of {past.id}",
                ),
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


async def history(fleet: Fleet, request: r.HistoryRequest) -> v.HistoryView:
    """Past and present deployments of a service, newest first."""
    fleet.spec(request.service)
    if not 1 <= request.limit <= 1000:
        raise UsageError(f"limit: must be between 1 and 1000, got {request.limit}")
    found = await read_history(fleet, request.service, limit=request.limit)
    return v.HistoryView(request.service, tuple(deployment_view(fleet, deployment) for deployment in found))


async def deployment(fleet: Fleet, request: r.DeploymentRequest) -> v.DeploymentView:
    """One deployment, live or past."""
    return deployment_view(fleet, await read_deployment(fleet, request.deployment))


async def events(fleet: Fleet, request: r.EventsRequest) -> v.EventsView:
    """The event log of a deployment, optionally waiting for news."""
    return await read_events(fleet, request)


async def logs(fleet: Fleet, request: r.LogsRequest) -> v.LogsView:
    """The last log lines of a slot's workload."""
    return await read_logs(fleet, request)


async def services(fleet: Fleet, request: r.NoRequest) -> v.ServicesView:
    """The names of all services."""
    return v.ServicesView(tuple(fleet.specs))


@dataclass(frozen=True, slots=True)
class Operation:
    """One use case as the doors see it. `changes` tells whether it can change anything."""

    name: str
    run: Callable[[Fleet, Any], Awaitable[Any]]
    request: type[Any]
    response: type[Any]
    changes: bool

    @property
    def summary(self) -> str:
        return (self.run.__doc__ or "").strip().splitlines()[0]


OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation("plan", plan, r.PlanRequest, v.PlanView, False),
        Operation("deploy", deploy, r.DeployRequest, v.DeploymentView, True),
        Operation("status", status, r.StatusRequest, v.StatusView, False),
        Operation("promote", promote, r.ServiceRequest, v.DeploymentView, True),
        Operation("abort", abort, r.ServiceRequest, v.DeploymentView, True),
        Operation("rollback", rollback, r.ServiceRequest, v.RollbackView, True),
        Operation("history", history, r.HistoryRequest, v.HistoryView, False),
        Operation("deployment", deployment, r.DeploymentRequest, v.DeploymentView, False),
        Operation("events", events, r.EventsRequest, v.EventsView, False),
        Operation("logs", logs, r.LogsRequest, v.LogsView, False),
        Operation("services", services, r.NoRequest, v.ServicesView, False),
    )
}
