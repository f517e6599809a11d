"""A router that routes nothing: for simulations and tests of everything above the port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bluegreen.control.ports import RouterHealth
from bluegreen.domain.errors import RouterError, StaleRoute, UnknownName
from bluegreen.domain.latency import counted
from bluegreen.domain.model import Color, Endpoint, Route, RouteTarget, SlotTraffic
from bluegreen.domain.service import ServiceSpec


class FakeRouter:
    """In memory. `alive = False` makes every call fail but `routes`, which is then read "from disk".

    `refusals` is how many of the next switches are not confirmed; `lost_answers` how many take effect all
    the same. `counters` is what `traffic` answers, by workload id; a service in `unreadable` has no numbers.
    """

    def __init__(self) -> None:
        self.alive = True
        self.refusals = 0
        self.lost_answers = 0
        self.counters: dict[str, SlotTraffic] = {}
        self.unreadable: set[str] = set()
        self.switches: list[Mapping[str, Route]] = []
        """Every switch that took effect, in order."""
        self.endpoints: dict[tuple[str, Color], tuple[Endpoint, ...]] = {}
        self._routes: dict[str, Route] = {}
        self._workloads: dict[tuple[str, Color], str] = {}

    async def configure(self, services: Sequence[ServiceSpec]) -> None:
        self._require_alive()
        names = {spec.name for spec in services}
        self._routes = {name: self._routes.get(name, Route(name)) for name in sorted(names)}
        self.endpoints = {key: value for key, value in self.endpoints.items() if key[0] in names}

    async def set_endpoints(self, service: str, color: Color, endpoints: Sequence[Endpoint]) -> None:
        self._require_alive()
        self._require_known([service])
        before = self.endpoints.get((service, color), ())
        if endpoints and not set(endpoints) & set(before) and not self._routes[service].sends_to(color):
            # Another workload moves in: what the last one counted is not its doing.
            self._workloads.pop((service, color), None)
        self.endpoints[(service, color)] = tuple(endpoints)

    async def switch(
        self,
        targets: Mapping[str, Sequence[RouteTarget]],
        *,
        expected_generation: Mapping[str, int] | None = None,
        durable: bool = True,
    ) -> Mapping[str, Route]:
        self._require_alive()
        self._require_known(targets)
        expected_generations = expected_generation or {}
        if expected_generations and all(
            self._is_done(service, wanted, expected_generations.get(service)) for service, wanted in targets.items()
        ):
            return {service: self._routes[service] for service in targets}
        for service, expected in expected_generations.items():
            found = self._routes[service].generation
            if found != expected:
                raise StaleRoute(f"route of {service!r} has generation {found}, not {expected}: somebody switched")
        if self.refusals:
            self.refusals -= 1
            raise RouterError("the router did not confirm the switch")
        changed = {
            service: Route(service, self._routes[service].generation + 1, _with_weight(wanted))
            for service, wanted in targets.items()
        }
        self._routes.update(changed)
        self.switches.append(changed)
        for service, route in changed.items():
            for target in route.targets:
                self._workloads[(service, target.color)] = target.workload_id
        if self.lost_answers:
            self.lost_answers -= 1
            raise RouterError("the router's answer was lost")
        return changed

    async def routes(self) -> Mapping[str, Route]:
        return dict(self._routes)

    async def traffic(self, services: Sequence[str]) -> Mapping[str, Mapping[Color, SlotTraffic]]:
        self._require_alive()
        return {
            service: {
                color: self.counters.get(self._workloads.get((service, color), ""), SlotTraffic()) for color in Color
            }
            for service in services
            if service in self._routes and service not in self.unreadable
        }

    def count_answer(
        self, workload_id: str, status: int, milliseconds: float, *, in_place: bool = False, retries: int = 0
    ) -> None:
        """As a router counts the head of an answer; `in_place` when no replica gave it."""
        before = self.counters.get(workload_id, SlotTraffic())
        statuses = list(before.statuses or (0,) * 5)
        statuses[status // 100 - 1] += 1
        self.counters[workload_id] = replace(
            before,
            requests=before.requests + 1,
            errors=before.errors + (status >= 500),
            latency=counted(before.latency, milliseconds),
            statuses=tuple(statuses),
            connection_errors=before.connection_errors + in_place,
            retries=before.retries + retries,
        )

    def count_truncated(self, workload_id: str) -> None:
        """As a router counts an answer that the workload broke off; its head was counted before."""
        before = self.counters.get(workload_id, SlotTraffic())
        self.counters[workload_id] = replace(before, errors=before.errors + 1, truncated=before.truncated + 1)

    def count_hang_up(self, workload_id: str) -> None:
        """As a router counts a client that did not wait for its answer."""
        before = self.counters.get(workload_id, SlotTraffic())
        self.counters[workload_id] = replace(before, aborted=before.aborted + 1)

    async def health(self) -> RouterHealth:
        return RouterHealth(self.alive, "a fake router" if self.alive else "the fake router is down")

    def _is_done(self, service: str, wanted: Sequence[RouteTarget], expected: int | None) -> bool:
        """The same switch again, by a caller who did not hear the answer."""
        route = self._routes[service]
        return expected is not None and route == Route(service, expected + 1, _with_weight(wanted))

    async def keep(self) -> None:
        self._require_alive()

    def _require_alive(self) -> None:
        if not self.alive:
            raise RouterError("the router does not answer")

    def _require_known(self, services: Mapping[str, object] | Sequence[str]) -> None:
        for service in services:
            if service not in self._routes:
                raise UnknownName(f"the router does not know a service {service!r}")


def _with_weight(targets: Sequence[RouteTarget]) -> tuple[RouteTarget, ...]:
    return tuple(target for target in targets if target.weight)
