"""The phases of a deployment and the table of what may happen in each: the whole state machine."""

from __future__ import annotations

from enum import StrEnum

from bluegreen.domain import events as e


class Phase(StrEnum):
    PREFLIGHT = "preflight"
    STARTING = "starting"
    VERIFYING = "verifying"
    AWAITING_APPROVAL = "awaiting_approval"
    SWITCHING = "switching"
    MONITORING = "monitoring"
    RETAINING = "retaining"
    CLEANING_UP = "cleaning_up"
    COMPLETED = "completed"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    ABORTED = "aborted"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL_PHASES


TERMINAL_PHASES = frozenset({Phase.COMPLETED, Phase.ROLLED_BACK, Phase.FAILED, Phase.ABORTED})
BEFORE_SWITCH = (Phase.PREFLIGHT, Phase.STARTING, Phase.VERIFYING, Phase.AWAITING_APPROVAL)
IN_PROGRESS = frozenset({*BEFORE_SWITCH, Phase.SWITCHING, Phase.MONITORING})
"""A service has at most one deployment in these phases."""

TRANSITIONS: dict[tuple[Phase, str], Phase] = {
    (Phase.PREFLIGHT, e.PreflightPassed.kind): Phase.STARTING,
    (Phase.PREFLIGHT, e.ImagePulling.kind): Phase.PREFLIGHT,
    (Phase.PREFLIGHT, e.GreenPrepared.kind): Phase.PREFLIGHT,
    (Phase.STARTING, e.GreenStarted.kind): Phase.VERIFYING,
    (Phase.VERIFYING, e.HealthPassed.kind): Phase.VERIFYING,
    (Phase.VERIFYING, e.SmokePassed.kind): Phase.VERIFYING,
    (Phase.VERIFYING, e.ApprovalNeeded.kind): Phase.AWAITING_APPROVAL,
    (Phase.VERIFYING, e.Verified.kind): Phase.SWITCHING,
    (Phase.AWAITING_APPROVAL, e.Promoted.kind): Phase.SWITCHING,
    **{(phase, e.DeploymentFailing.kind): Phase.CLEANING_UP for phase in (*BEFORE_SWITCH, Phase.SWITCHING)},
    **{(phase, e.AbortRequested.kind): Phase.CLEANING_UP for phase in BEFORE_SWITCH},
    (Phase.SWITCHING, e.BaselineRecorded.kind): Phase.SWITCHING,
    (Phase.SWITCHING, e.GreenGrown.kind): Phase.SWITCHING,
    (Phase.SWITCHING, e.Promoted.kind): Phase.SWITCHING,
    (Phase.SWITCHING, e.TrafficSwitched.kind): Phase.MONITORING,
    (Phase.MONITORING, e.StepPassed.kind): Phase.SWITCHING,
    (Phase.MONITORING, e.Promoted.kind): Phase.MONITORING,
    (Phase.MONITORING, e.MonitoringPassed.kind): Phase.RETAINING,
    (Phase.RETAINING, e.RetentionEnded.kind): Phase.CLEANING_UP,
    **{
        (phase, e.RollbackRequested.kind): Phase.ROLLING_BACK
        for phase in (Phase.SWITCHING, Phase.MONITORING, Phase.RETAINING, Phase.CLEANING_UP)
    },
    (Phase.ROLLING_BACK, e.TrafficSwitched.kind): Phase.ROLLING_BACK,
    (Phase.ROLLING_BACK, e.BlueVerified.kind): Phase.ROLLING_BACK,
    **{
        (phase, kind): phase
        for phase in (Phase.CLEANING_UP, Phase.ROLLING_BACK)
        for kind in (e.LogsCollected.kind, e.Drained.kind, e.WorkloadStopped.kind)
    },
    (Phase.CLEANING_UP, e.DeploymentCompleted.kind): Phase.COMPLETED,
    (Phase.CLEANING_UP, e.DeploymentFailed.kind): Phase.FAILED,
    (Phase.CLEANING_UP, e.DeploymentAborted.kind): Phase.ABORTED,
    (Phase.ROLLING_BACK, e.DeploymentRolledBack.kind): Phase.ROLLED_BACK,
    **{(phase, e.WorkloadStopped.kind): phase for phase in TERMINAL_PHASES},
    **{
        (phase, kind): phase
        for phase in Phase
        if phase not in TERMINAL_PHASES
        for kind in (
            e.ActionStarted.kind,
            e.ActionSucceeded.kind,
            e.ActionFailed.kind,
            e.AlertRaised.kind,
            e.AttentionNeeded.kind,
            e.ControllerRestarted.kind,
        )
    },
}
"""(phase, event) → phase. What is not here is illegal. After the end one thing can still happen: the version that
was left with the traffic is stopped on purpose, and then the service has none."""
