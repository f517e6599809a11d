"""Traffic steps: what share green gets, one step after the other. Blue-green is one step of 100 %."""

from __future__ import annotations

import math
from dataclasses import replace

from bluegreen.domain.errors import UsageError
from bluegreen.domain.model import RouteTarget, Workload
from bluegreen.domain.service import Canary, ServiceSpec

BLUE_GREEN, CANARY = "blue-green", "canary"
STRATEGIES = (BLUE_GREEN, CANARY)


def steps_of(strategy: str, canary: Canary, *, first_deployment: bool = False) -> tuple[int, ...]:
    """Percentages for green, growing, the last one 100. A first deployment has nobody to share with: one step.
    Raises UsageError for a strategy we don't have."""
    if strategy not in STRATEGIES:
        raise UsageError(
            f"strategy: {strategy!r} is not one of {', '.join(STRATEGIES)}",
            hint="Leave it out for blue-green",
        )
    return (100,) if first_deployment or strategy == BLUE_GREEN else canary.steps


def replicas_at(percent: int, replicas: int) -> int:
    """How many of a version's replicas serve this share of its traffic: in proportion, rounded up, at least one."""
    return max(1, math.ceil(replicas * percent / 100))


def watched_at(share: int, spec: ServiceSpec) -> ServiceSpec:
    """The service with the policy that holds while green has `share` percent: on a canary step its own times and
    limits, as far as they are set."""
    if not 0 < share < 100:
        return spec
    canary, policy = spec.canary, spec.policy
    changed = replace(
        policy,
        monitor_seconds=canary.observe_seconds,
        max_error_rate=policy.max_error_rate if canary.error_threshold is None else canary.error_threshold,
        max_latency_ms=policy.max_latency_ms if canary.latency_threshold_ms is None else canary.latency_threshold_ms,
    )
    return replace(spec, policy=changed)


def targets_at(percent: int, green: Workload, blue: Workload | None) -> tuple[RouteTarget, ...]:
    """The route when green has `percent` of the traffic. Without blue, green has all of it.

    Blue comes first: a router that keeps users on their side gives green the upper end of their numbers, so that
    whoever is on green stays there as its share grows; and a rollback without a log goes to the first.
    """
    if blue is None or percent == 100:
        return (RouteTarget(green.color, green.id, 100),)
    return (
        RouteTarget(blue.color, blue.id, 100 - percent),
        RouteTarget(green.color, green.id, percent),
    )
