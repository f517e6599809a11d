"""A metric of one slot or many over the same time, and the switches within it: what the daemon is asked for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from math import floor

from bluegreen.control import requests as r
from bluegreen.control import tool_requests as t
from bluegreen.control import tool_views as tv
from bluegreen.control import views as v
from bluegreen.domain.errors import UnknownName, UsageError
from bluegreen.domain.model import Color
from bluegreen.domain.timespans import iso, parse_duration, parse_moment
from bluegreen.interfaces.cli.client import DaemonClient

MOST_SERVICES = 20
"""So many are asked for one by one when no service is named."""
DEPLOYMENTS_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """`at` is the end of its step; `value` None when nothing was measured in it."""

    at: float
    value: float | None


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """Over what was measured; None when nothing was. `avg` weighs by what was measured, not by points."""

    min: float | None
    max: float | None
    avg: float | None
    latest: float | None


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """`slot` is empty for both together."""

    service: str
    slot: str
    workloads: tuple[str, ...]
    points: tuple[MetricPoint, ...]
    summary: MetricSummary

    @property
    def name(self) -> str:
        return f"{self.service} {self.slot}".strip()


@dataclass(frozen=True, slots=True)
class SwitchMark:
    """Traffic that moved. `weights` are shares in percent by slot, `versions` what the slots held."""

    at: float
    deployment: str
    weights: dict[str, int]
    versions: dict[str, str]

    @property
    def label(self) -> str:
        """`100 % to green (v2.0)`."""
        return ", ".join(
            f"{weight} % to {slot} ({self.versions[slot]})" for slot, weight in self.weights.items() if weight
        )


@dataclass(frozen=True, slots=True)
class MetricChart:
    """All series have points at the same times."""

    metric: str
    unit: str
    start_at: float
    end_at: float
    step_seconds: float
    series: tuple[MetricSeries, ...]
    switches: tuple[SwitchMark, ...]

    @property
    def measured(self) -> bool:
        return any(series.summary.latest is not None for series in self.series)


@dataclass(frozen=True, slots=True)
class Question:
    """As it was typed. `since` and `until` are moments, `step` is a duration; empty means chosen by the daemon."""

    metric: str
    service: str
    slot: str
    since: str
    until: str
    step: str

    def span(self, now: float) -> tuple[float, float]:
        """Whole seconds, or two steps would end at what reads as the same time. Raises UsageError naming the option."""
        start = float(floor(parse_moment("--since", self.since, now)))
        end = float(floor(min(parse_moment("--until", self.until, now), now)))
        if start >= end:
            raise UsageError(
                "--since: must be before --until and before now", hint="The last five minutes: --since -5m"
            )
        if self.step:
            parse_duration("--step", self.step)
        return start, end


def gather(client: DaemonClient, question: Question, now: float) -> MetricChart:
    """Raises UsageError for a wrong option, and what the daemon raises."""
    start, end = question.span(now)
    wanted = list(_wanted(client, question))
    views = [(service, slot, _ask(client, question, service, slot, start, end)) for service, slot in wanted]
    series = [_series(service, slot, view) for service, slot, view in views]
    # A slot that had nothing is left out, unless none had.
    held = [one for one in series if one.workloads] or series[:1]
    services = {service for service, _ in wanted}
    shape = views[0][2]
    return MetricChart(
        metric=shape.metric,
        unit=shape.unit,
        start_at=_epoch(shape.startTime),
        end_at=_epoch(shape.endTime),
        step_seconds=shape.stepSeconds,
        series=tuple(held),
        switches=tuple(_switches(client, services.pop(), start, end)) if len(services) == 1 else (),
    )


def _wanted(client: DaemonClient, question: Question) -> Iterator[tuple[str, str]]:
    """Service and slot of each series: both slots of a service that is named or the only one, else services."""
    known = client.call("services", r.NoRequest(), v.ServicesView).services
    if question.service and question.service not in known:
        near = get_close_matches(question.service, known, n=3)
        hint = (
            f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known[:20]) or 'none is configured'}"
        )
        raise UnknownName(f"--service: there is no service {question.service[:100]!r}", hint=hint)
    chosen = [question.service] if question.service else list(known)
    if not chosen:
        raise UsageError("--service: no service is configured yet", hint="See: bluegreen services")
    if len(chosen) > MOST_SERVICES:
        raise UsageError(
            f"--service: name one; there are {len(chosen)} services, the limit to show at once is {MOST_SERVICES}",
            hint="See: bluegreen services",
        )
    for service in chosen:
        slots = [question.slot] if question.slot else list(Color) if len(chosen) == 1 else [""]
        for slot in slots:
            yield service, str(slot)


def _ask(client: DaemonClient, question: Question, service: str, slot: str, start: float, end: float) -> tv.MetricsView:
    labels = {"app": service, **({"deployment": slot} if slot else {})}
    request = t.MetricsQueryRequest(
        question.metric, labels=labels, startTime=iso(start), endTime=iso(end), step=question.step
    )
    return client.call("metrics_query", request, tv.MetricsView)


def _series(service: str, slot: str, view: tv.MetricsView) -> MetricSeries:
    points = tuple(MetricPoint(_epoch(point.time), point.value) for point in view.points)
    told = view.summary
    return MetricSeries(service, slot, view.workloads, points, MetricSummary(told.min, told.max, told.avg, told.latest))


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _switches(client: DaemonClient, service: str, start: float, end: float) -> Sequence[SwitchMark]:
    """Those within the time, by the event logs of the deployments that were under way then."""
    history = client.call("history", r.HistoryRequest(service, DEPLOYMENTS_LOOKED_AT), v.HistoryView)
    found = []
    for past in history.deployments:
        if past.switched_at is None or past.requested_at > end or (past.ended_at or end) < start:
            continue
        log = client.call("events", r.EventsRequest(past.id), v.EventsView)
        for event in log.events:
            if event.kind == "traffic_switched" and start <= event.at <= end:
                found.append(_mark(past, event))
    return sorted(found, key=lambda mark: mark.at)


def _mark(past: v.DeploymentView, event: v.EventView) -> SwitchMark:
    weights, versions = {}, {}
    for target in event.data["targets"]:
        image = past.image if target["workload_id"] == past.green else past.previous_image or ""
        weights[target["color"]] = target["weight"]
        versions[target["color"]] = image.rpartition(":")[2]
    return SwitchMark(event.at, past.id, weights, versions)
