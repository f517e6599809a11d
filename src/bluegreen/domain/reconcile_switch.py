"""Moving the traffic: the one switch of a blue-green deployment, each step of a canary.

Before the first switch whatever goes wrong stops green and leaves blue untouched. Once users are on green it is
judged while it grows and waits for its next share, and whatever goes wrong moves the traffic back first.
"""

from __future__ import annotations

from dataclasses import replace

from bluegreen.domain import events as e
from bluegreen.domain.actions import Action, ConnectSlot, Plan, StartWorkload, SwitchTraffic
from bluegreen.domain.capacity import counted, gpu_demand, shortage
from bluegreen.domain.deployment import Deployment
from bluegreen.domain.health import Health
from bluegreen.domain.judging import judge_green, verdict_of
from bluegreen.domain.model import Workload
from bluegreen.domain.observation import Observation
from bluegreen.domain.reconcile_watch import attention, breach, moved_back_by_someone, sync_slots
from bluegreen.domain.service import HealthCheck, ServiceSpec
from bluegreen.domain.strategy import replicas_at, targets_at
from bluegreen.domain.verdict import Answer

MAX_SWITCH_ATTEMPTS = 3


def reconcile_switching(d: Deployment, spec: ServiceSpec, seen: Observation) -> Plan:
    """Switched is observed, never assumed. Between canary steps `promote` insists: green is not waited for until it is
    well, but it has as many replicas as its share needs."""
    green = d.green
    assert green is not None, f"deployment {d.id} moves traffic without a workload"
    if SwitchTraffic.name in seen.running:
        return Plan("switching")
    if d.switched and (plan := _going_back(d, spec, seen)) is not None:
        return plan
    if seen.route is None:
        return Plan("the router can't be read; holding the switch until it answers")
    targets = targets_at(d.percent, green, d.blue)
    if seen.route.targets == targets and seen.route.generation > d.generation:
        found = e.TrafficSwitched(targets, seen.route.generation)
        return Plan(f"the router already sends the traffic to {green.label}", events=(found,))
    insists = d.switched and e.Promoted.kind in d.seen
    if seen.route.generation != d.generation and not insists:
        cause = f"the route was changed by someone else (generation {seen.route.generation}, expected {d.generation})"
        return _give_up(d, spec, seen, cause)
    if d.switched and (plan := _grow(d, green, spec, seen)) is not None:
        return plan
    if not insists and (plan := _not_ready(d, green, spec, seen)) is not None:
        return plan
    if d.failures.get(SwitchTraffic.name, 0) >= MAX_SWITCH_ATTEMPTS and not insists:
        cause = f"the router did not switch: {d.last_error[SwitchTraffic.name]}{untouched(d)}"
        return _give_up(d, spec, seen, cause)
    if not insists and (connect := connect_slot(green, seen)) is not None:
        return Plan(f"telling the router where {green.label} is", actions=(connect,))
    record = () if d.baseline or seen.baseline is None or d.switched else (e.BaselineRecorded(seen.baseline),)
    return Plan(
        f"moving {d.percent} % of the traffic to {green.label}",
        events=record,
        actions=(SwitchTraffic(targets, seen.route.generation),),
    )


def untouched(d: Deployment) -> str:
    """What people need to know first about a failure before the switch; nothing for a first deployment."""
    return f"; {d.blue.color} is untouched" if d.blue and not d.switched else ""


def connect_slot(workload: Workload, seen: Observation) -> ConnectSlot | None:
    """What the router must still be told about a workload's replicas, None when it knows."""
    endpoints = seen.endpoints(workload)
    if endpoints and seen.connected.get(workload.color, ()) != endpoints:
        return ConnectSlot(workload.color, endpoints)
    return None


def _give_up(d: Deployment, spec: ServiceSpec, seen: Observation, cause: str) -> Plan:
    if not d.switched:
        return Plan(cause, events=(e.DeploymentFailing(cause),))
    return breach(d, spec, seen, f"the step to {d.percent} % failed: {cause}", "the next step failed")


def _going_back(d: Deployment, spec: ServiceSpec, seen: Observation) -> Plan | None:
    """Users are on green: it is judged now as it is between the steps. Not once a person has accepted it."""
    if found := moved_back_by_someone(d, seen):
        return Plan(found, events=(e.RollbackRequested(found, "someone outside the daemon"),))
    if d.accepted:
        return None
    measurements = judge_green(d, spec, seen)
    verdict = verdict_of(measurements)
    if verdict.answer is not Answer.FAIL:
        return None
    return breach(d, spec, seen, verdict.reason, "the new version fails", measurements=measurements)


def _not_ready(d: Deployment, green: Workload, spec: ServiceSpec, seen: Observation) -> Plan | None:
    """None when every replica of green is fine at this moment."""
    if seen.is_ready(green) and len(seen.endpoints(green)) >= green.replicas:
        return None
    summary = seen.health_of(green).summary
    late = seen.elapsed_seconds > (spec.health or HealthCheck()).deadline_seconds
    gone = seen.status(green) is None
    if late or gone or seen.health_of(green).verdict is Health.UNHEALTHY or _cannot_run(green, spec, seen):
        return _give_up(d, spec, seen, f"{green.label} became unhealthy before the switch: {summary}{untouched(d)}")
    return Plan(f"checking {green.label} once more: {summary}", actions=sync_slots(d, seen) if d.switched else ())


def _cannot_run(green: Workload, spec: ServiceSpec, seen: Observation) -> bool:
    status = seen.status(green)
    stuck = status is not None and any(replica.error for replica in status.replicas)
    return stuck or seen.restarts_in_phase(green) > spec.policy.max_restarts


def _grow(d: Deployment, green: Workload, spec: ServiceSpec, seen: Observation) -> Plan | None:
    """Starts the replicas that the step's share needs beside those that serve; None when they are started. Without
    room for them everything stays as it is, and goes on when there is room."""
    wanted = replicas_at(d.percent, spec.replicas)
    if green.replicas >= wanted:
        return None
    status = seen.status(green)
    sync = sync_slots(d, seen)
    more = f"{counted(wanted - green.replicas, 'more replica')} of {green.label} for {d.percent} % of the traffic"
    if StartWorkload.name in seen.running:
        return Plan(f"starting {more}", actions=sync)
    if status is not None and len(status.replicas) >= wanted and f"done:{StartWorkload.name}" in d.seen:
        return Plan(f"{more}: started", events=(e.GreenGrown(wanted),), actions=sync)
    there = max(green.replicas, status.workload.replicas if status else 0)
    start = StartWorkload(replace(green, replicas=wanted))
    if seen.capacity is None:
        return Plan(f"looking for room for {more}", actions=sync)
    gpus = gpu_demand(spec, green.id, wanted - there)
    missing = shortage(green.resources.times(wanted - there), seen.capacity, gpus=gpus)
    if not missing and not d.failures.get(StartWorkload.name):
        return Plan(f"starting {more}", actions=(*sync, start))
    why = "; ".join(missing) or d.last_error[StartWorkload.name]
    retry: tuple[Action, ...] = () if missing else (start,)
    reason = (
        f"holding: at {d.share} %, no {more}: {why}. Free something and it goes on by itself; "
        f"or go back with: bluegreen rollback {d.service}"
    )
    return attention(d, "green can't grow for its next share", reason, (*sync, *retry))
