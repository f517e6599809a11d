"""The ways out: cleaning up after success or failure, and rolling back."""

from __future__ import annotations

from bluegreen.domain import events as e
from bluegreen.domain.actions import (
    Action,
    CollectLogs,
    ConnectSlot,
    Plan,
    RaiseAlert,
    StartWorkload,
    StopWorkload,
    SwitchTraffic,
)
from bluegreen.domain.alert_texts import ending_alert, needs_attention
from bluegreen.domain.deployment import Deployment, Phase, route_of
from bluegreen.domain.model import Workload
from bluegreen.domain.observation import Observation
from bluegreen.domain.reconcile_watch import moved_back_by_someone
from bluegreen.domain.service import HealthCheck, ServiceSpec

_ENDINGS: dict[Phase, type[e.Event]] = {
    Phase.COMPLETED: e.DeploymentCompleted,
    Phase.FAILED: e.DeploymentFailed,
    Phase.ABORTED: e.DeploymentAborted,
    Phase.ROLLED_BACK: e.DeploymentRolledBack,
}


def retire(d: Deployment, workload: Workload, spec: ServiceSpec, seen: Observation, waited: float) -> Plan | None:
    """Drain, disconnect, stop: one step of it, or None when the workload is gone.

    Never touches a workload that the route still sends traffic to.
    """
    if workload.id in d.stopped:
        return None
    if StartWorkload.name in seen.running:
        return Plan(f"waiting for the start of {workload.id} to end before it is stopped")
    if seen.route is None:
        return Plan(f"the router can't be read; {workload.id} stays until it can")
    if any(target.workload_id == workload.id and target.weight > 0 for target in seen.route.targets):
        return Plan(f"{workload.id} still has traffic by route generation {seen.route.generation}; not stopping it")
    if e.Drained.kind not in d.seen:
        limit = spec.policy.drain_timeout_seconds if d.drain_timeout_seconds is None else d.drain_timeout_seconds
        return _drain(workload, seen, waited, limit)
    if seen.connected.get(workload.color, ()):
        return Plan("taking the drained side out of the router", actions=(ConnectSlot(workload.color, ()),))
    if seen.status(workload) is not None or StopWorkload.name in seen.running:
        return Plan(f"stopping {workload.id}", actions=(StopWorkload(workload),))
    return Plan(f"{workload.id} is stopped", events=(e.WorkloadStopped(workload.id),))


def _drain(workload: Workload, seen: Observation, waited: float, limit: float) -> Plan:
    if seen.status(workload) is None:
        return Plan("nothing to drain", events=(e.Drained(workload.color),))
    traffic = seen.slot_traffic(workload.color)
    if traffic is not None and traffic.in_flight == 0:
        return Plan("drained", events=(e.Drained(workload.color, 0, round(waited, 3)),))
    if waited < limit:
        known = "an unknown number of" if traffic is None else str(traffic.in_flight)
        return Plan(f"draining {workload.color}: {known} requests in flight, {limit - waited:.0f} s left")
    cut = traffic.in_flight if traffic is not None else 0
    reason = f"drain deadline of {limit:g} s passed, {cut} requests are cut"
    return Plan(reason, events=(e.Drained(workload.color, cut, round(waited, 3)),))


def reconcile_cleaning_up(d: Deployment, spec: ServiceSpec, seen: Observation) -> Plan:
    """After success blue is retired; after a failure or an abort green is, with its last words kept."""
    succeeded = d.ending is Phase.COMPLETED
    if succeeded and d.can_roll_back and (found := moved_back_by_someone(d, seen)):
        return Plan(found, events=(e.RollbackRequested(found, "someone outside the daemon"),))
    retiring = d.blue if succeeded else d.green
    if not succeeded and retiring is not None and (collect := _collect(d, retiring, seen)) is not None:
        return collect
    if retiring is not None and (plan := retire(d, retiring, spec, seen, seen.elapsed_seconds)) is not None:
        return plan
    return _end(d)


def _collect(d: Deployment, green: Workload, seen: Observation) -> Plan | None:
    if e.LogsCollected.kind in d.seen:
        return None
    if d.failures.get(CollectLogs.name, 0) >= 2:
        return None
    return Plan(f"keeping the last log lines of {green.label}", actions=(CollectLogs(green),))


def _end(d: Deployment) -> Plan:
    alert = ending_alert(d)
    if f"alert:{alert.alert}" not in d.seen:
        return Plan(f"telling people: {alert.alert}", actions=(alert,))
    return Plan(f"{d.ending}", events=(_ENDINGS[d.ending](),))


def reconcile_rolling_back(d: Deployment, spec: ServiceSpec, seen: Observation) -> Plan:
    """Traffic first, everything else after: verify blue, tell people, keep green's words, drain and stop it."""
    blue, green = d.blue, d.green
    assert blue is not None, f"deployment {d.id} rolls back without a blue"
    if (switch := _switch_back(d, blue, seen)) is not None:
        return switch
    if d.blue_healthy_after_rollback is None:
        return _verify_blue(d, blue, spec, seen)
    if untold := tuple(alert for alert in _rollback_alerts(d, blue) if f"alert:{alert.id_in(d.id)}" not in d.seen):
        return Plan(f"telling people: {', '.join(alert.alert for alert in untold)}", actions=untold)
    if green is None:
        return _end(d)
    if (collect := _collect(d, green, seen)) is not None:
        return collect
    waited = seen.elapsed_seconds
    keep = not d.blue_healthy_after_rollback and green.id not in d.stopped and not seen.superseded_by
    if keep and waited < spec.policy.retain_seconds:
        left = spec.policy.retain_seconds - waited
        return Plan(
            f"{blue.label} is not healthy after the rollback: {green.label} is kept for {left:.0f} s for you to decide"
        )
    if (plan := retire(d, green, spec, seen, waited)) is not None:
        return plan
    return _end(d)


def _switch_back(d: Deployment, blue: Workload, seen: Observation) -> Plan | None:
    """Until the router is seen to send everything to blue, nothing else happens."""
    if SwitchTraffic.name in seen.running:
        return Plan("moving the traffic back")
    if seen.route is not None and seen.route.targets == route_of(blue):
        if seen.route.generation > d.generation or e.TrafficSwitched.kind not in d.seen:
            event = e.TrafficSwitched(seen.route.targets, seen.route.generation)
            return Plan(f"the traffic is back on {blue.label}", events=(event,))
        return None
    actions: tuple[Action, ...] = (SwitchTraffic(route_of(blue), None),)
    failed = d.failures.get(SwitchTraffic.name, 0)
    if failed >= 3 and "alert:deploy-needs-attention" not in d.seen:
        trouble = "the traffic could not be moved back"
        alert = needs_attention(d, f"{trouble}: {d.last_error[SwitchTraffic.name]}", topic=trouble)
        actions = (*actions, alert)
    return Plan("moving the traffic back", actions=actions)


def _verify_blue(d: Deployment, blue: Workload, spec: ServiceSpec, seen: Observation) -> Plan:
    summary = seen.health_of(blue).summary
    if seen.is_healthy(blue):
        return Plan(f"{blue.label} is healthy", events=(e.BlueVerified(True, summary),))
    deadline = (spec.health or HealthCheck()).deadline_seconds
    if seen.elapsed_seconds < deadline:
        return Plan(f"verifying {blue.label}: {summary}")
    reason = f"{blue.label} has the traffic again and is not healthy: {summary}"
    return Plan(reason, events=(e.BlueVerified(False, summary),))


def _rollback_alerts(d: Deployment, blue: Workload) -> tuple[RaiseAlert, ...]:
    if d.blue_healthy_after_rollback:
        return (ending_alert(d),)
    text = f"it was rolled back but {blue.id} is not healthy"
    return (needs_attention(d, text, topic="not healthy after the rollback"), ending_alert(d))
