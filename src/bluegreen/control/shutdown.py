"""Ending the daemon: what goes down with it and what stays."""

from __future__ import annotations

import asyncio
import logging

from bluegreen.control.fleet import Fleet
from bluegreen.control.requests import ShutdownRequest
from bluegreen.control.views import MessageView
from bluegreen.domain.capacity import counted
from bluegreen.domain.deployment import IN_PROGRESS, Phase
from bluegreen.domain.errors import BluegreenError, Refused

log = logging.getLogger(__name__)


async def prepare_shutdown(fleet: Fleet, request: ShutdownRequest) -> MessageView:
    """Refuses to stop workloads in the middle of a deployment; with kept workloads it goes on at the next start."""
    busy = [d for watcher in fleet.watchers.values() for d in watcher.live.values()]
    moving = [d for d in busy if d.phase in IN_PROGRESS or d.phase is Phase.ROLLING_BACK]
    stays = request.keep_workloads or request.daemon_only
    if moving and not stays and not request.force:
        listing = ", ".join(f"{d.id} ({d.phase})" for d in moving)
        raise Refused(
            f"deployments are under way: {listing}",
            hint="Let them end, or: bluegreen down --daemon-only (they go on at the next up), or --force",
        )
    await fleet.close()
    if request.daemon_only:
        return MessageView("the daemon stops; router and workloads go on serving. Start it again: bluegreen up")
    if request.keep_workloads:
        return MessageView("daemon and router stop; workloads go on, unreachable until: bluegreen up")
    stopped = await _stop_workloads(fleet)
    return MessageView(f"daemon, router and {counted(stopped, 'workload')} stop")


async def _stop_workloads(fleet: Fleet) -> int:
    statuses = await fleet.ports.runtime.list()
    results = await asyncio.gather(
        *(fleet.ports.runtime.stop(status.workload.id) for status in statuses), return_exceptions=True
    )
    for status, result in zip(statuses, results, strict=True):
        if isinstance(result, BluegreenError):
            log.error("%s could not be stopped: %s", status.workload.id, result.message)
    return len(statuses)
