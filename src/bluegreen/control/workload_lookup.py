"""Finding a workload by its id, wherever it is in its life: planned, running, retired, or known to nobody."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bluegreen.control.fleet import Fleet, unknown
from bluegreen.control.reading import read_deployment, read_history
from bluegreen.domain.deployment import BEFORE_SWITCH, Deployment, Phase
from bluegreen.domain.errors import UnknownName, UsageError
from bluegreen.domain.model import Workload, WorkloadState, WorkloadStatus
from bluegreen.domain.reconcile import planned_green

HISTORY_SEARCHED = 20
"""Deployments of each service whose workloads are found after they ended."""
_WORKLOAD_ID = re.compile(r"(?P<service>[a-z0-9-]+)-(?:blue|green)-(?P<suffix>[a-z0-9]+)")
SERVICE_SUFFIX = "-service"


@dataclass(frozen=True, slots=True)
class Found:
    """`made_by` is the deployment that started it, None for an orphan; `status` None when it does not run."""

    workload: Workload
    made_by: Deployment | None
    status: WorkloadStatus | None

    @property
    def name(self) -> str:
        return self.workload.labels.get("name") or f"{self.workload.service}-{self.workload.color}"


def green_of(fleet: Fleet, deployment: Deployment) -> Workload:
    """What the deployment starts; before its preflight, what it is going to start."""
    if deployment.green is not None:
        return deployment.green
    version = deployment.image.rpartition(":")[2]
    spec = fleet.spec_of(deployment)
    return planned_green(deployment.id, deployment.image, version, deployment.blue, spec, deployment.steps[0])


async def find(fleet: Fleet, workload_id: str) -> Found:
    """Raises UnknownName with the nearest ids, Forbidden for a service the caller may not use."""
    matched = _WORKLOAD_ID.fullmatch(workload_id)
    if matched:
        try:
            deployment = await read_deployment(fleet, f"{matched['service']}-{matched['suffix']}")
        except UnknownName:
            deployment = None
        if deployment is not None and deployment.service in fleet.specs:
            workload = green_of(fleet, deployment)
            if workload.id == workload_id:
                return Found(workload, deployment, await fleet.ports.runtime.inspect(workload_id))
    for status in await fleet.ports.runtime.list():
        if status.workload.id == workload_id:
            fleet.require_visible(status.workload.service)
            return Found(status.workload, None, status)
    if not workload_id:
        raise UsageError("workloadId: must not be empty", hint="Find it with workload_list")
    service = workload_id.removesuffix(SERVICE_SUFFIX)
    if service != workload_id and service in fleet.specs:
        raise UnknownName(
            f"workloadId: {workload_id!r} is the switch of {service!r}, and no workload",
            hint=f"workload_get({workload_id}) tells what has the traffic; all versions: "
            f'workload_list(labels {{"app": "{service}"}})',
        )
    known = [found.workload.id for found in await everything(fleet, ended=True)]
    raise unknown("workload", workload_id, known, parameter="workloadId")


def require_node(fleet: Fleet, node_id: str) -> None:
    """Raises UnknownName for another machine than this one; empty stands for all."""
    if node_id not in ("", fleet.node_id):
        raise unknown("machine", node_id, [fleet.node_id], parameter="nodeId")


async def everything(fleet: Fleet, *, ended: bool) -> list[Found]:
    """All workloads the caller may see, running ones first; with `ended` those of past deployments too."""
    running = {status.workload.id: status for status in await fleet.ports.runtime.list()}
    found: dict[str, Found] = {}
    for service, watcher in fleet.watchers.items():
        held = {workload.id: workload for workload, _ in watcher.held()}
        for deployment in watcher.live.values():
            planned = green_of(fleet, deployment)
            if planned.id in running or deployment.phase in BEFORE_SWITCH:
                held.setdefault(planned.id, planned)
        for workload in held.values():
            found[workload.id] = Found(workload, await maker_of(fleet, workload), running.get(workload.id))
        if ended:
            for deployment in await read_history(fleet, service, limit=HISTORY_SEARCHED):
                workload = green_of(fleet, deployment)
                found.setdefault(workload.id, Found(workload, deployment, running.get(workload.id)))
    for status in running.values():
        if fleet.caller.may_use(status.workload.service):
            found.setdefault(status.workload.id, Found(status.workload, None, status))
    return list(found.values())


async def maker_of(fleet: Fleet, workload: Workload) -> Deployment | None:
    """The deployment that started it; None for an orphan."""
    suffix = workload.id.rpartition("-")[2]
    try:
        return await read_deployment(fleet, f"{workload.service}-{suffix}")
    except UnknownName:
        return None


def is_orphan(fleet: Fleet, found: Found) -> bool:
    """Runs, and is in no slot of a service that is known."""
    if found.status is None:
        return False
    observer = fleet.observers.get(found.workload.service)
    return observer is None or found.workload.id not in observer.monitors


def is_active(fleet: Fleet, workload: Workload) -> bool:
    """Whether the router sends it traffic."""
    route = fleet.view.route(workload.service)
    return route is not None and any(t.workload_id == workload.id and t.weight > 0 for t in route.targets)


def state_of(found: Found) -> WorkloadState:
    """`running` means started and verified: what an agent waits for before it looks at metrics and switches."""
    deployment, status = found.made_by, found.status
    if deployment is not None and not deployment.phase.terminal:
        if deployment.phase is Phase.PREFLIGHT:
            return WorkloadState.PENDING
        if deployment.ending is Phase.FAILED:
            # Its processes may still be there for a while, being stopped.
            return WorkloadState.FAILED
        if not deployment.verified and (status is not None or deployment.phase in BEFORE_SWITCH):
            return WorkloadState.SCHEDULED
    if status is not None:
        return status.state
    failed = deployment is not None and deployment.ending is Phase.FAILED
    return WorkloadState.FAILED if failed else WorkloadState.CANCELLED
