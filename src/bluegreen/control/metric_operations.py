"""`metrics_query`: what was measured, over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from bluegreen.control import tool_requests as t
from bluegreen.control import tool_views as v
from bluegreen.control.fleet import Fleet, unknown
from bluegreen.control.workload_lookup import SERVICE_SUFFIX, everything, find, require_node
from bluegreen.domain.errors import UnknownName
from bluegreen.domain.model import Workload
from bluegreen.domain.series import METRICS, Metric
from bluegreen.domain.timespans import iso, parse_duration, parse_moment
from bluegreen.domain.window import Window, window


def metric_named(name: str) -> Metric:
    """Raises UnknownName with the nearest names and the list."""
    metric = METRICS.get(name)
    if metric is None:
        error = unknown("metric", name, METRICS)
        near = f"{error.hint}   " if error.hint.startswith("Did") else ""
        raise UnknownName(error.message, hint=f"{near}Metrics: {', '.join(METRICS)}")
    return metric


async def metrics_query(fleet: Fleet, request: t.MetricsQueryRequest) -> v.MetricsView:
    """What was measured of a workload (workloadId) or of workloads together (labels): points over time and a summary.
    Use health_check_success before a switch (1.0 means that every check passed), request_error_rate and request_rate
    after it, request_latency_p99 when it feels slow, restarts when a version misbehaves. Kept for 30 days, also of
    versions that are gone: by the second for 15 minutes, by 10 s for a day, by the minute before. Steps are aligned to
    the clock; value null means that nothing was measured; avg of a latency is that of all requests of the time.
    Next: when request_error_rate is above what you accept, move the traffic back with bluegreen_rollback."""
    metric = metric_named(request.metric)
    chosen = await _chosen(fleet, request, _over(request, fleet.ports.clock.now()))
    await fleet.metrics.refresh({workload.service for workload in chosen})
    # Now is after that: what was measured for this very question belongs to the answer.
    over = _over(request, fleet.ports.clock.now())
    measured = await fleet.metrics.measured([workload.id for workload in chosen], metric, over)
    return v.MetricsView(
        metric=metric.name,
        unit=metric.unit,
        workloads=tuple(workload.id for workload in chosen),
        startTime=iso(over.start),
        endTime=iso(over.end),
        stepSeconds=over.step or over.end - over.start,
        points=tuple(v.PointView(iso(point.at), point.value) for point in measured.points),
        summary=v.SummaryView(**asdict(measured.summary)),
        note=f"From memory alone: {measured.problem}" if measured.problem else "",
    )


def _over(request: t.MetricsQueryRequest, now: float) -> Window:
    """Raises UsageError naming the parameter."""
    start = parse_moment("startTime", request.startTime, now)
    # Nothing is measured in the future: a rate over seconds that are still to come would be too low.
    end = min(parse_moment("endTime", request.endTime, now), now)
    return window(start, end, parse_duration("step", request.step) if request.step else None)


async def _found(fleet: Fleet, workload_id: str, measured: Mapping[str, Workload]) -> Workload:
    """One that is planned, or that was gone before the daemon began to measure. Raises UnknownName, Forbidden."""
    try:
        return (await find(fleet, workload_id)).workload
    except UnknownName:
        existing = [found.workload.id for found in await everything(fleet, ended=True)]
        known = list(dict.fromkeys([*existing, *measured]))
        raise unknown("workload", workload_id, known, parameter="workloadId") from None


async def _chosen(fleet: Fleet, request: t.MetricsQueryRequest, over: Window) -> list[Workload]:
    """Those that are there and those that were measured in this time."""
    if app := request.labels.get("app"):
        fleet.spec(app, parameter="labels.app")
    require_node(fleet, request.nodeId)
    workload_id, labels = request.workloadId, dict(request.labels)
    service = workload_id.removesuffix(SERVICE_SUFFIX)
    if service != workload_id and service in fleet.specs:
        # What the switch is called stands for all versions behind it.
        workload_id, labels = "", {"app": service, **labels}
    measured = await fleet.metrics.known(over)
    known = {workload.id: workload for workload in measured.values() if workload.service in fleet.specs}
    for observer in fleet.observers.values():
        known |= {workload_id: monitor.workload for workload_id, monitor in observer.monitors.items()}
    if workload_id and workload_id not in known:
        found = await _found(fleet, workload_id, known)
        known[found.id] = found
    return [
        workload
        for workload in known.values()
        if workload_id in ("", workload.id) and labels.items() <= workload.labels.items()
    ]
