"""What the daemon tells Prometheus."""

from __future__ import annotations

import asyncio
import math

from bluegreen import __version__
from bluegreen.control.fleet import Fleet
from bluegreen.interfaces.http.limits import RequestCounts
from bluegreen.interfaces.http.prometheus import Family, label_text, render
from bluegreen.interfaces.http.scrape_workloads import WorkloadFamilies

FRESH_SECONDS = 1.0
"""The router is asked again when its numbers are older: many scrapers cost it no more than one."""
SERVICES_AT_A_TIME = 20
"""A thousand services are megabytes of text: a deployment must not wait for them."""


class Scrape:
    """What is known of a fleet now. A limited caller gets its own services, from `fleet.acting_for`."""

    def __init__(self, fleet: Fleet, counts: RequestCounts) -> None:
        self._fleet = fleet
        self._counts = counts
        self._refreshed_at = -math.inf
        self._refreshing = asyncio.Lock()

    async def text(self, fleet: Fleet) -> str:
        """`fleet` as the caller may see it."""
        await self._refresh()
        limited = fleet.caller.services is not None
        workloads = WorkloadFamilies()
        fresh_since = fleet.ports.clock.monotonic() - 2 * FRESH_SECONDS
        for number, service in enumerate(list(fleet.specs)):
            if number % SERVICES_AT_A_TIME == SERVICES_AT_A_TIME - 1:
                await asyncio.sleep(0)
            if service in fleet.watchers:
                workloads.add(fleet, service, fresh_since)
        return render([*self._daemon(limited), *_routes(fleet), *_deployments(fleet), *workloads])

    async def _refresh(self) -> None:
        clock = self._fleet.ports.clock
        async with self._refreshing:
            if clock.monotonic() - self._refreshed_at >= FRESH_SECONDS:
                await self._fleet.view.refresh_for(list(self._fleet.specs))
                self._refreshed_at = clock.monotonic()

    def _daemon(self, limited: bool) -> list[Family]:
        """How much others ask is nothing for a caller that is limited to some services."""
        build = Family("bluegreen_build_info", "gauge", "Always 1; the version of bluegreen is a label.")
        build.add(1, label_text(version=__version__))
        answers = Family("bluegreen_http_requests_total", "counter", "Answers of the API by door and status class.")
        working = Family("bluegreen_http_requests_in_flight", "gauge", "Requests the API works on now.")
        streams = Family("bluegreen_http_event_streams", "gauge", "Event streams that are open now.")
        if not limited:
            for (door, status), count in sorted(self._counts.answers.items()):
                answers.add(count, label_text(door=door, status=status))
            for door, count in sorted(self._counts.in_flight.items()):
                working.add(count, label_text(door=door))
            streams.add(self._counts.streams)
        return [build, answers, working, streams]


def _routes(fleet: Fleet) -> list[Family]:
    active = Family("bluegreen_service_active", "gauge", "1 for the slot that has the traffic, 0 for the other.")
    generations = Family("bluegreen_route_generation", "gauge", "Grows with every switch of the service's traffic.")
    weights = Family("bluegreen_route_weight_ratio", "gauge", "Share of the service's traffic by slot, 0 to 1.")
    for service in fleet.specs:
        route = fleet.view.route(service)
        if route is None:
            continue
        generations.add(route.generation, label_text(service=service))
        for slot in ("blue", "green"):
            active.add(float(route.active == slot), label_text(service=service, slot=slot))
            share = sum(target.weight for target in route.targets if target.color == slot)
            weights.add(share / 100, label_text(service=service, slot=slot))
    return [active, generations, weights]


def _deployments(fleet: Fleet) -> list[Family]:
    phases = Family("bluegreen_deployment_phase", "gauge", "1 for the phase that the newest deployment is in.")
    since = Family("bluegreen_deployment_phase_since_seconds", "gauge", "When that phase began, since the epoch.")
    for service, watcher in fleet.watchers.items():
        newest = watcher.current or watcher.last
        if newest is not None:
            phases.add(1, label_text(service=service, phase=str(newest.phase)))
            since.add(newest.phase_since, label_text(service=service))
    return [phases, since]
