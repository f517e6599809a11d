"""All that is known about green since the switch, as verdicts: requests, latency, health, its own analyses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bluegreen.domain.deployment import Deployment
from bluegreen.domain.health import Health
from bluegreen.domain.model import Workload
from bluegreen.domain.observation import Observation
from bluegreen.domain.service import Policy, ServiceSpec
from bluegreen.domain.verdict import Answer, Verdict, combined, judge_errors, judge_latency


def judge_green(d: Deployment, spec: ServiceSpec, seen: Observation) -> tuple[Verdict, ...]:
    """One verdict for each measurement. The worst answer wins; silence never passes."""
    green = d.green
    assert green is not None, f"deployment {d.id} is watched without a workload"
    latency = judge_latency(seen.watch, spec.policy, green.label)
    return (
        judge_errors(seen.watch, spec.policy, green.label),
        *((latency,) if latency else ()),
        _judge_replicas(green, spec.policy, seen),
        _judge_health(green, seen),
        *seen.analyses,
    )


def verdict_of(measurements: Sequence[Verdict]) -> Verdict:
    """The worst, with the reasons of all that failed, or else of all that do not tell."""
    worst = combined(measurements)
    if worst.answer is Answer.PASS:
        return worst
    reasons = dict.fromkeys(measurement.reason for measurement in measurements if measurement.answer is worst.answer)
    return replace(worst, reason="; ".join(reasons))


def only_too_quiet(measurements: Sequence[Verdict]) -> bool:
    """Whether all that is missing is traffic: the counters can be read, and what came was good."""
    unclear = [measurement for measurement in measurements if measurement.answer is not Answer.PASS]
    return all(
        measurement.needed_requests is not None and (measurement.share or 0.0) <= (measurement.limit or 0.0)
        for measurement in unclear
    )


def _judge_replicas(green: Workload, policy: Policy, seen: Observation) -> Verdict:
    status, restarts = seen.status(green), seen.restarts_in_phase(green)
    if status is None:
        return Verdict(Answer.FAIL, f"{green.id} disappeared", "replicas")
    for replica in status.replicas:
        if replica.error:
            return Verdict(Answer.FAIL, f"a replica of {green.label} can't run: {replica.error}", "replicas")
    if restarts > policy.max_restarts:
        loop = f"{green.label} is in a crash loop: {restarts} restarts{seen.ends_in_phase(green)}"
        return Verdict(Answer.FAIL, loop, "replicas")
    return Verdict(Answer.PASS, f"{restarts} restarts, {policy.max_restarts} allowed", "replicas")


def _judge_health(green: Workload, seen: Observation) -> Verdict:
    health = seen.health_of(green)
    if health.verdict is Health.UNHEALTHY:
        return Verdict(Answer.FAIL, f"{green.label} is unhealthy: {health.summary}", "health")
    if health.verdict is Health.UNKNOWN:
        return Verdict(Answer.INCONCLUSIVE, f"health of {green.label} is unknown: {health.summary}", "health")
    return Verdict(Answer.PASS, health.summary, "health")
