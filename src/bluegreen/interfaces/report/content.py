"""What a report says, before it is a page or a text: facts, tables and lines as plain words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from bluegreen.control.report_views import (
    ReportDecisionView,
    ReportMoveView,
    ReportPhaseView,
    ReportSeriesView,
    ReportView,
)
from bluegreen.domain.deployment import Phase
from bluegreen.interfaces.cli.output import duration, milliseconds, plural
from bluegreen.interfaces.cli.sentences import ROUTINE, sentence

GOOD, BAD, WARN, NEUTRAL = "good", "bad", "warn", "neutral"
OUTCOMES: dict[str, tuple[str, str]] = {
    "completed": ("Completed", GOOD),
    "retaining": ("In service", GOOD),
    "rolled_back": ("Rolled back", BAD),
    "rolling_back": ("Rolling back", BAD),
    "failed": ("Failed before the switch", BAD),
    "aborted": ("Aborted", WARN),
    "awaiting_approval": ("Waits for approval", WARN),
}
"""Phase → what it means to people, and how good it is."""
DECISIONS = {"passed": "Monitoring passed", "step_passed": "A step passed", "rollback": "Rollback"}
NOTHING = "–"

METRIC_TITLES = {
    "rate": ("Requests per second", ("request_rate",)),
    "errors": ("Failed requests", ("request_error_rate",)),
    "latency": ("Latency", ("request_latency_p99", "request_latency_p50")),
}
"""The charts, each with the metrics that are drawn in it."""


@dataclass(frozen=True, slots=True)
class Table:
    """`numbers` are the columns that are aligned to the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[str] = frozenset()


class Clock:
    """Writes times for the reader's time zone."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone

    def _moment(self, at: float) -> datetime:
        return datetime.fromtimestamp(at, self._zone)

    def full(self, at: float) -> str:
        """`2026-11-24 04:10:00 UTC`."""
        return f"{self._moment(at):%Y-%m-%d %H:%M:%S %Z}"

    def exact(self, at: float) -> str:
        """`04:10:00.250`, with the date when `at` is not of the day of the report's first moment."""
        return f"{self._moment(at):%H:%M:%S.%f}"[:-3]

    def short(self, at: float) -> str:
        return f"{self._moment(at):%H:%M:%S}"


def outcome(view: ReportView) -> tuple[str, str]:
    """How it ended, and how good that is."""
    phase = view.deployment.phase
    return OUTCOMES.get(phase, (f"Under way: {phase.replace('_', ' ')}", NEUTRAL))


def title(view: ReportView) -> str:
    old = f"{view.old_version} → " if view.old_version else ""
    return f"{view.deployment.service}: {old}{view.deployment.version}"


def facts(view: ReportView, clock: Clock) -> list[tuple[str, str]]:
    d = view.deployment
    until = d.ended_at if d.ended_at is not None else view.made_at
    lasted = duration(until - d.requested_at) + ("" if d.ended_at is not None else " so far")
    found = [
        ("New version", d.image),
        ("Old version", d.previous_image or "none: it was the first deployment"),
        ("Asked for by", d.requested_by or NOTHING),
        ("Began", clock.full(d.requested_at)),
        ("Took", lasted),
        ("Strategy", d.strategy),
        ("Switch", _switch(view)),
    ]
    if note := _note(view):
        found.append(("Note", note))
    if (exposed := exposed_seconds(view)) is not None:
        found.append(("With users for", duration(exposed)))
    if served := _served(view):
        found.append(("Requests to the new version", served))
    if d.rollback_milliseconds is not None:
        found.append(("Way back", f"acknowledged by the router in {milliseconds(d.rollback_milliseconds)}"))
    if d.cut_requests:
        found.append(("Requests cut at the drain deadline", str(d.cut_requests)))
    if d.exit_codes:
        found.append(("Exit codes", ", ".join(d.exit_codes)))
    if d.attention:
        found.append(("Needs attention", d.attention))
    return found


def _switch(view: ReportView) -> str:
    taken = view.deployment.switch_milliseconds
    if taken is None:
        return "the traffic was never moved"
    return f"acknowledged by the router in {milliseconds(taken)}"


def _note(view: ReportView) -> str:
    asked = view.events[0].data if view.events else {}
    changed = ", ".join(f"{key} = {value}" for key, value in (asked.get("overrides") or {}).items())
    return "; ".join(filter(None, [str(asked.get("note") or ""), f"for this deployment: {changed}" if changed else ""]))


def exposed_seconds(view: ReportView) -> float | None:
    """How long users were with a version that was rolled back."""
    first = next((move.at for move in view.moves if move.kind != "rollback"), None)
    back = next((move.at for move in reversed(view.moves) if move.kind == "rollback"), None)
    return None if first is None or back is None else max(0.0, back - first)


def _served(view: ReportView) -> str:
    counted = [verdict for decision in view.decisions for verdict in decision.verdicts]
    errors = next((verdict for verdict in reversed(counted) if verdict.measurement == "errors"), None)
    if errors is None:
        return ""
    return f"{plural(errors.requests, 'request')}, {errors.events} failed ({share(errors.share)}) until it was decided"


def share(value: float | None) -> str:
    """`5.1 %`; as many digits as tell something."""
    if value is None:
        return NOTHING
    percent = value * 100
    return f"{percent:.2f} %" if percent < 1 else f"{percent:.1f} %"


def number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 100 or value == int(value) else f"{value:.3g}"


ValueText = Callable[[float], str]
VALUE_TEXTS: Mapping[str, ValueText] = {
    "rate": number,
    "errors": share,
    "latency": lambda value: f"{number(value)} ms",
}
"""How the values of each chart are written."""


def decision_title(decision: ReportDecisionView, clock: Clock) -> str:
    who = f"by {decision.by}" if decision.by else "by bluegreen, from the measurements"
    return f"{DECISIONS.get(decision.what, decision.what)} at {clock.exact(decision.at)} {who}"


def verdict_table(decision: ReportDecisionView) -> Table:
    rows = tuple(
        (
            verdict.measurement,
            verdict.answer,
            number(verdict.requests) if verdict.limit is not None else NOTHING,
            number(verdict.events) if verdict.limit is not None else NOTHING,
            share(verdict.share) if verdict.value is None else number(verdict.value),
            share(verdict.limit),
            share(verdict.other_share),
            evidence(verdict.evidence, verdict.bound),
            verdict.reason,
        )
        for verdict in decision.verdicts
    )
    columns = ("Measured", "Answer", "n", "k", "Found", "Allowed", "Old version", "Evidence")
    return Table((*columns, "In words"), rows, frozenset(columns[2:]))


def evidence(found: float | None, bound: float | None) -> str:
    """`8.1 of 6.9`; what good versions hardly reach is the second."""
    return NOTHING if found is None or bound is None else f"{found:.1f} of {bound:.1f}"


def evidence_note(view: ReportView) -> str:
    """What the evidence means, for who reads it the first time; empty when no test was made."""
    tested = [verdict for decision in view.decisions for verdict in decision.verdicts if verdict.bound]
    if not tested:
        return ""
    usual = min((verdict.bound or 0.0) - verdict.forgiven for verdict in tested)
    restless = any(verdict.forgiven for verdict in tested)
    return (
        "Of n requests to the new version k failed, or were slow. Evidence is the logarithm of an e-value: it stays "
        "around 0 or below for a version that is good enough, and grows with each failure beyond what is allowed. "
        f"However often one looks, a good version ever reaches {usual:.1f} with a probability of at most "
        f"{chance(usual)}."
    ) + (
        " The old version had moments that were worth more: as much again is forgiven the new one." if restless else ""
    )


def chance(bound: float) -> str:
    return f"{math.exp(-bound) * 100:.2g} %"


def record_table(view: ReportView) -> Table:
    rows = tuple(
        (
            window.window,
            number(window.requests),
            number(window.errors),
            share(window.error_share),
            milliseconds(window.latency_p50_milliseconds).replace("-", NOTHING),
            milliseconds(window.latency_p99_milliseconds).replace("-", NOTHING),
        )
        for window in view.record
    )
    columns = ("Before the switch", "Requests", "Failed", "Share", "p50", "p99")
    return Table(columns, rows, frozenset(columns[1:]))


def phase_table(view: ReportView, clock: Clock) -> Table:
    rows = tuple(
        (
            phase.phase.replace("_", " ") + _share_of(view, phase),
            clock.exact(phase.began_at),
            duration(phase.seconds) + ("" if phase.ended_at is not None else " so far"),
        )
        for phase in view.phases
    )
    return Table(("Phase", "From", "For"), rows, frozenset({"From", "For"}))


def _share_of(view: ReportView, phase: ReportPhaseView) -> str:
    """What the new version of a canary had while it was watched."""
    if len(view.deployment.steps) < 2 or phase.phase != Phase.MONITORING:
        return ""
    percent = max((move.percent for move in view.moves if move.at <= phase.began_at), default=0)
    return f" at {percent} %"


def event_table(view: ReportView, clock: Clock, *, routine: bool) -> Table:
    """Without `routine` those that only say that an action began or ended are left out."""
    rows = tuple(
        (clock.exact(event.at), event.kind.replace("_", " "), sentence(event))
        for event in view.events
        if routine or event.kind not in ROUTINE
    )
    return Table(("Time", "Event", "What"), rows)


def move_label(move: ReportMoveView) -> str:
    return {"rollback": "rollback", "switch": "switch"}.get(move.kind, f"{move.percent} % to new")


def series_note(view: ReportView) -> str:
    """What is missing in the charts; empty when nothing is."""
    return " ".join(dict.fromkeys(series.note for series in view.series if series.note))


def series_of(view: ReportView, metrics: Sequence[str]) -> list[ReportSeriesView]:
    return [series for metric in metrics for series in view.series if series.metric == metric]


def series_name(series: ReportSeriesView) -> str:
    quantile = series.metric.rpartition("_")[2]
    kind = f", {quantile}" if quantile.startswith("p") and quantile[1:].isdigit() else ""
    return f"{series.version} ({series.slot}, {series.role}{kind})"


def why_empty(found: Sequence[ReportSeriesView]) -> str:
    """A sentence in the place of a chart; empty when there is something to draw."""
    if any(series.values for series in found):
        return ""
    if not found:
        return "Not measured by this version of bluegreen."
    return "Nothing is known of that time: it was not measured, or is not kept any more."
