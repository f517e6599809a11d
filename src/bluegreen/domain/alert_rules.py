"""Standing rules: `request_error_rate > 0.05 for 2m`. What a value does to a rule is decided here, by values alone."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from bluegreen.domain.errors import UsageError
from bluegreen.domain.series import Metric
from bluegreen.domain.timespans import parse_duration

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
LONGEST_HOLD_SECONDS = 86_400.0
_CONDITION = re.compile(
    r"\s*([a-z0-9_]+)\s*(>=|<=|==|!=|>|<)\s*(-?[0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(%?)(?:\s+for\s+(\S+(?:\s[smhd])?))?\s*",
    re.IGNORECASE,
)
_EXAMPLE = "Write METRIC OPERATOR NUMBER [for DURATION], such as request_error_rate > 0.05 for 2m"


@dataclass(frozen=True, slots=True)
class Condition:
    metric: str
    comparison: str
    threshold: float
    hold_seconds: float = 0.0
    """How long it must be true without a break before the rule fires."""

    def holds(self, value: float) -> bool:
        return OPERATORS[self.comparison](value, self.threshold)


def parse_condition(text: str, metrics: Mapping[str, Metric]) -> Condition:
    """Raises UsageError that names `condition` and shows an example."""
    hint = f"{_EXAMPLE}; metrics: {', '.join(metrics)}"
    matched = _CONDITION.fullmatch(text)
    if matched is None:
        raise UsageError(f"condition: {text[:80]!r} is not understood", hint=hint)
    name, comparison, number, percent, duration = matched.groups()
    metric = metrics.get(name.lower())
    if metric is None:
        near = difflib.get_close_matches(name.lower(), list(metrics), n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"condition: there is no metric {name[:80]!r}{meant}", hint=hint)
    threshold = float(number) / (100 if percent else 1)
    if metric.share and not 0 <= threshold <= 1:
        raise UsageError(
            f"condition: {metric.name} is a share between 0 and 1, so it is never compared with {threshold:g}",
            hint=f"For five percent write 0.05 or 5%. {hint}",
        )
    hold_seconds = parse_duration("condition", duration) if duration else 0.0
    if hold_seconds > LONGEST_HOLD_SECONDS:
        raise UsageError(f"condition: for at most 1d, got {duration}", hint=hint)
    return Condition(metric.name, comparison, threshold, hold_seconds)


class RuleState(StrEnum):
    INACTIVE = "inactive"
    PENDING = "pending"
    """Holds, not long enough yet."""
    FIRING = "firing"
    UNKNOWN = "unknown"
    """Nothing has been measured yet."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a rule stands. `since` is when this state began, by the clock that `advance` is told the time of;
    `value` None when nothing was measured at the last look."""

    state: RuleState = RuleState.UNKNOWN
    since: float = 0.0
    value: float | None = None


class Change(StrEnum):
    FIRED = "fired"
    RESOLVED = "resolved"


def advance(
    condition: Condition, standing: Standing, value: float | None, now: float
) -> tuple[Standing, Change | None]:
    """Where the rule stands after one more look, and what people must be told. An unknown value leaves everything as it
    is: silence neither fires a rule nor ends it, and a service with few requests can still fire one."""
    state = standing.state
    if value is None:
        return replace(standing, value=None), None
    if not condition.holds(value):
        since = standing.since if state is RuleState.INACTIVE else now
        return Standing(RuleState.INACTIVE, since, value), Change.RESOLVED if state is RuleState.FIRING else None
    if state is RuleState.FIRING:
        return replace(standing, value=value), None
    began = standing.since if state is RuleState.PENDING else now
    if now - began >= condition.hold_seconds:
        return Standing(RuleState.FIRING, now, value), Change.FIRED
    return Standing(RuleState.PENDING, began, value), None
