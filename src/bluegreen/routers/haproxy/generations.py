"""Generation fencing: a decision that was made for an older route is refused. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bluegreen.domain.errors import StaleRoute
from bluegreen.domain.model import RouteTarget
from bluegreen.routers.haproxy.routes import RouteEntry


def next_entries(
    current: Mapping[str, RouteEntry],
    targets: Mapping[str, Sequence[RouteTarget]],
    expected: Mapping[str, int],
) -> dict[str, RouteEntry]:
    """The routes after the switch. One that is there already, by the same caller who did not hear the answer, is
    not counted twice: then every service is one generation further and has just these targets.

    Raises StaleRoute when a generation is not the expected one.
    """
    if expected and all(_is_done(current[service], targets[service], expected.get(service)) for service in targets):
        return dict(current)
    for service in targets:
        found = current[service].route.generation
        if service in expected and found != expected[service]:
            raise StaleRoute(
                f"the route of {service!r} has generation {found}, not {expected[service]}:"
                " somebody switched since this was decided; nothing was changed",
                hint=f"Look again: bluegreen status {service}",
            )
    return {service: current[service].moved_to(wanted) for service, wanted in targets.items()}


def _is_done(entry: RouteEntry, wanted: Sequence[RouteTarget], expected: int | None) -> bool:
    kept = tuple(target for target in wanted if target.weight)
    return expected is not None and entry.route.generation == expected + 1 and entry.route.targets == kept
