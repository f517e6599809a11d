"""A deployment is a fold over its events. The table in `phases` is the whole state machine.

An event that the table does not allow raises IllegalEvent and changes nothing; recovery replays the log
through the same `apply`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from bluegreen.domain import events as e
from bluegreen.domain.baseline import Baseline
from bluegreen.domain.errors import IllegalEvent
from bluegreen.domain.model import RouteTarget, Workload
from bluegreen.domain.phases import BEFORE_SWITCH as BEFORE_SWITCH
from bluegreen.domain.phases import IN_PROGRESS as IN_PROGRESS
from bluegreen.domain.phases import TERMINAL_PHASES as TERMINAL_PHASES
from bluegreen.domain.phases import TRANSITIONS as TRANSITIONS
from bluegreen.domain.phases import Phase as Phase


@dataclass(frozen=True, slots=True)
class Deployment:
    """One walk from the active version to a new one.

    `seen` holds what happened since the phase began (event kinds, `alert:<name>`, `alert:<id>`, `done:<action>`);
    `failures` counts failed attempts of each action in this phase. Times are seconds since the epoch.
    """

    id: str
    service: str
    image: str
    strategy: str
    steps: tuple[int, ...]
    requested_by: str
    requested_at: float
    phase: Phase = Phase.PREFLIGHT
    phase_since: float = 0.0
    blue: Workload | None = None
    green: Workload | None = None
    digest: str = ""
    """What the image's name meant when green was prepared, or what was asked for; "" where there are no images."""
    pulled: tuple[int, int] | None = None
    """Bytes of the image that have come, and how many there are, as far as is known."""
    prepared: str = ""
    """How it was prepared, as a phrase."""
    generation: int = 0
    step_index: int = 0
    baseline: Baseline | None = None
    """What blue did before the switch; None when nothing was measured."""
    share: int = 0
    """Green's part of the traffic as the router last confirmed it, in percent."""
    switched: bool = False
    """Whether green ever had traffic."""
    switched_at: float | None = None
    switch_milliseconds: float | None = None
    rollback_milliseconds: float | None = None
    verified: bool = False
    accepted: bool = False
    cause: str = ""
    attention: str = ""
    verdict: str = ""
    """Why monitoring passed."""
    judged_on: tuple[int, int] | None = None
    """Requests to green, and those of them that failed, when it was last decided about it by what was measured."""
    ending: Phase = Phase.COMPLETED
    ended_at: float | None = None
    blue_healthy_after_rollback: bool | None = None
    cut_requests: int = 0
    drain_timeout_seconds: float | None = None
    """Asked for with a stop; None: as the policy says."""
    logs: tuple[str, ...] = ()
    exit_codes: tuple[str, ...] = ()
    stopped: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()
    failures: Mapping[str, int] = field(default_factory=dict)
    last_error: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    force: bool = False
    last_sequence: int = 0

    @property
    def active(self) -> Workload | None:
        """The workload that has the traffic as far as this deployment knows; on a canary step, still blue."""
        back = self.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK) or self.share < 100
        found = self.blue if back else self.green
        return found if found is not None and found.id not in self.stopped else None

    @property
    def standby(self) -> Workload | None:
        """The other workload, as long as it was not stopped."""
        other = self.green if self.active is self.blue else self.blue
        return other if other is not None and other.id not in self.stopped else None

    @property
    def percent(self) -> int:
        """The share that the current step gives to green; `share` is what it has."""
        return self.steps[self.step_index]

    @property
    def shares_traffic(self) -> bool:
        """Whether both versions serve users now: a canary step."""
        return 0 < self.share < 100

    @property
    def step_label(self) -> str:
        """` at 10 % (step 1 of 3)`; empty without steps."""
        return f" at {self.share} % (step {self.step_index + 1} of {len(self.steps)})" if len(self.steps) > 1 else ""

    @property
    def last_step(self) -> bool:
        return self.step_index == len(self.steps) - 1

    @property
    def can_roll_back(self) -> bool:
        """Whether one switch undoes it: it may have moved traffic and blue was not told to stop."""
        if self.blue is None or self.blue.id in self.stopped:
            return False
        if self.phase is Phase.CLEANING_UP:
            return self.ending is Phase.COMPLETED and "stopping" not in self.seen
        return self.phase in (Phase.SWITCHING, Phase.MONITORING, Phase.RETAINING)


def requested(deployment_id: str, service: str, at: float, event: e.DeploymentRequested) -> Deployment:
    """The first state of a deployment."""
    return Deployment(
        id=deployment_id,
        service=service,
        image=event.image,
        strategy=event.strategy,
        steps=event.steps,
        requested_by=event.requested_by,
        requested_at=at,
        phase_since=at,
        blue=event.blue,
        generation=event.generation,
        overrides=dict(event.overrides),
        force=event.force,
        digest=event.digest,
    )


def apply(deployment: Deployment, at: float, event: e.Event) -> Deployment:
    """The state after the event. Raises IllegalEvent when the table does not allow it."""
    target = TRANSITIONS.get((deployment.phase, event.kind))
    if target is None or not _allowed(deployment, event):
        raise IllegalEvent(
            f"deployment {deployment.id} is in phase {deployment.phase}, where {event.kind} can't happen"
        )
    changed = _with_facts(deployment, at, event)
    if target is deployment.phase and not isinstance(event, e.RollbackRequested):
        return replace(changed, seen=changed.seen | {event.kind})
    return replace(
        changed,
        phase=target,
        phase_since=at,
        seen=frozenset(),
        failures={},
        last_error={},
        ended_at=at if target.terminal else None,
    )


def _allowed(d: Deployment, event: e.Event) -> bool:
    """What depends on more than the phase. Green is never stopped as a failure once users were on it: that is what a
    rollback is for."""
    match event:
        case e.RollbackRequested():
            return d.can_roll_back
        case e.DeploymentFailing():
            return not d.switched
        case e.GreenGrown():
            return d.switched
        case e.StepPassed():
            return not d.last_step
        case e.MonitoringPassed():
            return d.last_step
        case e.Promoted():
            return d.switched or d.phase is not Phase.SWITCHING
    return True


def _with_facts(d: Deployment, at: float, event: e.Event) -> Deployment:
    match event:
        case e.PreflightPassed():
            return replace(d, green=event.green)
        case e.ImagePulling():
            return replace(d, pulled=(event.received_bytes, event.total_bytes))
        case e.GreenPrepared():
            return replace(d, digest=event.digest, prepared=event.detail)
        case e.BaselineRecorded():
            return replace(d, baseline=event.baseline)
        case e.TrafficSwitched():
            return _switched(d, at, event)
        case e.GreenGrown():
            # How long the new replicas may take to become healthy is counted from here.
            green = replace(d.green, replicas=event.replicas) if d.green else None
            return replace(d, green=green, phase_since=at, attention="")
        case e.StepPassed():
            return replace(d, step_index=d.step_index + 1, attention="")
        case e.Verified() | e.ApprovalNeeded():
            return replace(d, verified=True)
        case e.MonitoringPassed():
            return replace(d, verdict=event.verdict, attention="", judged_on=(event.requests, event.errors))
        case e.Promoted():
            return replace(d, accepted=d.switched)
        case e.DeploymentFailing():
            return replace(d, ending=Phase.FAILED, cause=event.cause)
        case e.AbortRequested():
            reason = event.reason or f"aborted by {event.requested_by}"
            limit = event.drain_timeout_seconds
            return replace(d, ending=Phase.ABORTED, cause=reason, drain_timeout_seconds=limit)
        case e.RetentionEnded():
            return replace(d, drain_timeout_seconds=event.drain_timeout_seconds)
        case e.RollbackRequested():
            judged = next(
                ((m.requests, m.events) for m in event.measurements if m.measurement == "errors"), d.judged_on
            )
            return replace(d, ending=Phase.ROLLED_BACK, cause=event.cause, judged_on=judged)
        case e.BlueVerified():
            return replace(d, blue_healthy_after_rollback=event.healthy)
        case e.LogsCollected():
            return replace(d, logs=event.lines, exit_codes=event.exit_codes)
        case e.Drained():
            return replace(d, cut_requests=d.cut_requests + event.cut)
        case e.WorkloadStopped():
            return replace(d, stopped=d.stopped | {event.workload_id})
        case e.AttentionNeeded():
            return replace(d, attention=event.reason)
        case e.AlertRaised():
            return replace(d, seen=d.seen | {f"alert:{event.name}", f"alert:{event.alert_id}"})
        case e.ActionStarted(action="stop"):
            return replace(d, seen=d.seen | {"stopping"})
        case e.ActionSucceeded():
            return replace(d, seen=d.seen | {f"done:{event.action}"})
        case e.ActionFailed():
            failures = {**d.failures, event.action: d.failures.get(event.action, 0) + 1}
            return replace(d, failures=failures, last_error={**d.last_error, event.action: event.error})
    return d


def _switched(d: Deployment, at: float, event: e.TrafficSwitched) -> Deployment:
    if d.phase is Phase.ROLLING_BACK:
        return replace(d, generation=event.generation, share=0, rollback_milliseconds=event.milliseconds)
    green = d.green.id if d.green else ""
    return replace(
        d,
        generation=event.generation,
        share=next((target.weight for target in event.targets if target.workload_id == green), 0),
        accepted=False,
        attention="",
        switched=True,
        switched_at=at,
        switch_milliseconds=event.milliseconds,
    )


def replay(records: Iterable[e.Record]) -> Deployment:
    """Folds a deployment's records. Raises IllegalEvent when they are no history that could have happened."""
    deployment: Deployment | None = None
    for record in records:
        if deployment is None:
            if not isinstance(record.event, e.DeploymentRequested):
                raise IllegalEvent(f"deployment {record.deployment_id} begins with {record.event.kind}")
            deployment = requested(record.deployment_id, record.service, record.at, record.event)
        else:
            deployment = apply(deployment, record.at, record.event)
        deployment = replace(deployment, last_sequence=record.sequence)
    if deployment is None:
        raise IllegalEvent("a deployment without events")
    return deployment


def route_of(workload: Workload) -> tuple[RouteTarget, ...]:
    """All traffic to one workload."""
    return (RouteTarget(workload.color, workload.id, 100),)


def stands_on(ended: Deployment, other: Deployment) -> bool:
    """Whether `ended` moved no traffic, and the version that it was to replace was rolled back since by `other`: then
    `other` knows what has the traffic."""
    upon = ended.active
    back = ended.phase.terminal and other.phase is Phase.ROLLED_BACK and ended.id != other.id
    return back and upon is not None and other.green is not None and upon.id == other.green.id


def held_workloads(live: Iterable[Deployment], last: Deployment | None) -> list[tuple[Workload, Deployment]]:
    """What stands in a service's slots, each with a deployment that knows it: the active workload of the newest
    deployment, and what those under way still have."""
    found: dict[str, tuple[Workload, Deployment]] = {}
    under_way = {deployment.id: deployment for deployment in live}
    for deployment in [*under_way.values(), *([last] if last else [])]:
        standby = deployment.standby if deployment.id in under_way else None
        for workload in (deployment.active, standby):
            if workload is not None:
                found.setdefault(workload.id, (workload, deployment))
    return list(found.values())
