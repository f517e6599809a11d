"""Workloads as agents see them."""

from __future__ import annotations

from bluegreen.control import tool_views as v
from bluegreen.control.fleet import Fleet
from bluegreen.control.masking import masked_environment
from bluegreen.control.workload_lookup import Found, is_active, is_orphan, state_of
from bluegreen.domain import events as e
from bluegreen.domain.health import Health
from bluegreen.domain.model import Route, Workload, WorkloadState
from bluegreen.domain.timespans import iso


def traffic_view(service: str, route: Route | None, milliseconds: float | None = None) -> v.TrafficView:
    targets = route.targets if route else ()
    active = max(targets, key=lambda target: target.weight) if targets else None
    return v.TrafficView(
        service=service,
        activeDeployment=str(active.color) if active else None,
        activeWorkloadId=active.workload_id if active else None,
        generation=route.generation if route else 0,
        weights={"blue": 0, "green": 0, **{str(target.color): target.weight for target in targets}},
        switchMilliseconds=milliseconds,
    )


def item_view(fleet: Fleet, found: Found) -> v.WorkloadItemView:
    workload = found.workload
    return v.WorkloadItemView(
        id=workload.id,
        name=found.name,
        image=workload.image,
        version=workload.version,
        state=str(state_of(found)),
        active=is_active(fleet, workload),
        replicas=workload.replicas,
        gpus=workload.resources.gpus,
        labels=dict(workload.labels),
        nodeId=fleet.node_id,
        orphan=is_orphan(fleet, found),
    )


async def workload_view(fleet: Fleet, found: Found) -> v.WorkloadView:
    workload, deployment, status = found.workload, found.made_by, found.status
    state = state_of(found)
    replicas = _replicas(fleet, found)
    codes = [replica.exitCode for replica in replicas if replica.exitCode is not None]
    if not codes and deployment is not None:
        codes = [
            int(text.rpartition(" ")[2])
            for text in deployment.exit_codes
            if text.rpartition(" ")[2].lstrip("-").isdigit()
        ]
    failed = state is WorkloadState.FAILED
    error = next((replica.error for replica in replicas if replica.error), "")
    watcher = fleet.watchers.get(workload.service)
    reason = watcher.reasons.get(deployment.id, "") if watcher and deployment else ""
    return v.WorkloadView(
        id=workload.id,
        name=found.name,
        state=str(state),
        active=is_active(fleet, workload),
        deployment=deployment.id if deployment else "",
        reason=reason or (deployment.cause if deployment else "no deployment knows it"),
        spec=_spec(fleet, found),
        timing=await _timing(fleet, found),
        replicas=replicas,
        endpoints=tuple(str(endpoint) for endpoint in status.endpoints) if status else (),
        exitCode=next((code for code in codes if code != 0), codes[0] if codes else None),
        error=error or (deployment.cause if failed and deployment else ""),
        nodeId=fleet.node_id,
    )


def _spec(fleet: Fleet, found: Found) -> v.WorkloadSpecView:
    workload = found.workload
    declared = fleet.specs.get(workload.service)
    spec = fleet.spec_of(found.made_by) if found.made_by and declared else declared
    return v.WorkloadSpecView(
        image=workload.image,
        version=workload.version,
        replicas=workload.replicas,
        gpus=workload.resources.gpus,
        cpuCores=workload.resources.cpus,
        memoryMb=workload.resources.memory_mb,
        command=spec.command if spec else (),
        env=masked_environment(spec.env) if spec else {},
        labels=dict(workload.labels),
        digest=workload.digest,
    )


def _replicas(fleet: Fleet, found: Found) -> tuple[v.ReplicaView, ...]:
    observer = fleet.observers.get(found.workload.service)
    monitor = observer.monitors.get(found.workload.id) if observer else None
    health = monitor.health.replicas if monitor else ()
    views = []
    for replica in found.status.replicas if found.status else ():
        known = health[replica.index] if replica.index < len(health) else None
        verdict = known.verdict if known else Health.UNKNOWN
        views.append(
            v.ReplicaView(
                index=replica.index,
                state=str(replica.state),
                endpoint=str(replica.endpoint) if replica.endpoint else None,
                healthy=None if verdict is Health.UNKNOWN else verdict is Health.HEALTHY,
                health=known.last_detail if known else "",
                restarts=replica.restarts,
                exitCode=replica.exit_code,
                error=replica.error,
            )
        )
    return tuple(views)


async def _timing(fleet: Fleet, found: Found) -> v.TimingView:
    deployment, status = found.made_by, found.status
    created = deployment.requested_at if deployment else (status.created_at if status else None)
    started = status.created_at if status else await _when(fleet, deployment, e.GreenStarted.kind)
    finished = None if status is not None else await _stopped_at(fleet, found.workload, deployment)
    now = fleet.ports.clock.now()
    runtime = max(0.0, (finished or now) - started) if started and (finished or status) else None
    return v.TimingView(
        created=iso(created) if created else None,
        started=iso(started) if started else None,
        finished=iso(finished) if finished else None,
        runtimeSeconds=round(runtime, 3) if runtime is not None else None,
    )


async def _when(fleet: Fleet, deployment: object, kind: str) -> float | None:
    deployment_id = getattr(deployment, "id", "")
    records = await fleet.ports.store.read(deployment_id) if deployment_id else ()
    return next((record.at for record in records if record.event.kind == kind), None)


async def _stopped_at(fleet: Fleet, workload: Workload, deployment: object) -> float | None:
    """Its own deployment stopped it, or the one that replaced it."""
    ids = list(await fleet.ports.store.deployments(workload.service, limit=50))
    own = getattr(deployment, "id", None)
    later = ids[: ids.index(own) + 1] if own in ids else ids
    for deployment_id in reversed(later):
        for record in await fleet.ports.store.read(deployment_id):
            if isinstance(record.event, e.WorkloadStopped) and record.event.workload_id == workload.id:
                return record.at
    return None
