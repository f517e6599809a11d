"""Route values as HAProxy reads them from its map, one line per service. Pure.

    SERVICE.blue/WORKLOAD/GENERATION/IN_BLUE/IN_GREEN                    all traffic to blue
    SERVICE.blue/W1/GENERATION/IN_BLUE/IN_GREEN|70|SERVICE.green/W2/…    70 % to blue, the rest to green
    none/-/GENERATION/IN_BLUE/IN_GREEN                                   no version: 503
    detour/WORKLOAD/GENERATION/IN_BLUE/IN_GREEN/ADDRESS/PORT             in an old process, see `encode`

HAProxy uses the backend and the workload (which its counters are keyed by) and ignores the rest. IN_BLUE and
IN_GREEN remember which workload last had traffic in each slot, so that a retained slot can still be counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bluegreen.domain.errors import UsageError
from bluegreen.domain.model import Color, Endpoint, Route, RouteTarget

NOTHING = "-"
NO_VERSION_BACKEND = "none"
DETOURS = {"http1": "detour", "h2c": "detour-h2c"}
"""By protocol: the backend whose address is in the route. Has no dot, so it can't be a service's."""
WORKLOAD_ID_MAX_LENGTH = 120

_WORKLOAD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SERVICE = re.compile(r"[a-z0-9][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """A route, and the workload that last had traffic in each slot ("" when there was none)."""

    route: Route
    in_blue: str = ""
    in_green: str = ""

    def occupant(self, color: Color) -> str:
        return self.in_blue if color is Color.BLUE else self.in_green

    def moved_to(self, targets: Sequence[RouteTarget]) -> RouteEntry:
        """The next generation. Targets without weight are left out, since no request reaches them."""
        kept = tuple(target for target in targets if target.weight)
        occupants = {Color.BLUE: self.in_blue, Color.GREEN: self.in_green}
        occupants.update({target.color: target.workload_id for target in kept})
        route = Route(self.route.service, self.route.generation + 1, kept)
        return RouteEntry(route, occupants[Color.BLUE], occupants[Color.GREEN])

    def without_occupant(self, color: Color) -> RouteEntry:
        if color is Color.BLUE:
            return RouteEntry(self.route, "", self.in_green)
        return RouteEntry(self.route, self.in_blue, "")


def require_valid_targets(service: str, targets: Sequence[RouteTarget]) -> None:
    """Raises UsageError unless the weights are 0..100 and add up to 100, each slot named at most once."""
    if not _SERVICE.fullmatch(service):
        raise UsageError(f"route: {service!r} is not a service name")
    for target in targets:
        if len(target.workload_id) > WORKLOAD_ID_MAX_LENGTH or not _WORKLOAD_ID.fullmatch(target.workload_id):
            raise UsageError(
                f"route of {service!r}: {target.workload_id!r} can't be a workload id in a route",
                hint=f"Use letters, digits, '.', '_' and '-', at most {WORKLOAD_ID_MAX_LENGTH}",
            )
        if not 0 <= target.weight <= 100:
            raise UsageError(f"route of {service!r}: the weight of {target.color} is {target.weight}, not 0 to 100")
    if len({target.color for target in targets}) != len(targets):
        raise UsageError(f"route of {service!r}: a slot is named twice")
    total = sum(target.weight for target in targets)
    if targets and total != 100:
        raise UsageError(f"route of {service!r}: the weights add up to {total}, not 100")


def backend_name(service: str, color: Color) -> str:
    return f"{service}.{color.value}"


@dataclass(frozen=True, slots=True)
class Detour:
    """One replica, for a process that does not know the slot's replicas."""

    endpoint: Endpoint
    protocol: str


def encode(entry: RouteEntry, detours: Mapping[Color, Detour] | None = None) -> str:
    """With `detours` for a process whose server lines are out of date: those slots are reached by address."""
    route = entry.route
    memory = f"{route.generation}/{entry.in_blue or NOTHING}/{entry.in_green or NOTHING}"
    if not route.targets:
        return f"{NO_VERSION_BACKEND}/{NOTHING}/{memory}"
    values = [
        _encode_target(route.service, target, memory, (detours or {}).get(target.color)) for target in route.targets
    ]
    return values[0] if len(values) == 1 else f"{values[0]}|{route.targets[0].weight}|{values[1]}"


def _encode_target(service: str, target: RouteTarget, memory: str, detour: Detour | None) -> str:
    if detour is None:
        return f"{backend_name(service, target.color)}/{target.workload_id}/{memory}"
    where = f"{detour.endpoint.host}/{detour.endpoint.port}"
    return f"{DETOURS[detour.protocol]}/{target.workload_id}/{memory}/{where}"


@lru_cache(maxsize=16_384)
def decode(service: str, value: str) -> RouteEntry:
    """Raises ValueError when the value is not one of ours."""
    first, *rest = value.split("|")
    backend, workload_id, generation, in_blue, in_green = first.split("/")
    targets: tuple[RouteTarget, ...] = ()
    if rest:
        weight, other = rest
        other_backend, other_id, *_ = other.split("/")
        share = int(weight)
        targets = (
            RouteTarget(_color(backend), workload_id, share),
            RouteTarget(_color(other_backend), other_id, 100 - share),
        )
    elif backend != NO_VERSION_BACKEND:
        targets = (RouteTarget(_color(backend), workload_id),)
    route = Route(service, int(generation), targets)
    return RouteEntry(route, in_blue.removeprefix(NOTHING), in_green.removeprefix(NOTHING))


def _color(backend: str) -> Color:
    return Color(backend.rpartition(".")[2])


def parse_table(lines: Iterable[str]) -> dict[str, RouteEntry]:
    """Lines that are not ours (cut off by a full disk) are left out: their services are then unknown, not wrong."""
    entries: dict[str, RouteEntry] = {}
    for line in lines:
        service, _, value = line.strip().partition(" ")
        try:
            entries[service] = decode(service, value)
        except ValueError:
            continue
    return entries


def newest(*candidates: RouteEntry | None) -> RouteEntry | None:
    """The one with the highest generation; the first of equals."""
    known = [candidate for candidate in candidates if candidate is not None]
    return max(known, key=lambda entry: entry.route.generation) if known else None


def merged(first: Mapping[str, RouteEntry], second: Mapping[str, RouteEntry]) -> dict[str, RouteEntry]:
    """For every service of either, the newest."""
    table = dict(first)
    for service, entry in second.items():
        if service not in table or entry.route.generation > table[service].route.generation:
            table[service] = entry
    return table
