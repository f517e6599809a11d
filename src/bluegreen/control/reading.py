"""Reading the past: histories, events and logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from bluegreen.control import requests as r
from bluegreen.control import views as v
from bluegreen.control.fleet import Fleet, unknown
from bluegreen.control.masking import masked
from bluegreen.domain.deployment import Deployment, Phase, replay
from bluegreen.domain.errors import UsageError
from bluegreen.domain.model import Color, Workload

EVENTS_POLL_SECONDS = 0.1
MAX_WAIT_SECONDS = 30.0
ENDED_KEPT = 2000
"""Past deployments kept in memory: a few KB each."""
MAX_LONG_WAIT_SECONDS = 3600.0


async def read_deployment(fleet: Fleet, deployment_id: str) -> Deployment:
    """Raises UnknownName with near ids."""
    watcher = fleet.watcher_of(deployment_id)
    if watcher is not None:
        live, last = watcher.live.get(deployment_id), watcher.last
        known = live or (last if last is not None and last.id == deployment_id else None)
        if known is not None:
            return known
    elif deployment_id in fleet.ended:
        fleet.require_visible(fleet.ended[deployment_id].service)
        return fleet.ended[deployment_id]
    records = await fleet.ports.store.read(deployment_id)
    if not records:
        nearby = [known_id for name in fleet.specs for known_id in await fleet.ports.store.deployments(name, limit=20)]
        raise unknown("deployment", deployment_id, nearby)
    fleet.require_visible(records[0].service)
    deployment = replay(records)
    if deployment.phase.terminal and watcher is None and not _may_still_change(fleet, deployment):
        while len(fleet.ended) >= ENDED_KEPT:
            fleet.ended.pop(next(iter(fleet.ended)), None)
        fleet.ended[deployment_id] = deployment
    return deployment


def _may_still_change(fleet: Fleet, deployment: Deployment) -> bool:
    """The newest of a service: the version it left can still be stopped on purpose."""
    watcher = fleet.watchers.get(deployment.service)
    return watcher is None or watcher.last is None or watcher.last.id == deployment.id


async def read_history(fleet: Fleet, service: str, *, limit: int) -> list[Deployment]:
    """Newest first."""
    ids = await fleet.ports.store.deployments(service, limit=limit)
    return [await read_deployment(fleet, deployment_id) for deployment_id in ids]


async def read_events(fleet: Fleet, request: r.EventsRequest) -> v.EventsView:
    current = await read_deployment(fleet, request.deployment)
    clock = fleet.ports.clock
    deadline = clock.monotonic() + min(max(request.wait_seconds, 0.0), MAX_WAIT_SECONDS)
    while current.last_sequence <= request.after and not current.phase.terminal and clock.monotonic() < deadline:
        await clock.sleep(EVENTS_POLL_SECONDS)
        current = await read_deployment(fleet, request.deployment)
    records = await fleet.ports.store.read(request.deployment, after=request.after)
    views = tuple(
        v.EventView(x.sequence, x.deployment_id, x.service, x.at, x.event.kind, masked(asdict(x.event)))
        for x in records
    )
    return v.EventsView(views, ended=current.phase.terminal, phase=str(current.phase))


async def wait_for(fleet: Fleet, request: r.WaitRequest) -> Deployment:
    """Raises UsageError for a phase that nobody can wait for, UnknownName."""
    phases = list(Phase)
    if request.until != "ended" and request.until not in phases:
        raise UsageError(f"until: must be ended or a phase, got {request.until!r}", hint=f"Phases: {', '.join(phases)}")
    if not 0 <= request.timeout_seconds <= MAX_LONG_WAIT_SECONDS:
        raise UsageError(
            f"timeout_seconds: must be between 0 and {MAX_LONG_WAIT_SECONDS:g}, got {request.timeout_seconds:g}"
        )
    clock = fleet.ports.clock
    deadline = clock.monotonic() + request.timeout_seconds
    while True:
        current = await read_deployment(fleet, request.deployment)
        reached = request.until != "ended" and phases.index(current.phase) >= phases.index(Phase(request.until))
        if current.phase.terminal or current.phase is Phase.AWAITING_APPROVAL or reached:
            return current
        if clock.monotonic() >= deadline:
            return current
        await clock.sleep(EVENTS_POLL_SECONDS)


async def read_logs(fleet: Fleet, request: r.LogsRequest) -> v.LogsView:
    watcher = fleet.watcher(request.service)
    if not 1 <= request.lines <= 10_000:
        raise UsageError(f"lines: must be between 1 and 10000, got {request.lines}")
    newest = watcher.current or watcher.last
    candidates = [newest.green if newest else None, *(workload for workload, _ in watcher.held())]
    workload = _workload_of(request, [*candidates, newest.blue if newest else None])
    page = await fleet.ports.runtime.log_page(workload.id, position=request.position, lines=request.lines)
    files = tuple(map(str, await fleet.ports.runtime.log_files(workload.id)))
    return v.LogsView(request.service, str(workload.color), workload.id, page.lines, files, page.position)


def _workload_of(request: r.LogsRequest, candidates: Sequence[Workload | None]) -> Workload:
    """The workload of the asked slot, also when it has just been stopped: its logs are why one asks."""
    if request.slot and request.slot not in tuple(Color):
        raise UsageError(f"slot: must be blue or green, got {request.slot!r}")
    for workload in candidates:
        if workload is not None and request.slot in ("", str(workload.color)):
            return workload
    where = f" in slot {request.slot}" if request.slot else ""
    raise UsageError(
        f"service: {request.service!r} has no workload{where} yet",
        hint=f"Deploy one: bluegreen deploy {request.service}",
    )
