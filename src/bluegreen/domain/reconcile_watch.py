"""The phases after the switch: watching green, and keeping blue for the way back."""

from __future__ import annotations

from bluegreen.domain import events as e
from bluegreen.domain.actions import Action, ConnectSlot, Plan
from bluegreen.domain.alert_texts import needs_attention
from bluegreen.domain.deployment import Deployment, route_of
from bluegreen.domain.health import Health
from bluegreen.domain.judging import judge_green, only_too_quiet, verdict_of
from bluegreen.domain.model import Workload
from bluegreen.domain.observation import Observation
from bluegreen.domain.service import ServiceSpec
from bluegreen.domain.verdict import Answer, Verdict


def moved_back_by_someone(d: Deployment, seen: Observation) -> str:
    """A rollback that this log has not seen: done with the daemon dead, or not recorded on a full disk."""
    if d.blue is None or seen.route is None or seen.route.generation <= d.generation:
        return ""
    if seen.route.targets == route_of(d.blue):
        return f"the traffic was found on {d.blue.color} again (route generation {seen.route.generation})"
    return ""


def sync_slots(d: Deployment, seen: Observation) -> tuple[ConnectSlot, ...]:
    """Tells the router about replicas that came back on another port. Of a canary, which grows, only those that are
    healthy: an unproven one gets no requests."""
    changed = []
    for workload in (d.blue, d.green):
        if workload is None or workload.id in d.stopped:
            continue
        grows = workload is d.green and len(d.steps) > 1
        endpoints = seen.healthy_endpoints(workload) if grows else seen.endpoints(workload)
        if endpoints and seen.connected.get(workload.color, ()) != endpoints:
            changed.append(ConnectSlot(workload.color, endpoints))
    return tuple(changed)


def attention(
    d: Deployment, summary: str, reason: str, meanwhile: tuple[Action, ...], *, way_back: bool = True
) -> Plan:
    """Holds, and tells a person once per kind of trouble (`summary`); `reason` has the changing numbers. `meanwhile` is
    done all the same.

    The alert is recorded before the attention is: a crash in between repeats it and never swallows it.
    """
    if d.attention == summary:
        return Plan(reason, actions=meanwhile)
    alert = needs_attention(d, reason, topic=summary, way_back=way_back)
    if f"alert:{alert.id_in(d.id)}" in d.seen:
        return Plan(reason, events=(e.AttentionNeeded(summary),), actions=meanwhile)
    return Plan(reason, actions=(*meanwhile, alert))


def _way_back(blue: Workload | None, seen: Observation) -> bool:
    return blue is not None and seen.is_alive(blue)


def reconcile_monitoring(d: Deployment, spec: ServiceSpec, seen: Observation) -> Plan:
    """Rolls back at the first breach; goes on when green passed for `monitor_seconds`; holds when it can't tell."""
    if found := moved_back_by_someone(d, seen):
        return Plan(found, events=(e.RollbackRequested(found, "someone outside the daemon"),))
    sync = sync_slots(d, seen)
    measurements = judge_green(d, spec, seen)
    verdict = verdict_of(measurements)
    if d.accepted:
        return _passed(d, f"accepted by a person; {verdict.reason}", measurements)
    if verdict.answer is Answer.FAIL:
        ends = seen.ends_in_phase(d.green) if d.green else ""
        cause = verdict.reason if ends in verdict.reason else verdict.reason + ends
        return breach(d, spec, seen, cause, "the new version fails", sync, measurements)
    judged = (d.green.label if d.green else "the new version") + d.step_label
    remaining = spec.policy.monitor_seconds - seen.elapsed_seconds
    if remaining > 0:
        return Plan(f"watching {judged} for {remaining:.0f} s more: {verdict.reason}", actions=sync)
    if verdict.answer is Answer.PASS or (d.blue is None and _healthy(d, seen)):
        return _passed(d, verdict.reason, measurements)
    return _undecided(d, spec, seen, measurements, sync)


def _undecided(
    d: Deployment,
    spec: ServiceSpec,
    seen: Observation,
    measurements: tuple[Verdict, ...],
    sync: tuple[ConnectSlot, ...],
) -> Plan:
    """The time to watch is over and the numbers do not tell. Never promoted for silence of what measures: only when
    the service's owner said so, the counters can be read, and what little came was good."""
    policy, reason = spec.policy, verdict_of(measurements).reason
    over_seconds = seen.elapsed_seconds - policy.monitor_seconds
    if over_seconds >= policy.inconclusive_seconds:
        if policy.on_inconclusive == "rollback" and _way_back(d.blue, seen):
            cause = f"the numbers did not tell in time: {reason}"
            return Plan(cause, events=(e.RollbackRequested(cause, "bluegreen", True, measurements),))
        if policy.on_inconclusive == "promote" and only_too_quiet(measurements):
            return _passed(d, f"promoted without enough traffic, as on_inconclusive says: {reason}", measurements)
    judged = d.green.label if d.green else "the new version"
    accept = f"Accept {judged}" if d.last_step else f"Let {judged} have {d.steps[d.step_index + 1]} %"
    holding = (
        f"holding:{f'{d.step_label}:' if d.shares_traffic else ''} {reason}. "
        f"{accept} with: bluegreen promote {d.service}; "
        f"or go back with: bluegreen rollback {d.service}"
    )
    if over_seconds < max(policy.monitor_seconds, policy.inconclusive_seconds):
        # Requests that are a little late are no reason to wake people.
        return Plan(holding, actions=sync)
    summary = "monitoring can't tell whether the new version is good, so nothing goes on by itself"
    return attention(d, summary, holding, sync, way_back=_way_back(d.blue, seen))


def _healthy(d: Deployment, seen: Observation) -> bool:
    """A first deployment has nothing to go back to: with too little traffic, health is all there is to know."""
    return d.green is not None and seen.is_healthy(d.green)


def _passed(d: Deployment, reason: str, measurements: tuple[Verdict, ...]) -> Plan:
    passed = e.MonitoringPassed if d.last_step else e.StepPassed
    errors = measurements[0]
    return Plan(reason, events=(passed(reason, errors.requests, errors.events, measurements),))


def breach(
    d: Deployment,
    spec: ServiceSpec,
    seen: Observation,
    cause: str,
    trouble: str,
    meanwhile: tuple[Action, ...] = (),
    measurements: tuple[Verdict, ...] = (),
) -> Plan:
    """Users are on a green that is not good enough: back to blue when that may and can be, else a person is told.

    `trouble` is the kind of `cause`, free of numbers.
    """
    if not spec.policy.auto_rollback:
        return attention(
            d,
            f"{trouble} and auto_rollback is off",
            f"{trouble} and auto_rollback is off: {cause}. Go back with: bluegreen rollback {d.service}",
            meanwhile,
        )
    if not _way_back(d.blue, seen):
        nowhere = f"{trouble} and there is no running one to go back to"
        return attention(d, nowhere, f"{nowhere}: {cause}", meanwhile, way_back=False)
    return Plan(cause, events=(e.RollbackRequested(cause, "bluegreen", True, measurements),))


def reconcile_retaining(d: Deployment, spec: ServiceSpec, seen: Observation) -> Plan:
    """Keeps blue for `retain_seconds`, and longer while green is unhealthy."""
    if found := moved_back_by_someone(d, seen):
        return Plan(found, events=(e.RollbackRequested(found, "someone outside the daemon"),))
    if d.blue is None:
        return Plan("first deployment: nothing to retain", events=(e.RetentionEnded("first deployment"),))
    if seen.superseded_by:
        reason = f"deployment {seen.superseded_by} needs the slot"
        return Plan(reason, events=(e.RetentionEnded(reason),))
    sync = sync_slots(d, seen)
    green = d.green
    if green is not None and seen.health_of(green).verdict is Health.UNHEALTHY:
        return attention(
            d,
            "the new version became unhealthy after monitoring had passed",
            f"{green.label} became unhealthy after monitoring had passed ({seen.health_of(green).summary}); "
            f"{d.blue.label} is kept. Go back with: bluegreen rollback {d.service}",
            sync,
        )
    remaining = spec.policy.retain_seconds - seen.elapsed_seconds
    if remaining > 0:
        reason = f"rollback is instant for {remaining:.0f} s more: bluegreen rollback {d.service}"
        return Plan(reason, actions=sync)
    ended = e.RetentionEnded(f"kept {d.blue.id} for {spec.policy.retain_seconds:g} s")
    return Plan("retention ended", events=(ended,))
