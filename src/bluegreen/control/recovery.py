"""Taking up what a former daemon left: the log is replayed, workloads are found again, nothing is assumed."""

from __future__ import annotations

import asyncio
import logging

from bluegreen.control.executor import launch_request
from bluegreen.control.fleet import Fleet
from bluegreen.control.workload_lookup import maker_of
from bluegreen.domain import events as e
from bluegreen.domain.deployment import Deployment, Phase, replay, route_of, stands_on
from bluegreen.domain.errors import BluegreenError
from bluegreen.domain.model import Workload

log = logging.getLogger(__name__)


async def recover(fleet: Fleet) -> None:
    """Replays unfinished deployments and the newest of each service, starts again what should run and does
    not (after a reboot), and lets the watchers walk on."""
    fleet.alerts.start()
    store = fleet.ports.store
    newest = {await _standing(fleet, deployment_id) for deployment_id in (await store.latest()).values()}
    for deployment_id in dict.fromkeys([*await store.unfinished(), *newest]):
        records = await store.read(deployment_id)
        deployment = replay(records)
        if deployment.service not in fleet.watchers:
            log.warning("%s belongs to %s, which is not configured", deployment_id, deployment.service)
            continue
        await _restore_workloads(fleet, deployment)
        fleet.watchers[deployment.service].adopt(deployment, newest=deployment_id in newest)
    await fleet.view.refresh()
    await asyncio.gather(*(_resume(fleet, name) for name in fleet.watchers))
    await _report_orphans(fleet)
    await _forget_secrets(fleet)


async def _standing(fleet: Fleet, newest: str) -> str:
    """The newest deployment, or the one it was built upon when that was rolled back since."""
    deployment = replay(await fleet.ports.store.read(newest))
    known = deployment.service in fleet.watchers and deployment.phase.terminal
    maker = await maker_of(fleet, deployment.active) if known and deployment.active else None
    return maker.id if maker is not None and stands_on(deployment, maker) else newest


async def _forget_secrets(fleet: Fleet) -> None:
    """Those of deployments whose workloads are gone for good."""
    held = [workload for watcher in fleet.watchers.values() for workload, _ in watcher.held()]
    makers = [await maker_of(fleet, workload) for workload in held]
    live = {deployment_id for watcher in fleet.watchers.values() for deployment_id in watcher.live}
    fleet.secrets.keep_only(frozenset(live | {maker.id for maker in makers if maker is not None}))


async def _restore_workloads(fleet: Fleet, deployment: Deployment) -> None:
    """The active workload, a retained one, and both of a canary run again under their old ids if they are gone."""
    keep: list[Workload | None] = [deployment.active]
    if deployment.switched and deployment.phase in (Phase.SWITCHING, Phase.MONITORING, Phase.RETAINING):
        keep.append(deployment.standby)
    for workload in keep:
        if workload is None:
            continue
        try:
            if await fleet.ports.runtime.inspect(workload.id) is not None:
                await fleet.ports.runtime.heal(workload.id)
                continue
            log.warning("%s should run and does not; starting it again", workload.id)
            # By the deployment that made it: a newer one may have been asked for with another command or size.
            made_by = await maker_of(fleet, workload) or deployment
            await fleet.ports.runtime.start(launch_request(fleet.spec_of(made_by), workload))
        except BluegreenError as error:
            log.error("%s could not be started again: %s", workload.id, error.message)


async def _resume(fleet: Fleet, service: str) -> None:
    watcher, observer = fleet.watchers[service], fleet.observers[service]
    for monitor in list(observer.monitors.values()):
        try:
            await monitor.look()
        except BluegreenError as error:
            # It is looked at again and again: what is not known now is unknown until then, and holds.
            log.error("it is not known how %s is: %s", monitor.workload.id, error.message)
            continue
        if any(d.phase is Phase.SWITCHING and d.green == monitor.workload for d in watcher.live.values()):
            continue  # It may have grown by replicas that are not proven: the walk tells the router when they are.
        try:
            await observer.connect(monitor.workload)
        except BluegreenError as error:
            log.error("the router could not be told where %s is: %s", monitor.workload.id, error.message)
    await _restore_route(fleet, service)
    for deployment in list(watcher.live.values()):
        detail = f"resumed in phase {deployment.phase}"
        await observer.recall(deployment)
        await watcher.record(deployment.id, [e.ControllerRestarted(detail)])
    watcher.start()


async def _restore_route(fleet: Fleet, service: str) -> None:
    """A route that was lost with its file is set again to what the log says had the traffic and still runs. A canary
    is not split again but rolled back: nobody watched it while its route was gone."""
    watcher, route = fleet.watchers[service], fleet.view.route(service)
    active = watcher.last.active if watcher.last else None
    monitor = fleet.observers[service].monitors.get(active.id) if active else None
    if active is None or route is None or route.targets or monitor is None or monitor.status is None:
        return
    if any(replica.listening for replica in monitor.status.replicas):
        log.warning("the route of %s was lost; sending its traffic to %s again", service, active.id)
        try:
            routes = await fleet.ports.router.switch({service: route_of(active)})
            fleet.view.learn(routes)
            if (last := watcher.last) is not None and last.shares_traffic and last.can_roll_back:
                moved = e.TrafficSwitched(routes[service].targets, routes[service].generation)
                await watcher.record(last.id, [e.RollbackRequested("its route was lost", "bluegreen", True), moved])
        except BluegreenError as error:
            log.error("the route of %s could not be set again: %s", service, error.message)


async def _report_orphans(fleet: Fleet) -> None:
    """Workloads that no deployment knows are never stopped by us: the log may be the one that is wrong."""
    known = {workload_id for observer in fleet.observers.values() for workload_id in observer.monitors}
    try:
        running = await fleet.ports.runtime.list()
    except BluegreenError as error:
        log.error("whether workloads run that no deployment knows is not known: %s", error.message)
        return
    for status in running:
        if status.workload.id not in known:
            log.warning(
                "workload %s of %s runs and no deployment knows it; stop it by hand if it is not yours",
                status.workload.id,
                status.workload.service,
            )
