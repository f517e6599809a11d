"""`report`: all that is known of one deployment, in one answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import asdict, replace

from bluegreen.control import report_views as rv
from bluegreen.control import requests as r
from bluegreen.control.fleet import Fleet
from bluegreen.control.masking import cleaned, cleaner, masked
from bluegreen.control.metric_operations import metrics_query
from bluegreen.control.presenter import deployment_view
from bluegreen.control.reading import read_deployment
from bluegreen.control.tool_requests import MetricsQueryRequest
from bluegreen.control.views import DeploymentView, EventView
from bluegreen.domain import latency
from bluegreen.domain.baseline import Baseline, Window
from bluegreen.domain.deployment import Deployment, Phase
from bluegreen.domain.errors import UnknownName, UsageError
from bluegreen.domain.events import Record
from bluegreen.domain.model import Workload
from bluegreen.domain.series import METRICS
from bluegreen.domain.story import Move, Story, headline, story_of, window_of
from bluegreen.domain.timespans import LAST_MOMENT, iso, parse_moment
from bluegreen.domain.verdict import Verdict
from bluegreen.domain.window import ROUND_STEPS

Clean = Callable[[str], str]

PLOTTED = ("request_rate", "request_error_rate", "request_latency_p50", "request_latency_p99")
"""Those of them that this version measures are asked for."""
MAX_POINTS = 1000


async def report(fleet: Fleet, request: r.ReportRequest) -> rv.ReportView:
    """Everything about one deployment in one answer: how it went, phases, when traffic moved, verdicts with their
    numbers, the old version's record, rates and errors of both versions around the switch, events, logs, and what to
    do next. Use it after a deployment has ended, to tell people what happened; bluegreen_status is shorter."""
    if not 0 <= request.points <= MAX_POINTS:
        raise UsageError(f"points: must be between 0 and {MAX_POINTS}, got {request.points}")
    deployment = await read_deployment(fleet, await _id_of(fleet, request.deployment))
    records = await fleet.ports.store.read(deployment.id)
    story = story_of(records)
    clean = _cleaner(fleet, deployment)
    now = fleet.ports.clock.now()
    start, end = window_of(story, now)
    return rv.ReportView(
        headline=clean(headline(story)),
        made_at=now,
        deployment=_deployment(fleet, deployment, clean),
        old_version=deployment.blue.version if deployment.blue else None,
        phases=tuple(_phases(story, now)),
        moves=tuple(_move(move) for move in story.moves),
        decisions=tuple(
            rv.ReportDecisionView(x.at, x.what, clean(x.reason), x.by, tuple(_verdict(y, clean) for y in x.verdicts))
            for x in story.decisions
        ),
        record=_record_of(deployment.baseline) if deployment.baseline else (),
        window_start=start,
        window_end=end,
        series=await _series(fleet, deployment, start, end, request.points),
        events=tuple(_event(record, clean) for record in records),
        next=tuple(_next(deployment)),
    )


async def _id_of(fleet: Fleet, asked: str) -> str:
    """A service's name stands for its newest deployment."""
    if asked not in fleet.specs:
        return asked
    newest = await fleet.ports.store.deployments(asked, limit=1)
    if not newest:
        raise UnknownName(
            f"deployment: {asked!r} was never deployed", hint=f"Deploy it first: bluegreen deploy {asked}"
        )
    return newest[0]


def _cleaner(fleet: Fleet, d: Deployment) -> Clean:
    """Takes out values of the environment that a version wrote into its log or an error message."""
    if d.service not in fleet.specs:
        return cleaner(())
    workloads = [workload for workload in (d.blue, d.green) if workload is not None]
    public = {d.id, d.service, d.image, *(x.id for x in workloads), *(x.version for x in workloads)}
    return cleaner(fleet.spec_of(d).env.values(), public=public)


def _deployment(fleet: Fleet, d: Deployment, clean: Clean) -> DeploymentView:
    view = deployment_view(fleet, d)
    return replace(
        view,
        reason=clean(view.reason),
        cause=clean(view.cause),
        attention=clean(view.attention),
        logs=tuple(map(clean, view.logs)),
        exit_codes=tuple(map(clean, view.exit_codes)),
    )


def _phases(story: Story, now: float) -> list[rv.ReportPhaseView]:
    return [
        rv.ReportPhaseView(
            str(span.phase),
            span.began_at,
            span.ended_at,
            round(max(0.0, (now if span.ended_at is None else span.ended_at) - span.began_at), 3),
        )
        for span in story.spans
    ]


def _move(move: Move) -> rv.ReportMoveView:
    kind = "rollback" if move.back else "switch" if move.percent == 100 else "step"
    return rv.ReportMoveView(move.at, kind, move.percent, round(move.milliseconds, 1))


def _verdict(verdict: Verdict, clean: Clean) -> rv.ReportVerdictView:
    return rv.ReportVerdictView(
        measurement=verdict.measurement,
        answer=str(verdict.answer),
        reason=clean(verdict.reason),
        requests=verdict.requests,
        events=verdict.events,
        share=verdict.share,
        limit=verdict.limit,
        other_share=verdict.other_share,
        evidence=verdict.evidence,
        bound=verdict.bound,
        needed_requests=verdict.needed_requests,
        value=verdict.value,
        forgiven=verdict.forgiven,
    )


def _record_of(baseline: Baseline) -> tuple[rv.ReportRecordView, ...]:
    return tuple(map(_record, (*baseline.windows, *(moment for moment in baseline.worst if moment.errors))))


def _record(window: Window) -> rv.ReportRecordView:
    return rv.ReportRecordView(
        window=window.name,
        requests=window.requests,
        errors=window.errors,
        error_share=window.errors / window.requests if window.requests else None,
        latency_p50_milliseconds=latency.quantile(window.latency, 0.5),
        latency_p99_milliseconds=latency.quantile(window.latency, 0.99),
    )


def _event(record: Record, clean: Clean) -> EventView:
    data = cleaned(masked(asdict(record.event)), clean)
    return EventView(record.sequence, record.deployment_id, record.service, record.at, record.event.kind, data)


async def _series(
    fleet: Fleet, d: Deployment, start: float, end: float, points: int
) -> tuple[rv.ReportSeriesView, ...]:
    """Each metric of each version. Asked for together, so that the router is asked once."""
    sides = [(role, workload) for role, workload in (("old", d.blue), ("new", d.green)) if workload is not None]
    if d.service not in fleet.specs or not points:
        return ()
    wanted = [(metric, role, workload) for metric in PLOTTED if metric in METRICS for role, workload in sides]
    return tuple(await asyncio.gather(*(_one(fleet, *which, start, end, points) for which in wanted)))


async def _one(
    fleet: Fleet, metric: str, role: str, workload: Workload, start: float, end: float, points: int
) -> rv.ReportSeriesView:
    step = _step(end - start, points)
    # Steps are aligned to the clock; whole ones can be told by the end of the last.
    start, end = math.floor(start / step) * step, math.ceil(end / step) * step
    note = ""
    request = MetricsQueryRequest(
        metric, workload.id, startTime=_moment(start), endTime=_moment(end), step=f"{step:.0f}s"
    )
    try:
        view = await metrics_query(fleet, request)
        values = tuple(None if point.value is None else float(f"{point.value:.4g}") for point in view.points)
        note = view.note
        end = math.ceil(parse_moment("endTime", view.endTime, end) / step) * step
    except UnknownName:
        values = ()  # Nobody knows this workload any more.
    if all(value is None for value in values):
        values = ()
    unit = METRICS[metric].unit
    return rv.ReportSeriesView(
        metric, unit, role, str(workload.color), workload.version, workload.id, end, step, values, note
    )


def _moment(at: float) -> str:
    return iso(min(max(at, 0.0), LAST_MOMENT - 1))


def _step(seconds: float, points: int) -> float:
    """A round number of seconds."""
    least = max(1.0, seconds / points)
    return float(next((step for step in ROUND_STEPS if step >= least), math.ceil(least)))


def _next(d: Deployment) -> list[rv.NextCommandView]:
    """What to type, the most likely first."""
    service, commands = d.service, [(f"bluegreen events {d.id}", "every decision, in order")]
    old = d.blue.version if d.blue else ""
    match d.phase:
        case Phase.AWAITING_APPROVAL:
            commands = [
                (f"bluegreen approve {service}", "let it have the traffic"),
                (f"bluegreen abort {service}", "stop it; nothing was touched"),
            ]
        case Phase.SWITCHING | Phase.MONITORING | Phase.RETAINING if d.switched and d.can_roll_back:
            back = (f"bluegreen rollback {service}", f"all traffic to {old} again, at once")
            accept = (f"bluegreen promote {service}", "accept it as it is, when it waits for a person")
            if not d.last_step:
                accept = (accept[0], f"end this step, and go on to {d.steps[d.step_index + 1]} % of the traffic")
            commands = [back, *([accept] if d.phase is Phase.MONITORING else [])]
        case Phase.COMPLETED if old:
            commands = [(f"bluegreen rollback {service}", f"starts {old} again, and switches when it is healthy")]
        case Phase.ROLLED_BACK | Phase.FAILED | Phase.ABORTED:
            kept = (f"bluegreen logs {service}", "the last lines of the version that did not stay")
            again = (f"bluegreen deploy {service} --image TAG", "a version that mends it")
            commands = [*([kept] if d.green else []), *commands, again]
        case phase if not phase.terminal:
            commands = [(f"bluegreen status {service} --watch", "what it waits for"), *commands]
    return [rv.NextCommandView(command, why) for command, why in commands]
