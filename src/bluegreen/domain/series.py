"""The metrics: from what was counted to points over time. Sums over workloads first, then rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bluegreen.domain.collecting import Workloads, counts, levels
from bluegreen.domain.columns import LATENCY
from bluegreen.domain.latency import quantile
from bluegreen.domain.window import Window


@dataclass(frozen=True, slots=True)
class Point:
    """`at` is the end of the step; `value` None when nothing was measured in it. `weight` is how much was measured:
    requests for a rate of errors or a latency, checks for health, seconds else."""

    at: float
    value: float | None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Summary:
    min: float | None = None
    max: float | None = None
    avg: float | None = None
    latest: float | None = None


Draw = Callable[[Workloads, Sequence[str], Sequence[float]], list[Point]]
"""From samples, the names of the metric's columns, and the edges of the steps."""


def _rate(workloads: Workloads, columns: Sequence[str], edges: Sequence[float]) -> list[Point]:
    came = zip(edges, edges[1:], counts(workloads, columns, edges, spread=True), strict=False)
    return [Point(end, None if sums is None else sums[0] / (end - begin), end - begin) for begin, end, sums in came]


def _share(workloads: Workloads, columns: Sequence[str], edges: Sequence[float], *, spread: bool = True) -> list[Point]:
    """Of the first column, the share that the second is."""
    found = []
    for end, sums in zip(edges[1:], counts(workloads, columns, edges, spread=spread), strict=True):
        every, some = sums or (0.0, 0.0)
        found.append(Point(end, min(1.0, some / every) if every else None, every))
    return found


def _quantile(workloads: Workloads, columns: Sequence[str], edges: Sequence[float], *, share: float) -> list[Point]:
    """From the buckets of all workloads taken together, never from other quantiles."""
    merged = counts(workloads, columns, edges, spread=True)
    return [
        Point(end, quantile(buckets, share) if buckets else None, sum(buckets or ()))
        for end, buckets in zip(edges[1:], merged, strict=True)
    ]


def _level(workloads: Workloads, columns: Sequence[str], edges: Sequence[float]) -> list[Point]:
    values = zip(edges, edges[1:], levels(workloads, columns[0], edges), strict=False)
    return [Point(end, value, end - begin) for begin, end, value in values]


def _highest(workloads: Workloads, columns: Sequence[str], edges: Sequence[float]) -> list[Point]:
    values = zip(edges, edges[1:], levels(workloads, columns[0], edges, max), strict=False)
    return [Point(end, value, end - begin) for begin, end, value in values]


def _mean(workloads: Workloads, columns: Sequence[str], edges: Sequence[float]) -> list[Point]:
    """The second column is a sum over so many as the first says."""
    many, together = (levels(workloads, name, edges) for name in columns)
    return [
        Point(end, total / number if number and total is not None else None, number or 0.0)
        for end, number, total in zip(edges[1:], many, together, strict=True)
    ]


def _cores(workloads: Workloads, columns: Sequence[str], edges: Sequence[float]) -> list[Point]:
    """Each workload's mean over what was measured of the step, all of them added."""
    totals: list[float | None] = [None] * (len(edges) - 1)
    for samples in workloads:
        for step, sums in enumerate(counts([samples], columns, edges, spread=True, over=columns[0])):
            if sums is not None and sums[0] > 0:
                totals[step] = (totals[step] or 0.0) + sums[1] / sums[0]
    return [Point(end, total, end - begin) for begin, end, total in zip(edges, edges[1:], totals, strict=False)]


@dataclass(frozen=True, slots=True)
class Metric:
    """`unit` is what a value means; `share` tells that it lies between 0 and 1. `pooled` metrics have no average of
    their points: what stands for it is the metric of the whole window."""

    name: str
    unit: str
    columns: Sequence[str]
    draw: Draw
    share: bool = False
    pooled: bool = False


def _latency(percent: int) -> Metric:
    unit = f"milliseconds until the answer began, which {percent} % of the requests did not exceed"
    return Metric(f"request_latency_p{percent}", unit, LATENCY, partial(_quantile, share=percent / 100), pooled=True)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("cpu_usage", "cores", ("usage_milliseconds", "cpu_milliseconds"), _cores),
        Metric("gpu_memory_used", "bytes in use on the GPUs", ("gpu_memory_bytes",), _level),
        Metric("gpu_temperature", "degrees Celsius of the hottest GPU", ("gpu_celsius",), _highest),
        Metric(
            "gpu_utilization",
            "share of the time in which the GPUs were busy, 0 to 1",
            ("gpus", "gpus_busy"),
            _mean,
            share=True,
        ),
        Metric(
            "health_check_success",
            "share of health checks that passed, 0 to 1",
            ("checks", "checks_passed"),
            partial(_share, spread=False),
            share=True,
        ),
        Metric("memory_used", "bytes of resident memory", ("memory_bytes",), _level),
        Metric(
            "request_connection_error_rate",
            "share of requests that no replica answered, so that the router did, 0 to 1",
            ("requests", "connection_errors"),
            _share,
            share=True,
        ),
        Metric(
            "request_error_rate",
            "share of requests that failed: status 500 or above, or an answer that broke off, 0 to 1",
            ("requests", "errors"),
            _share,
            share=True,
        ),
        *(_latency(percent) for percent in (50, 90, 95, 99)),
        Metric("request_rate", "requests per second", ("requests",), _rate),
        Metric("requests_in_flight", "requests being worked on at the end of the step", ("in_flight",), _level),
        Metric("restarts", "restarts since the workload began", ("restarts",), _level),
        Metric(
            "workload_duration", "seconds since the workload was started, of the oldest", ("age_seconds",), _highest
        ),
    )
}


def points(metric: Metric, workloads: Workloads, over: Window) -> list[Point]:
    """The metric of these workloads taken together."""
    return metric.draw(workloads, metric.columns, over.edges)


def described(metric: Metric, workloads: Workloads, over: Window) -> tuple[list[Point], Summary]:
    """Points and what they add up to. `avg` of a quantile is that of all requests in the window."""
    found = points(metric, workloads, over)
    told = summary(found)
    if metric.pooled:
        told = replace(told, avg=points(metric, workloads, Window(over.start, over.end))[0].value)
    return found, told


def summary(found: Sequence[Point]) -> Summary:
    """`avg` weighs each point by what was measured in it, so that the average of shares is the share of all."""
    known = [(point.value, point.weight) for point in found if point.value is not None]
    if not known:
        return Summary()
    values = [value for value, _ in known]
    weight = sum(weight for _, weight in known)
    average = sum(value * share for value, share in known) / weight if weight else sum(values) / len(values)
    return Summary(min(values), max(values), min(max(average, min(values)), max(values)), values[-1])
