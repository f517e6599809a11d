"""Rolling back with the daemon dead: the router is all it takes, the log is written when it can be."""

from __future__ import annotations

from collections.abc import Sequence

from bluegreen.control.fleet import Ports
from bluegreen.control.views import RollbackView
from bluegreen.domain import events as e
from bluegreen.domain.deployment import Deployment, replay, route_of
from bluegreen.domain.errors import BluegreenError, Refused, RuntimeFailure
from bluegreen.domain.model import Workload, WorkloadStatus


async def direct(ports: Ports, service: str, requested_by: str, *, log_is_writable: bool) -> RollbackView:
    """Raises Refused when there is no running workload to go back to, RouterError when the router did not move."""
    deployment = await _to_undo(ports, service)
    target = await _way_back(ports, service, deployment)
    began = ports.clock.monotonic()
    routes = await ports.router.switch({service: route_of(target)}, durable=False)
    milliseconds = round((ports.clock.monotonic() - began) * 1000, 3)
    route = routes[service]
    recorded = False
    if deployment is not None and log_is_writable:
        at = ports.clock.now()
        requested = e.RollbackRequested("asked for while the daemon was down", requested_by)
        switched = e.TrafficSwitched(route.targets, route.generation, milliseconds)
        try:
            await ports.store.append(deployment.id, service, [(at, requested), (at, switched)])
            recorded = True
        except BluegreenError:
            # The next daemon finds the route moved and writes down what it sees.
            recorded = False
    text = f"all traffic of {service} is on {target.color} ({target.version}) again, moved in the router directly"
    if not recorded:
        text += "; the event log could not be written, the daemon records it when it is back"
    return RollbackView("switch", text + ". Start the daemon again: bluegreen up", milliseconds, recorded, None)


async def _to_undo(ports: Ports, service: str) -> Deployment | None:
    """The newest deployment; when it came to nothing, the one before, as long as that keeps its old version. None when
    the log can't tell: then the workloads themselves are asked."""
    try:
        deployment_id = (await ports.store.latest()).get(service)
        newest = replay(await ports.store.read(deployment_id)) if deployment_id else None
        if newest is None or newest.can_roll_back or newest.switched:
            return newest
        for unfinished in reversed(await ports.store.unfinished()):
            below = replay(await ports.store.read(unfinished))
            if below.service == service and below.can_roll_back:
                return below
        return newest
    except BluegreenError:
        return None


async def _way_back(ports: Ports, service: str, deployment: Deployment | None) -> Workload:
    """Blue as the log knows it. Without a log, the first of two that share the traffic, for a route names the old
    version first; else the newest running workload that is older than the one with the traffic: it had the traffic
    before, while a younger one may be a green that was never verified."""
    nothing = Refused(
        f"service: no earlier version of {service!r} runs, so the traffic stays where it is",
        hint="Start the daemon, then deploy an earlier version: bluegreen up",
    )
    candidates: Sequence[WorkloadStatus | None]
    if deployment is not None:
        if not deployment.can_roll_back or deployment.blue is None:
            raise Refused(
                f"service: {service!r} has nothing to switch back to ({deployment.id} is {deployment.phase})",
                hint="Start the daemon, then deploy an earlier version: bluegreen up",
            )
        try:
            candidates = [await ports.runtime.inspect(deployment.blue.id)]
        except RuntimeFailure:
            # A rollback needs the router alone. The log says that blue is there, and it served until the switch.
            return deployment.blue
    else:
        candidates = await _had_the_traffic_before(ports, service)
    for status in candidates:
        if status is not None and any(replica.listening for replica in status.replicas):
            return status.workload
    raise nothing


async def _had_the_traffic_before(ports: Ports, service: str) -> Sequence[WorkloadStatus | None]:
    route = (await ports.router.routes()).get(service)
    if route and len(route.targets) > 1:
        return [await ports.runtime.inspect(route.targets[0].workload_id)]
    with_traffic = {target.workload_id for target in route.targets} if route else set()
    own = [status for status in await ports.runtime.list() if status.workload.service == service]
    began = min((status.created_at for status in own if status.workload.id in with_traffic), default=0.0)
    older = [status for status in own if status.workload.id not in with_traffic and status.created_at < began]
    return sorted(older, key=lambda status: status.created_at, reverse=True)
