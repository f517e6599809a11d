"""What stopping a workload means, which depends on where its deployment stands."""

from __future__ import annotations

import logging

from bluegreen.control import tool_requests as t
from bluegreen.control import tool_views as v
from bluegreen.control.fleet import Fleet
from bluegreen.control.watcher import ServiceWatcher
from bluegreen.control.workload_lookup import Found, is_active, is_orphan, state_of
from bluegreen.domain import events as e
from bluegreen.domain.access import Scope
from bluegreen.domain.deployment import BEFORE_SWITCH, Deployment, Phase
from bluegreen.domain.errors import Forbidden, IllegalEvent, Refused
from bluegreen.domain.model import Workload, WorkloadState

log = logging.getLogger(__name__)

DRAIN_POLL_SECONDS = 0.1


async def stop_found(fleet: Fleet, found: Found, request: t.WorkloadStopRequest) -> v.StoppedView:
    workload = found.workload
    if workload.service not in fleet.specs:
        return await _stop_orphan(fleet, found)
    watcher = fleet.watcher(workload.service)
    # The router is asked now: what was true a second ago may be what a switch has just changed.
    await fleet.view.refresh_for([workload.service])
    if fleet.view.route(workload.service) is None:
        raise Refused(
            f"workloadId: the router can't be read, so nobody knows whether {workload.id} has traffic",
            hint="Try again in a moment; see: bluegreen_status",
        )
    if is_active(fleet, workload):
        return await _stop_active(fleet, watcher, found, request)
    for deployment in list(watcher.live.values()):
        if answer := await _stop_in(fleet, watcher, deployment, found, request):
            return answer
    if found.status is None:
        return _answer(found, state_of(found), "it had stopped already")
    if is_orphan(fleet, found):
        return await _stop_orphan(fleet, found)
    raise Refused(
        f"workloadId: {workload.id} belongs to no deployment that is under way, and is not stopped by hand",
        hint=f"See: bluegreen_status({workload.service})",
    )


async def _stop_in(
    fleet: Fleet, watcher: ServiceWatcher, deployment: Deployment, found: Found, request: t.WorkloadStopRequest
) -> v.StoppedView | None:
    """None when this deployment has no such workload."""
    workload, grace, by = found.workload, request.gracePeriodSeconds, fleet.caller.name
    is_blue = deployment.blue is not None and deployment.blue.id == workload.id
    is_green = found.made_by is not None and found.made_by.id == deployment.id
    if not is_blue and not is_green:
        return None
    reason = f"{workload.id} was stopped by {by}"
    events: list[e.Event]
    if deployment.phase in BEFORE_SWITCH and is_green:
        events = [e.AbortRequested(by, reason, grace)]
    elif deployment.phase is Phase.MONITORING and is_blue:
        _require_judgement(deployment)
        _require_promotion(fleet, deployment)
        events = [e.Promoted(by), e.MonitoringPassed(f"accepted: {reason}"), e.RetentionEnded(reason, grace)]
    elif deployment.phase is Phase.RETAINING and is_blue:
        events = [e.RetentionEnded(reason, grace)]
    elif deployment.phase in (Phase.CLEANING_UP, Phase.ROLLING_BACK):
        return _answer(found, "draining", f"{deployment.id} is stopping it already", deployment.id)
    else:
        raise Refused(
            f"workloadId: {workload.id} can't be stopped while {deployment.id} is {deployment.phase}",
            hint=f"See: bluegreen_status({deployment.service})",
        )
    try:
        await watcher.record(deployment.id, events)
    except IllegalEvent as error:
        raise Refused(
            f"workloadId: {deployment.id} has just moved on, and nothing was stopped", hint="Ask again"
        ) from error
    watcher.wake()
    message = f"requests under way have {grace:g} s to end, then it is stopped"
    return _answer(found, "draining", message, deployment.id)


def _require_judgement(deployment: Deployment) -> None:
    if not deployment.last_step:
        raise Refused(
            f"workloadId: {deployment.id} has moved only {deployment.percent} % of the traffic yet",
            hint=f"Wait for its last step: bluegreen_status({deployment.service})",
        )


def _require_promotion(fleet: Fleet, deployment: Deployment) -> None:
    """While the new version is watched the old one is the way back. Giving it up is a promotion, by whatever name."""
    if not fleet.caller.scope.includes(Scope.SWITCH):
        raise Forbidden(
            f"workloadId: {deployment.id} still watches its new version, and stopping the old one takes the way back; "
            f"that takes scope switch, and {fleet.caller.name} has {fleet.caller.scope}",
            hint=f"Wait until its phase is retaining: bluegreen_status({deployment.service})",
        )


async def _stop_active(
    fleet: Fleet, watcher: ServiceWatcher, found: Found, request: t.WorkloadStopRequest
) -> v.StoppedView:
    workload = found.workload
    if not request.force:
        raise Refused(
            f"workloadId: {workload.id} has the traffic of {workload.service!r}, and stopping it would be an outage",
            hint="Move the traffic first (workload_submit with activeDeployment, or bluegreen_rollback); "
            "to end the service all the same: force true with scope admin",
        )
    if not fleet.caller.scope.includes(Scope.ADMIN):
        raise Forbidden(
            f"force: {workload.id} has the traffic; stopping it takes scope admin, and {fleet.caller.name} has "
            f"{fleet.caller.scope}",
            hint="Move the traffic first, or ask the owner",
        )
    if watcher.live:
        deployment = next(iter(watcher.live.values()))
        raise Refused(
            f"force: deployment {deployment.id} of {workload.service!r} is {deployment.phase}; end it first",
            hint=f"bluegreen_abort({workload.service}), or bluegreen_rollback({workload.service})",
        )
    await _end_service(fleet, watcher, workload, request.gracePeriodSeconds)
    return _answer(found, WorkloadState.CANCELLED, f"{workload.service} has no version any more and answers 503")


async def _end_service(fleet: Fleet, watcher: ServiceWatcher, workload: Workload, grace_seconds: float) -> None:
    """No route first, so that nothing new arrives; then the drain, the stop and the record."""
    service, clock, router = workload.service, fleet.ports.clock, fleet.ports.router
    log.warning("%s is stopped by %s although it has the traffic of %s", workload.id, fleet.caller.name, service)
    fleet.view.learn(await router.switch({service: ()}))
    deadline = clock.monotonic() + grace_seconds
    while clock.monotonic() < deadline:
        traffic = (await router.traffic([service])).get(service, {}).get(workload.color)
        if traffic is not None and traffic.in_flight == 0:
            break
        await clock.sleep(DRAIN_POLL_SECONDS)
    await fleet.view.connect(service, workload.color, ())
    await fleet.ports.runtime.stop(workload.id)
    await watcher.record_end(e.WorkloadStopped(workload.id))


async def _stop_orphan(fleet: Fleet, found: Found) -> v.StoppedView:
    """Something that no deployment knows: only the owner's or an administrator's word is enough."""
    if not fleet.caller.scope.includes(Scope.ADMIN):
        raise Forbidden(
            f"workloadId: no deployment knows {found.workload.id}; stopping it takes scope admin",
            hint="Ask the owner of the machine",
        )
    await fleet.ports.runtime.stop(found.workload.id)
    return _answer(found, WorkloadState.CANCELLED, "no deployment knew it; it is stopped")


def _answer(found: Found, state: str, message: str, deployment: str = "") -> v.StoppedView:
    return v.StoppedView(found.workload.id, found.name, str(state), message, deployment)
