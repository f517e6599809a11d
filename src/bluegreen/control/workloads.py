"""The workload tools: the walk by hand, one call at a time, on the same engine and in the same history."""

from __future__ import annotations

from dataclasses import replace

from bluegreen.control import requests as r
from bluegreen.control import tool_requests as t
from bluegreen.control import tool_views as v
from bluegreen.control.deploying import begin
from bluegreen.control.fleet import Fleet
from bluegreen.control.reading import read_deployment
from bluegreen.control.workload_labels import is_switch, require_texts, spec_meant
from bluegreen.control.workload_lookup import (
    SERVICE_SUFFIX,
    everything,
    find,
    green_of,
    is_active,
    require_node,
    state_of,
)
from bluegreen.control.workload_presenter import item_view, traffic_view, workload_view
from bluegreen.control.workload_stop import stop_found
from bluegreen.control.workload_submit import submit_slot
from bluegreen.control.workload_switch import submit_switch
from bluegreen.domain.errors import Refused, UsageError
from bluegreen.domain.model import WorkloadState
from bluegreen.domain.timespans import iso


async def workload_submit(fleet: Fleet, request: t.WorkloadSubmitRequest) -> v.SubmittedView:
    """Starts a new version in a slot of a service (labels app and deployment), or switches a service's traffic (name
    <app>-service, label activeDeployment). A new version is verified by itself: health checks, smoke tests; it gets no
    traffic until the switch is submitted. Next: workload_get until its state is running, metrics_query
    (health_check_success), then the switch. The switch moves all traffic in one instant, only to a verified version,
    and answers with the route that the router acknowledged; submitting the other color moves it back."""
    require_texts(request)
    spec = spec_meant(fleet, request)
    if is_switch(request):
        return await submit_switch(fleet, request, spec.name)
    return await submit_slot(fleet, request, spec)


async def workload_get(fleet: Fleet, request: t.WorkloadRequest) -> v.WorkloadView:
    """One workload: state, what was asked for, when it started and ended, each replica and its health, endpoints, exit
    code and error. Use it after workload_submit until `state` is running (verified) or failed (`error` says why; then
    workload_logs). `<app>-service` tells where the traffic of a service goes."""
    if request.workloadId.endswith(SERVICE_SUFFIX):
        service = request.workloadId.removesuffix(SERVICE_SUFFIX)
        if service in fleet.specs:
            return await _service_view(fleet, request.workloadId, service)
    return await workload_view(fleet, await find(fleet, request.workloadId))


async def _service_view(fleet: Fleet, workload_id: str, service: str) -> v.WorkloadView:
    await fleet.router_questions.ask([service])
    route = traffic_view(service, fleet.view.route(service))
    if route.activeWorkloadId is None:
        raise Refused(
            f"workloadId: {service!r} has no version with traffic yet",
            hint=f'Submit the first one: workload_submit(name {service}-blue, labels {{"deployment": "blue"}})',
        )
    behind = await workload_view(fleet, await find(fleet, route.activeWorkloadId))
    labels = {"app": service, "activeDeployment": route.activeDeployment or ""}
    spec = replace(behind.spec, labels=labels)
    return replace(behind, id=workload_id, name=workload_id, spec=spec, route=route)


async def workload_list(fleet: Fleet, request: t.WorkloadListRequest) -> v.WorkloadListView:
    """The workloads that are there, filtered by state, machine and labels; `active` has the traffic. Use it to find the
    running version (labels app and env) before a deployment. With a state such as failed it also finds those of past
    deployments. `orphan` marks what no deployment knows. Next: workload_get for one of them."""
    if not 1 <= request.limit <= 1000:
        raise UsageError(f"limit: must be between 1 and 1000, got {request.limit}")
    app = request.labels.get("app")
    if app:
        fleet.spec(app, parameter="labels.app")
    require_node(fleet, request.nodeId)
    await fleet.router_questions.ask([app] if app else list(fleet.specs))
    ended = request.state is not None and WorkloadState(request.state).ended
    wanted = request.labels.items()
    found = [
        item
        for item in (item_view(fleet, one) for one in await everything(fleet, ended=ended))
        if (request.state is None or item.state == request.state) and wanted <= item.labels.items()
    ]
    found.sort(key=lambda item: (not item.active, item.name, item.id))
    return v.WorkloadListView(
        count=min(len(found), request.limit), total=len(found), items=tuple(found[: request.limit])
    )


async def workload_stop(fleet: Fleet, request: t.WorkloadStopRequest) -> v.StoppedView:
    """Stops a workload: requests under way may end first (gracePeriodSeconds), then it gets SIGTERM and, after its
    own grace, SIGKILL. Stopping the old version after a switch accepts the new one, which takes scope switch while
    that is still watched; stopping a version that waits for its traffic aborts its deployment. Refused for the side
    that has the traffic, unless forced by scope admin. Next: workload_get until its state is cancelled; repeating
    the call is safe."""
    if not 0 <= request.gracePeriodSeconds <= 86_400:
        raise UsageError(f"gracePeriodSeconds: must be between 0 and 86400, got {request.gracePeriodSeconds:g}")
    return await stop_found(fleet, await find(fleet, request.workloadId), request)


async def workload_scale(fleet: Fleet, request: t.WorkloadScaleRequest) -> v.SubmittedView:
    """Gives the version that has the traffic another number of replicas, without losing a request: the same version is
    started with that many in the other slot, verified, and gets the traffic, as a deployment that can be rolled back.
    Needs the capacity for both. Next: bluegreen_status, or workload_get with the id in the answer."""
    if not 1 <= request.replicas <= 64:
        raise UsageError(f"replicas: must be between 1 and 64, got {request.replicas}")
    found = await find(fleet, request.workloadId)
    service = found.workload.service
    await fleet.view.refresh_for([service])
    if not is_active(fleet, found.workload):
        raise Refused(
            f"workloadId: {found.workload.id} is {state_of(found)} and has no traffic; "
            "only the active version is scaled",
            hint=f"Find it: workload_list(labels app {service})",
        )
    if found.workload.replicas == request.replicas:
        raise Refused(f"replicas: {found.workload.id} has {request.replicas} already")
    deployment = await begin(
        fleet,
        r.DeployRequest(
            service=service,
            image=found.workload.image,
            overrides={"replicas": str(request.replicas)},
            force=True,
            note=f"scaled from {found.workload.replicas} to {request.replicas} replicas",
        ),
    )
    green = green_of(fleet, await read_deployment(fleet, deployment.id))
    return v.SubmittedView(
        id=green.id,
        name=f"{service}-{green.color}",
        state=str(WorkloadState.PENDING),
        gpus=green.resources.gpus,
        createdAt=iso(deployment.requested_at),
        deployment=deployment.id,
        next=f"bluegreen_status({service}) until the deployment has ended; bluegreen_rollback goes back",
    )


async def workload_logs(fleet: Fleet, request: t.WorkloadLogsRequest) -> v.WorkloadLogsView:
    """The last log lines of a workload, also after it stopped. Use it when a version failed or its health checks do."""
    if not 1 <= request.lines <= 10_000:
        raise UsageError(f"lines: must be between 1 and 10000, got {request.lines}")
    found = await find(fleet, request.workloadId)
    lines = await fleet.ports.runtime.logs(found.workload.id, lines=request.lines)
    files = await fleet.ports.runtime.log_files(found.workload.id)
    return v.WorkloadLogsView(found.workload.id, tuple(lines), tuple(map(str, files)))
