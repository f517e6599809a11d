"""`metrics_query`: what was measured, over time."""

from __future__ import annotations

from collections.abc import Mapping

from bluegreen.control import tool_requests as t
from bluegreen.control import tool_views as v
from bluegreen.control.fleet import Fleet, unknown
from bluegreen.control.workload_lookup import everything, find
from bluegreen.domain.errors import UnknownName, UsageError
from bluegreen.domain.model import Workload
from bluegreen.domain.series import METRICS, Metric, Window, summary, window
from bluegreen.domain.timespans import iso, parse_duration, parse_moment


def metric_named(name: str) -> Metric:
    """Raises UnknownName with the nearest names and the list."""
    metric = METRICS.get(name)
    if metric is None:
        error = unknown("metric", name, METRICS)
        raise UnknownName(error.message, hint=f"{error.hint.rstrip('.')}   Metrics: {', '.join(METRICS)}")
    return metric


async def metrics_query(fleet: Fleet, request: t.MetricsQueryRequest) -> v.MetricsView:
    """What was measured of a workload (workloadId) or of workloads together (labels): points over time and a summary.
    Use health_check_success before a switch (1.0 means that every check passed), request_error_rate and request_rate
    after it, restarts when a version misbehaves. Points are kept for a day; value null means that nothing was measured.
    Next: when request_error_rate is above what you accept, move the traffic back with bluegreen_rollback."""
    metric = metric_named(request.metric)
    _over(request, fleet.ports.clock.now())
    chosen = await _chosen(fleet, request)
    await fleet.metrics.refresh({workload.service for workload in chosen})
    # Now is after that: what was measured for this very question belongs to the answer.
    over = _over(request, fleet.ports.clock.now())
    found = fleet.metrics.points([workload.id for workload in chosen], metric, over)
    told = summary(found)
    return v.MetricsView(
        metric=metric.name,
        unit=metric.unit,
        workloads=tuple(workload.id for workload in chosen),
        startTime=iso(over.start),
        endTime=iso(over.end),
        stepSeconds=over.step,
        points=tuple(v.PointView(iso(point.at), point.value) for point in found),
        summary=v.SummaryView(told.min, told.max, told.avg, told.latest),
    )


def _over(request: t.MetricsQueryRequest, now: float) -> Window:
    """Raises UsageError naming the parameter."""
    start = parse_moment("startTime", request.startTime, now)
    end = parse_moment("endTime", request.endTime, now)
    return window(start, end, parse_duration("step", request.step) if request.step else None)


async def _found(fleet: Fleet, workload_id: str, measured: Mapping[str, Workload]) -> Workload:
    """One that is planned, or that was gone before the daemon began to measure. Raises UnknownName, Forbidden."""
    try:
        return (await find(fleet, workload_id)).workload
    except UnknownName:
        existing = [found.workload.id for found in await everything(fleet, ended=True)]
        known = list(dict.fromkeys([*existing, *measured]))
        raise unknown("workload", workload_id, known, parameter="workloadId") from None


async def _chosen(fleet: Fleet, request: t.MetricsQueryRequest) -> list[Workload]:
    """Those that are there and those that were measured within the day."""
    if app := request.labels.get("app"):
        fleet.spec(app)
    known = {workload.id: workload for workload in fleet.metrics.workloads if workload.service in fleet.specs}
    for observer in fleet.observers.values():
        known |= {workload_id: monitor.workload for workload_id, monitor in observer.monitors.items()}
    if request.workloadId and request.workloadId not in known:
        found = await _found(fleet, request.workloadId, known)
        known[found.id] = found
    if request.nodeId not in ("", fleet.node_id):
        raise UsageError(
            f"nodeId: there is no machine {request.nodeId!r}", hint=f"The only one here is {fleet.node_id}"
        )
    return [
        workload
        for workload in known.values()
        if request.workloadId in ("", workload.id) and request.labels.items() <= workload.labels.items()
    ]
