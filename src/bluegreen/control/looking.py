"""The use cases that only look."""

from __future__ import annotations

import os

from bluegreen import __version__
from bluegreen.control import requests as r
from bluegreen.control import views as v
from bluegreen.control.fleet import Fleet
from bluegreen.control.presenter import deployment_view, service_view
from bluegreen.control.reading import read_deployment, read_events, read_history, read_logs, wait_for
from bluegreen.domain.errors import UsageError


async def status(fleet: Fleet, request: r.StatusRequest) -> v.StatusView:
    """What runs and where the traffic goes: slots, route and newest deployment of one service or of all. Use it first,
    and to follow a deployment; `reason` of a deployment says what it waits for and what to do next."""
    names = [fleet.spec(request.service).name] if request.service else list(fleet.specs)
    health = await fleet.router_questions.ask(names)
    return v.StatusView(
        services=tuple(service_view(fleet, name) for name in names),
        router=health.detail,
        router_alive=health.alive,
        listen=fleet.listen,
        pid=os.getpid(),
        version=__version__,
    )


async def history(fleet: Fleet, request: r.HistoryRequest) -> v.HistoryView:
    """Past and present deployments of a service, newest first: versions, who asked, how they ended and why. Use it to
    find the version to go back to; one of them in detail: bluegreen_events."""
    fleet.spec(request.service)
    if not 1 <= request.limit <= 1000:
        raise UsageError(f"limit: must be between 1 and 1000, got {request.limit}")
    found = await read_history(fleet, request.service, limit=request.limit)
    return v.HistoryView(request.service, tuple(deployment_view(fleet, deployment) for deployment in found))


async def deployment(fleet: Fleet, request: r.DeploymentRequest) -> v.DeploymentView:
    """One deployment as it stands, live or past. Its full log: bluegreen_events."""
    return deployment_view(fleet, await read_deployment(fleet, request.deployment))


async def wait(fleet: Fleet, request: r.WaitRequest) -> v.DeploymentView:
    """Waits until a deployment has ended, or is in the phase of `until`, and answers with it as it then stands. Use it
    after bluegreen_deploy instead of asking again and again; over MCP it reports progress meanwhile. When the phase is
    awaiting_approval, a person must decide: bluegreen_promote or bluegreen_abort."""
    return deployment_view(fleet, await wait_for(fleet, request))


async def events(fleet: Fleet, request: r.EventsRequest) -> v.EventsView:
    """The event log of a deployment: every decision and what it was based on. With `after` and `wait_seconds` it waits
    for news, which is how to follow a deployment."""
    return await read_events(fleet, request)


async def logs(fleet: Fleet, request: r.LogsRequest) -> v.LogsView:
    """The last log lines of a slot's workload, also after it stopped. Use it to learn why a version failed."""
    return await read_logs(fleet, request)


async def services(fleet: Fleet, request: r.NoRequest) -> v.ServicesView:
    """The names of all services. Use it to learn what there is; then bluegreen_status."""
    return v.ServicesView(tuple(fleet.specs))
