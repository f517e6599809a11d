"""What `report` answers. Times are seconds since the epoch; null means "not known", never zero."""

from __future__ import annotations

from dataclasses import dataclass

from bluegreen.control.views import DeploymentView, EventView


@dataclass(frozen=True, slots=True)
class ReportPhaseView:
    """`ended_at` null while it lasts."""

    phase: str
    began_at: float
    ended_at: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class ReportMoveView:
    """Traffic moved. `kind` is switch, step or rollback; `percent` the share of the new version from then on."""

    at: float
    kind: str
    percent: int
    milliseconds: float


@dataclass(frozen=True, slots=True)
class ReportVerdictView:
    """`answer` is pass, fail or inconclusive. Of `requests` to the new version `events` were errors (or slow); `limit`
    is the accepted share, `other_share` the old version's. `evidence` is the logarithm of the e-value, and `bound`
    where it would have been a failure; null where no test was made. `forgiven` is the part of `bound` that the old
    version's own bad moments are worth; `value` is what an analysis found."""

    measurement: str
    answer: str
    reason: str
    requests: int
    events: int
    share: float | None
    limit: float | None
    other_share: float | None
    evidence: float | None
    bound: float | None
    needed_requests: int | None
    value: float | None
    forgiven: float


@dataclass(frozen=True, slots=True)
class ReportDecisionView:
    """`what` is passed, step_passed or rollback; `by` is empty when no person decided it."""

    at: float
    what: str
    reason: str
    by: str
    verdicts: tuple[ReportVerdictView, ...]


@dataclass(frozen=True, slots=True)
class ReportRecordView:
    """What the old version did in a window of time before the switch. Milliseconds null: latency was not measured."""

    window: str
    requests: int
    errors: int
    error_share: float | None
    latency_p50_milliseconds: float | None
    latency_p99_milliseconds: float | None


@dataclass(frozen=True, slots=True)
class ReportSeriesView:
    """A metric of one version over time. `values` are those of steps of `step_seconds` that end at `end_at`, null where
    nothing was measured; empty when nothing at all was, or is kept any more. `role` is old or new. `note` says what is
    missing, when something is."""

    metric: str
    unit: str
    role: str
    slot: str
    version: str
    workload_id: str
    end_at: float
    step_seconds: float
    values: tuple[float | None, ...]
    note: str


@dataclass(frozen=True, slots=True)
class NextCommandView:
    command: str
    why: str


@dataclass(frozen=True, slots=True)
class ReportView:
    """A whole deployment, for people who were not there. `headline` says how it went; `series` are of the time around
    the switch, from `window_start` to `window_end`."""

    headline: str
    made_at: float
    deployment: DeploymentView
    old_version: str | None
    phases: tuple[ReportPhaseView, ...]
    moves: tuple[ReportMoveView, ...]
    decisions: tuple[ReportDecisionView, ...]
    record: tuple[ReportRecordView, ...]
    window_start: float
    window_end: float
    series: tuple[ReportSeriesView, ...]
    events: tuple[EventView, ...]
    next: tuple[NextCommandView, ...]
