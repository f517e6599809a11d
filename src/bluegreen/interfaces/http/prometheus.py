"""The Prometheus text format 0.0.4, and what the daemon tells in it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from bluegreen import __version__
from bluegreen.control.fleet import Fleet
from bluegreen.domain.health import Health
from bluegreen.interfaces.http.limits import RequestCounts

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FRESH_SECONDS = 1.0
"""The router is asked again when its numbers are older: many scrapers cost it no more than one."""


@dataclass(slots=True)
class Family:
    """One metric with its samples: labels and a value each."""

    name: str
    kind: str
    help: str
    samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> None:
        self.samples.append((labels, value))


def render(families: Iterable[Family]) -> str:
    """Families without samples are left out: what is not known is missing, never zero."""
    return "".join(line + "\n" for family in families if family.samples for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    help_text = family.help.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {family.name} {help_text}"
    yield f"# TYPE {family.name} {family.kind}"
    for labels, value in family.samples:
        listing = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())
        yield f"{family.name}{{{listing}}} {number(value)}" if listing else f"{family.name} {number(value)}"


def escaped(text: str) -> str:
    """A label's value as it stands between its quotes. Lone surrogates can't be sent and become question marks."""
    clean = text.encode("utf-8", "replace").decode()
    return clean.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


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
        return render([*self._daemon(limited), *_routes(fleet), *_deployments(fleet), *_slots(fleet)])

    async def _refresh(self) -> None:
        clock = self._fleet.ports.clock
        async with self._refreshing:
            if clock.monotonic() - self._refreshed_at >= FRESH_SECONDS:
                await self._fleet.view.refresh_for(list(self._fleet.specs))
                self._refreshed_at = clock.monotonic()

    def _daemon(self, limited: bool) -> list[Family]:
        """How much others ask is nothing for a caller that is limited to some services."""
        build = Family("bluegreen_build_info", "gauge", "Always 1; the version of bluegreen is a label.")
        build.add(1, version=__version__)
        answers = Family("bluegreen_http_requests_total", "counter", "Answers of the API by door and status class.")
        working = Family("bluegreen_http_requests_in_flight", "gauge", "Requests the API works on now.")
        streams = Family("bluegreen_http_event_streams", "gauge", "Event streams that are open now.")
        if not limited:
            for (door, status), count in sorted(self._counts.answers.items()):
                answers.add(count, door=door, status=status)
            for door, count in sorted(self._counts.in_flight.items()):
                working.add(count, door=door)
            streams.add(self._counts.streams)
        return [build, answers, working, streams]


def _routes(fleet: Fleet) -> list[Family]:
    active = Family("bluegreen_service_active", "gauge", "1 for the color that has the traffic, 0 for the other.")
    generations = Family("bluegreen_route_generation", "gauge", "Grows with every switch of the service's traffic.")
    weights = Family("bluegreen_route_weight_percent", "gauge", "Share of the service's traffic by color.")
    for service in fleet.specs:
        route = fleet.view.route(service)
        if route is None:
            continue
        generations.add(route.generation, service=service)
        for color in ("blue", "green"):
            active.add(float(route.active == color), service=service, color=color)
            share = sum(target.weight for target in route.targets if target.color == color)
            weights.add(share, service=service, color=color)
    return [active, generations, weights]


def _deployments(fleet: Fleet) -> list[Family]:
    phases = Family("bluegreen_deployment_phase", "gauge", "1 for the phase that the newest deployment is in.")
    since = Family("bluegreen_deployment_phase_since_seconds", "gauge", "When that phase began, since the epoch.")
    for service, watcher in fleet.watchers.items():
        newest = watcher.current or watcher.last
        if newest is not None:
            phases.add(1, service=service, phase=str(newest.phase))
            since.add(newest.phase_since, service=service)
    return [phases, since]


def _slots(fleet: Fleet) -> list[Family]:
    requests = Family("bluegreen_requests_total", "counter", "Requests that the router sent to a workload.")
    errors = Family("bluegreen_errors_total", "counter", "Answers of 500 and above to requests for a workload.")
    in_flight = Family("bluegreen_requests_in_flight", "gauge", "Requests a workload works on now.")
    restarts = Family("bluegreen_workload_restarts", "gauge", "How often replicas ended by themselves since the start.")
    healthy = Family("bluegreen_workload_healthy", "gauge", "1 when every replica passes its health checks, else 0.")
    replicas = Family("bluegreen_workload_replicas", "gauge", "Replicas that were asked for.")
    for service, watcher in fleet.watchers.items():
        fresh_since = fleet.ports.clock.monotonic() - 2 * FRESH_SECONDS
        traffic = fleet.view.traffic(service, since=fresh_since) or {}
        for workload, _ in watcher.held():
            labels = {"service": service, "color": str(workload.color), "workload": workload.id}
            replicas.add(workload.replicas, **labels)
            if (counted := traffic.get(workload.color)) is not None:
                requests.add(counted.requests, **labels)
                errors.add(counted.errors, **labels)
                in_flight.add(counted.in_flight, **labels)
            monitor = fleet.observers[service].monitors.get(workload.id)
            if monitor is None:
                continue
            if monitor.status is not None:
                restarts.add(monitor.status.restarts, **labels)
            if (verdict := monitor.health.verdict) is not Health.UNKNOWN:
                healthy.add(float(verdict is Health.HEALTHY), **labels)
    return [requests, errors, in_flight, restarts, healthy, replicas]
