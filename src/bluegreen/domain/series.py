"""From what was counted to points over time: sums over workloads first, then rates and shares.

Two samples of a request counter say how many came between them, not when, so they are spread evenly over that time.
Health checks are few: each counts in the step in which it was seen. In-flight requests and restarts are the last value
that is known at the end of a step.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bluegreen.domain.errors import UsageError

MAX_POINTS = 10_000
DEFAULT_POINTS = 60
SHORTEST_STEP_SECONDS = 1.0
HOLD_SECONDS = 15.0
"""How long the last value that was read is still believed when no other follows."""
LONGEST_GAP_SECONDS = 300.0
"""How far apart two values may be for the first to be believed until the second."""
ROUND_STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)


@dataclass(frozen=True, slots=True)
class Sample:
    """What was known of one workload at one moment (`at` in seconds). All but `in_flight` are counters since the
    workload began; None is what could not be read then."""

    at: float
    requests: int | None = None
    errors: int | None = None
    in_flight: int | None = None
    checks: int | None = None
    checks_passed: int | None = None
    restarts: int | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """`at` is the end of the step; `value` None when nothing was measured in it. `weight` is how much was measured:
    requests for a rate of errors, checks for health, seconds else."""

    at: float
    value: float | None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Summary:
    min: float | None = None
    max: float | None = None
    avg: float | None = None
    latest: float | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to `end` in steps that end at `end`; the first may be cut by `start`."""

    start: float
    end: float
    step: float

    @property
    def edges(self) -> list[float]:
        """Beginnings and ends of the steps, ascending."""
        count = max(1, math.ceil((self.end - self.start) / self.step - 1e-6))
        return [self.start, *(self.end - number * self.step for number in range(count - 1, -1, -1))]


def window(start: float, end: float, step: float | None) -> Window:
    """Raises UsageError when it is empty or would have too many points. No step: a round one, at most 60 points."""
    if not start < end:
        raise UsageError("startTime: must be before endTime", hint="For the last five minutes: startTime -5m")
    width = end - start
    if step is None:
        least = width / DEFAULT_POINTS
        step = float(next((candidate for candidate in ROUND_STEPS if candidate >= least), math.ceil(least)))
    if step < SHORTEST_STEP_SECONDS:
        raise UsageError(f"step: must be at least {SHORTEST_STEP_SECONDS:g}s, got {step:g}s")
    if width / step > MAX_POINTS:
        raise UsageError(
            f"step: {step:g}s makes {math.ceil(width / step)} points of {width:.0f} s, the limit is {MAX_POINTS}",
            hint=f"Choose a step of at least {math.ceil(width / MAX_POINTS)}s, or none",
        )
    return Window(start, end, step)


class Tally:
    """Turns a counter that may begin anew (a router that was restarted) into one that only grows."""

    __slots__ = ("_before", "_total")

    def __init__(self) -> None:
        self._total = 0
        self._before = 0

    def add(self, counted: int) -> int:
        """The total after this reading. Less than before means that it began anew and counted this much since."""
        self._total += growth(self._before, counted)
        self._before = counted
        return self._total


def growth(before: int, after: int) -> int:
    """Never negative: a counter that is smaller than before began anew."""
    return after - before if after >= before else after


Column = list[float | None]
"""A value for each step, None where nothing was measured."""
Collect = Callable[[Sequence[Sample], str, Sequence[float]], Column]


def _known(samples: Sequence[Sample], name: str) -> list[tuple[float, int]]:
    return [(sample.at, value) for sample in samples if (value := getattr(sample, name)) is not None]


def _spread(samples: Sequence[Sample], name: str, edges: Sequence[float]) -> Column:
    """How much a counter grew in each step; None where no two samples tell."""
    grown: Column = [None] * (len(edges) - 1)
    known = _known(samples, name)
    for (began, before), (ended, after) in pairwise(known):
        first, last = max(began, edges[0]), min(ended, edges[-1])
        if began == ended and edges[0] < ended <= edges[-1]:
            step = bisect_left(edges, ended) - 1
            grown[step] = (grown[step] or 0.0) + growth(before, after)
        if first >= last:
            continue
        share = growth(before, after) / (ended - began)
        step = bisect_right(edges, first) - 1
        while step < len(grown) and edges[step] < last:
            seconds = min(last, edges[step + 1]) - max(first, edges[step])
            grown[step] = (grown[step] or 0.0) + share * seconds
            step += 1
    return grown


def _seen(samples: Sequence[Sample], name: str, edges: Sequence[float]) -> Column:
    """How much a counter grew, counted where the later of two samples lies; None where there is no later one."""
    grown: Column = [None] * (len(edges) - 1)
    known = _known(samples, name)
    for (_, before), (at, after) in pairwise(known):
        if edges[0] < at <= edges[-1]:
            step = bisect_left(edges, at) - 1
            grown[step] = (grown[step] or 0.0) + growth(before, after)
    return grown


def _last(samples: Sequence[Sample], name: str, edges: Sequence[float]) -> Column:
    """The value at the end of each step: what was read last, unless that is too long ago."""
    known = _known(samples, name)
    found: Column = []
    position = 0
    for begin, end in pairwise(edges):
        while position < len(known) and known[position][0] <= end:
            position += 1
        value: float | None = None
        if position:
            at, read = known[position - 1]
            following = known[position][0] if position < len(known) else math.inf
            if at > begin or end - at <= HOLD_SECONDS or following - at <= LONGEST_GAP_SECONDS:
                value = float(read)
        found.append(value)
    return found


def _total(columns: Iterable[Column], steps: int) -> Column:
    """Sums of what is known; None where nothing is."""
    totals: Column = [None] * steps
    for column in columns:
        for position, value in enumerate(column):
            if value is not None:
                totals[position] = (totals[position] or 0.0) + value
    return totals


Workloads = Sequence[Sequence[Sample]]
"""The samples of each workload, by time."""
Draw = Callable[[Workloads, Sequence[float]], list[Point]]


def _sum(workloads: Workloads, name: str, collect: Collect, edges: Sequence[float]) -> Column:
    return _total((collect(samples, name, edges) for samples in workloads), len(edges) - 1)


def _rate(name: str) -> Draw:
    def draw(workloads: Workloads, edges: Sequence[float]) -> list[Point]:
        counted = zip(edges, edges[1:], _sum(workloads, name, _spread, edges), strict=False)
        return [Point(end, None if n is None else n / (end - begin), end - begin) for begin, end, n in counted]

    return draw


def _share(part: str, whole: str, collect: Collect) -> Draw:
    def draw(workloads: Workloads, edges: Sequence[float]) -> list[Point]:
        parts, wholes = _sum(workloads, part, collect, edges), _sum(workloads, whole, collect, edges)
        return [
            Point(end, min(1.0, (some or 0.0) / every) if every else None, every or 0.0)
            for end, some, every in zip(edges[1:], parts, wholes, strict=True)
        ]

    return draw


def _gauge(name: str) -> Draw:
    def draw(workloads: Workloads, edges: Sequence[float]) -> list[Point]:
        values = zip(edges, edges[1:], _sum(workloads, name, _last, edges), strict=False)
        return [Point(end, value, end - begin) for begin, end, value in values]

    return draw


@dataclass(frozen=True, slots=True)
class Metric:
    """`unit` is what a value means; `share` tells that it lies between 0 and 1."""

    name: str
    unit: str
    draw: Draw
    share: bool = False


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "health_check_success",
            "share of health checks that passed, 0 to 1",
            _share("checks_passed", "checks", _seen),
            share=True,
        ),
        Metric(
            "request_error_rate",
            "share of requests answered with status 500 or above, 0 to 1",
            _share("errors", "requests", _spread),
            share=True,
        ),
        Metric("request_rate", "requests per second", _rate("requests")),
        Metric("requests_in_flight", "requests being worked on at the end of the step", _gauge("in_flight")),
        Metric("restarts", "restarts since the workload began", _gauge("restarts")),
    )
}


def points(metric: Metric, workloads: Workloads, over: Window) -> list[Point]:
    """The metric of these workloads taken together."""
    return metric.draw(workloads, over.edges)


def summary(found: Sequence[Point]) -> Summary:
    """`avg` weighs each point by what was measured in it, so that the average of shares is the share of all."""
    known = [(point.value, point.weight) for point in found if point.value is not None]
    if not known:
        return Summary()
    values = [value for value, _ in known]
    weight = sum(weight for _, weight in known)
    average = sum(value * share for value, share in known) / weight if weight else sum(values) / len(values)
    return Summary(min(values), max(values), min(max(average, min(values)), max(values)), values[-1])
