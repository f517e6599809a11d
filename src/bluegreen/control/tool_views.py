"""Typed outputs of the tools for agents. Times are ISO 8601 in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TrafficView:
    """The route as the router acknowledged it. `weights` are shares in percent by color."""

    service: str
    activeDeployment: str | None
    activeWorkloadId: str | None
    generation: int
    weights: dict[str, int]
    switchMilliseconds: float | None = None


@dataclass(frozen=True, slots=True)
class SubmittedView:
    """`next` says what to do now. `route` is only there for a switch."""

    id: str
    name: str
    state: str
    gpus: int
    createdAt: str
    deployment: str = ""
    next: str = ""
    route: TrafficView | None = None


@dataclass(frozen=True, slots=True)
class WorkloadSpecView:
    """What was asked for. Environment values are masked."""

    image: str
    version: str
    replicas: int
    gpus: int
    cpuCores: float
    memoryMb: int
    command: tuple[str, ...]
    env: dict[str, str]
    labels: dict[str, str]
    digest: str = ""
    """The exact content that `image` named; empty for processes."""


@dataclass(frozen=True, slots=True)
class TimingView:
    created: str | None
    started: str | None
    finished: str | None
    runtimeSeconds: float | None


@dataclass(frozen=True, slots=True)
class ReplicaView:
    index: int
    state: str
    endpoint: str | None
    healthy: bool | None
    health: str
    restarts: int
    exitCode: int | None
    error: str


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """`state` is `scheduled` until health checks and smoke tests have passed, `running` from then on.
    `active` tells whether it has the traffic."""

    id: str
    name: str
    state: str
    active: bool
    deployment: str
    reason: str
    spec: WorkloadSpecView
    timing: TimingView
    replicas: tuple[ReplicaView, ...]
    endpoints: tuple[str, ...]
    exitCode: int | None
    error: str
    nodeId: str
    route: TrafficView | None = None


@dataclass(frozen=True, slots=True)
class WorkloadItemView:
    id: str
    name: str
    image: str
    version: str
    state: str
    active: bool
    replicas: int
    gpus: int
    labels: dict[str, str]
    nodeId: str
    orphan: bool = False
    """Runs, and no deployment knows it."""


@dataclass(frozen=True, slots=True)
class WorkloadListView:
    """`count` are listed here, `total` match."""

    count: int
    total: int
    items: tuple[WorkloadItemView, ...]


@dataclass(frozen=True, slots=True)
class StoppedView:
    """`state` is `draining` while requests under way come to their end."""

    id: str
    name: str
    state: str
    message: str
    deployment: str = ""


@dataclass(frozen=True, slots=True)
class WorkloadLogsView:
    id: str
    lines: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PointView:
    """`time` is the end of the step; `value` null when nothing was measured in it."""

    time: str
    value: float | None


@dataclass(frozen=True, slots=True)
class SummaryView:
    """Over the points that have a value; all null when none has. `avg` weighs by what was measured (requests for a
    rate of errors, checks for health), not by points."""

    min: float | None
    max: float | None
    avg: float | None
    latest: float | None


@dataclass(frozen=True, slots=True)
class MetricsView:
    """`note` says what is missing, when something is."""

    metric: str
    unit: str
    workloads: tuple[str, ...]
    startTime: str
    endTime: str
    stepSeconds: float
    points: tuple[PointView, ...]
    summary: SummaryView
    note: str = ""


@dataclass(frozen=True, slots=True)
class AlertView:
    """`deliveries` maps each sink to `delivered`, `pending: …` or `given up: …`."""

    id: str
    name: str
    severity: str
    message: str
    at: str
    service: str = ""
    deployment: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    version: str = ""
    durationSeconds: float | None = None
    cause: str = ""
    nextCommand: str = ""
    resolved: bool = False
    deliveries: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlertRuleView:
    """`state` is inactive, pending (holds, not long enough yet), firing or unknown (nothing measured)."""

    name: str
    severity: str
    message: str
    condition: str
    labels: dict[str, str]
    state: str
    value: float | None
    since: str | None
    createdBy: str = ""


@dataclass(frozen=True, slots=True)
class SilenceView:
    name: str
    until: str
    reason: str
    createdBy: str


@dataclass(frozen=True, slots=True)
class AlertCreatedView:
    """`id` of the alert that was put into the outbox, or the name of the standing rule."""

    id: str
    name: str
    kind: str
    """`alert` or `rule`."""
    state: str


@dataclass(frozen=True, slots=True)
class AlertListView:
    alerts: tuple[AlertView, ...]
    rules: tuple[AlertRuleView, ...]
    silences: tuple[SilenceView, ...]


@dataclass(frozen=True, slots=True)
class SilencedView:
    name: str
    message: str
    until: str | None
