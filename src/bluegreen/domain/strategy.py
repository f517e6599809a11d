"""Traffic steps: what share green gets, one step after the other. Blue-green is one step of 100 %."""

from __future__ import annotations

from bluegreen.domain.errors import UsageError
from bluegreen.domain.model import RouteTarget, Workload

STRATEGIES: dict[str, tuple[int, ...]] = {"blue-green": (100,)}


def steps_of(strategy: str) -> tuple[int, ...]:
    """Percentages for green, growing, the last one 100. Raises UsageError for a strategy we don't have."""
    steps = STRATEGIES.get(strategy)
    if steps is None:
        raise UsageError(
            f"strategy: {strategy!r} is not one of {', '.join(STRATEGIES)}",
            hint="Leave it out for blue-green",
        )
    return steps


def targets_at(percent: int, green: Workload, blue: Workload | None) -> tuple[RouteTarget, ...]:
    """The route when green has `percent` of the traffic. Without blue, green has all of it."""
    if blue is None or percent == 100:
        return (RouteTarget(green.color, green.id, 100),)
    return (
        RouteTarget(blue.color, blue.id, 100 - percent),
        RouteTarget(green.color, green.id, percent),
    )
