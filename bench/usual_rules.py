"""What the usual rules make of the deployments that ours judges: the same simulated ones, request for request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.false_rollbacks import ALLOWED, SEED, STEP_SECONDS, incident, number_of_deployments, steps
from bench.rules import MannWhitney, Threshold
from bench.simulated_evidence import Floats
from bench.simulation import DEPLOYMENT_SECONDS, Outcomes, Rule, Scenario, constant, simulate
from bench.table import Row, information

MAX_DEPLOYMENTS = 2_000
USUAL_SHARE = 0.001
RECORD_SEED = SEED + 1

MakeRule = Callable[[Scenario, int], Rule]
RULES: dict[str, MakeRule | None] = {
    "ours": None,
    "1 min window, every 60 s": lambda scenario, count: Threshold(count, ALLOWED, interval_seconds=60.0, failures=1),
    "10 s interval, 5 failures": lambda scenario, count: Threshold(count, ALLOWED, interval_seconds=10.0, failures=5),
    "Mann-Whitney, every 60 s": lambda scenario, count: MannWhitney(count, scenario, RECORD_SEED),
}


def deployments() -> int:
    return min(number_of_deployments(), MAX_DEPLOYMENTS)


def judged(scenario: Scenario, rule: str, count: int) -> Outcomes:
    return simulate(scenario, ALLOWED, deployments=count, seed=SEED, rule=RULES[rule])


@dataclass(frozen=True, slots=True)
class Case:
    """`broken_at` is when the version began to be bad, in seconds after the switch; None for a good one."""

    scenario: Scenario
    broken_at: Floats | float | None = None

    def told(self, outcomes: Outcomes) -> str:
        if self.broken_at is None:
            return f"{outcomes.rolled_back / len(outcomes.seconds):.2%}"
        since = replace(outcomes, seconds=outcomes.seconds - self.broken_at)
        times = " / ".join(_seconds(since.percentile(percent)) for percent in (50, 90))
        share = outcomes.rolled_back / len(outcomes.seconds)
        failed = np.median(outcomes.events - USUAL_SHARE * outcomes.requests)
        return f"{share:.1%}; {times}; {failed:.0f} failed"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if np.isfinite(value) else "never"


def good() -> Iterator[Case]:
    """Blue is as good as green."""
    for rate, share in ((200.0, 0.001), (200.0, 0.008), (200.0, ALLOWED), (20.0, 0.008), (2.0, 0.001), (2.0, 0.005)):
        limit = ", exactly what is allowed" if share == ALLOWED else ""
        yield Case(Scenario(f"good: {100 * share:g} % fail{limit}, {rate:g}/s", constant(rate), constant(share)))
    at = Scenario("", constant(200.0), constant(0.0))
    both = incident(0.05, 20.0, until=2 * STEP_SECONDS)
    yield Case(replace(at, name="good: canary, 5 % fail on both sides for 20 s, 200/s", share=both, portion=steps))
    for height, seconds in ((1.0, 0.1), (0.05, 5.0), (0.02, 30.0)):
        name = f"whoever's fault: {100 * height:g} % fail once for {seconds:g} s, 200/s"
        yield Case(replace(at, name=name, share=incident(height, seconds), other_share=constant(USUAL_SHARE)))


def bad(count: int) -> Iterator[Case]:
    """Blue fails 0.1 %."""
    usual = constant(USUAL_SHARE)
    for rate in (200.0, 20.0, 2.0):
        for share in (0.02, 0.05, 0.5):
            name = f"bad: {100 * share:g} % fail, {rate:g}/s"
            yield Case(Scenario(name, constant(rate), constant(share), other_share=usual), 0.0)
    # Not at the beginning of an interval of any rule.
    own = np.random.default_rng(SEED).random(count)
    moments = 120.0 + 60.0 * own
    for share in (0.05, 0.5):
        name = f"bad: {100 * share:g} % fail once 2 to 3 minutes are over, 200/s"
        later = Scenario(name, constant(200.0), breaking(share, 120.0, 60.0), other_share=usual, own=own)
        yield Case(later, moments)


def breaking(share: float, after_seconds: float, spread_seconds: float = 0.0) -> Callable[[float, Floats], Floats]:
    return lambda seconds, own: np.where(seconds >= after_seconds + spread_seconds * own, share, USUAL_SHARE)


def measure() -> Sequence[Row]:
    count = deployments()
    rows = []
    for case in (*good(), *bad(count)):
        what = "rolled back" if case.broken_at is None else "noticed; seconds, median / 90 %; failed requests, median"
        for rule in RULES:
            found = case.told(judged(case.scenario, rule, count))
            rows.append(information(case.scenario.name, f"{rule}: {what}", found))
    rows.append(
        information("all", f"{count:,} deployments of {DEPLOYMENT_SECONDS:.0f} s each", "the same for each rule")
    )
    return rows
