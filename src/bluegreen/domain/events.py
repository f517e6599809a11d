"""What can happen in a deployment. The log holds these and nothing else; all state is a fold over them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from bluegreen.domain.baseline import Baseline
from bluegreen.domain.model import Color, RouteTarget, Workload
from bluegreen.domain.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all. `kind` names the event in the log and in the TRANSITIONS table."""

    kind: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class DeploymentRequested(Event):
    """Carries what the requester saw, so that the newest deployment alone tells the state of its service."""

    kind: ClassVar[str] = "deployment_requested"
    image: str
    strategy: str
    steps: tuple[int, ...]
    requested_by: str
    blue: Workload | None = None
    """The workload that had the traffic."""
    generation: int = 0
    """Generation of the route then."""
    overrides: dict[str, str] = field(default_factory=dict)
    force: bool = False
    note: str = ""
    digest: str = ""
    """The exact content that is wanted, when the image's name may mean another by now: of a version that ran before."""


@dataclass(frozen=True, slots=True)
class PreflightPassed(Event):
    kind: ClassVar[str] = "preflight_passed"
    green: Workload
    """The workload to start: its id is fixed here, so that a repeated start can't make a second one."""
    checks: tuple[str, ...] = ()
    blue_found: str = ""
    """A sentence: id, image, version, replicas and resources of blue."""


@dataclass(frozen=True, slots=True)
class ImagePulling(Event):
    """Told now and then while the image is on its way; `total_bytes` grows as more of it becomes known."""

    kind: ClassVar[str] = "image_pulling"
    image: str
    received_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class GreenPrepared(Event):
    """What a start needs is here. `digest` is what the image's name means from now on, for this deployment."""

    kind: ClassVar[str] = "green_prepared"
    digest: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ActionStarted(Event):
    kind: ClassVar[str] = "action_started"
    action: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ActionSucceeded(Event):
    kind: ClassVar[str] = "action_succeeded"
    action: str
    detail: str = ""
    milliseconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ActionFailed(Event):
    kind: ClassVar[str] = "action_failed"
    action: str
    error: str


@dataclass(frozen=True, slots=True)
class GreenStarted(Event):
    kind: ClassVar[str] = "green_started"
    endpoints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HealthPassed(Event):
    kind: ClassVar[str] = "health_passed"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SmokePassed(Event):
    kind: ClassVar[str] = "smoke_passed"
    results: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApprovalNeeded(Event):
    kind: ClassVar[str] = "approval_needed"


@dataclass(frozen=True, slots=True)
class Verified(Event):
    kind: ClassVar[str] = "verified"


@dataclass(frozen=True, slots=True)
class Promoted(Event):
    """A person let green have the traffic, or accepted it although monitoring could not tell."""

    kind: ClassVar[str] = "promoted"
    requested_by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BaselineRecorded(Event):
    """What blue did until now: green is measured by it, also by a daemon that comes later."""

    kind: ClassVar[str] = "baseline_recorded"
    baseline: Baseline


@dataclass(frozen=True, slots=True)
class TrafficSwitched(Event):
    """Observed, never assumed: the router confirmed this route."""

    kind: ClassVar[str] = "traffic_switched"
    targets: tuple[RouteTarget, ...]
    generation: int
    milliseconds: float = 0.0
    """From the decision to the router's acknowledgement."""


@dataclass(frozen=True, slots=True)
class StepPassed(Event):
    """A canary step was watched long enough; the next one follows."""

    kind: ClassVar[str] = "step_passed"
    verdict: str = ""
    requests: int = 0
    """To green since it first had traffic."""
    errors: int = 0
    measurements: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class GreenGrown(Event):
    """More replicas of green were started for the next canary step. They get requests once they are healthy."""

    kind: ClassVar[str] = "green_grown"
    replicas: int
    """All of them, the old ones included."""


@dataclass(frozen=True, slots=True)
class MonitoringPassed(Event):
    kind: ClassVar[str] = "monitoring_passed"
    verdict: str = ""
    requests: int = 0
    errors: int = 0
    measurements: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class AttentionNeeded(Event):
    """Something a person must look at; automation holds."""

    kind: ClassVar[str] = "attention_needed"
    reason: str


@dataclass(frozen=True, slots=True)
class RetentionEnded(Event):
    kind: ClassVar[str] = "retention_ended"
    reason: str = ""
    drain_timeout_seconds: float | None = None
    """How long this drain may take; None: as the policy says."""


@dataclass(frozen=True, slots=True)
class DeploymentFailing(Event):
    """Before any switch: green will be stopped, blue was never touched."""

    kind: ClassVar[str] = "deployment_failing"
    cause: str


@dataclass(frozen=True, slots=True)
class AbortRequested(Event):
    kind: ClassVar[str] = "abort_requested"
    requested_by: str
    reason: str = ""
    drain_timeout_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RollbackRequested(Event):
    kind: ClassVar[str] = "rollback_requested"
    cause: str
    requested_by: str
    automatic: bool = False
    measurements: tuple[Verdict, ...] = ()
    """What was measured when it was decided; empty for a person's decision."""


@dataclass(frozen=True, slots=True)
class BlueVerified(Event):
    """After a rollback: `healthy` says whether blue passed its health check again."""

    kind: ClassVar[str] = "blue_verified"
    healthy: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LogsCollected(Event):
    kind: ClassVar[str] = "logs_collected"
    lines: tuple[str, ...] = ()
    exit_codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drained(Event):
    """`cut` requests were still running at the deadline and were ended."""

    kind: ClassVar[str] = "drained"
    color: Color
    cut: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkloadStopped(Event):
    kind: ClassVar[str] = "workload_stopped"
    workload_id: str


@dataclass(frozen=True, slots=True)
class AlertRaised(Event):
    """People are told. The store puts it into the outbox when it appends it; `alert_id` makes that happen once."""

    kind: ClassVar[str] = "alert_raised"
    name: str
    severity: str
    message: str
    alert_id: str = ""
    version: str = ""
    duration_seconds: float | None = None
    """From the request of the deployment to this alert."""
    cause: str = ""
    next_command: str = ""
    """What to type next."""


@dataclass(frozen=True, slots=True)
class ControllerRestarted(Event):
    """The daemon was gone and took the deployment up again."""

    kind: ClassVar[str] = "controller_restarted"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DeploymentCompleted(Event):
    kind: ClassVar[str] = "deployment_completed"


@dataclass(frozen=True, slots=True)
class DeploymentRolledBack(Event):
    kind: ClassVar[str] = "deployment_rolled_back"


@dataclass(frozen=True, slots=True)
class DeploymentFailed(Event):
    kind: ClassVar[str] = "deployment_failed"


@dataclass(frozen=True, slots=True)
class DeploymentAborted(Event):
    kind: ClassVar[str] = "deployment_aborted"


def _all_kinds(base: type[Event]) -> dict[str, type[Event]]:
    return {event.kind: event for event in base.__subclasses__()}


EVENT_KINDS: dict[str, type[Event]] = _all_kinds(Event)
TERMINAL_KINDS = frozenset(
    {
        DeploymentCompleted.kind,
        DeploymentRolledBack.kind,
        DeploymentFailed.kind,
        DeploymentAborted.kind,
    }
)


@dataclass(frozen=True, slots=True)
class Record:
    """An event where it stands in the log. `at` is in seconds since the epoch, `sequence` only grows."""

    sequence: int
    deployment_id: str
    service: str
    at: float
    event: Event
