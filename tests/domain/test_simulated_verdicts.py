"""The simulations of `bench` in small: that they judge as the domain does, and that good versions stay."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from bench.false_rollbacks import cases
from bench.simulation import Scenario, constant, simulate
from bench.simulation_proof import disagreements
from scipy import stats

SECONDS = 45.0
DEPLOYMENTS = 300


def steps(seconds: float) -> float:
    return 0.1 if seconds < 15 else 0.5 if seconds < 30 else 1.0


SCENARIOS = {
    "steady": Scenario("", constant(50.0), constant(0.03)),
    "slow answers, quick errors": Scenario("", constant(40.0), constant(0.03), good_seconds=5.0),
    "quick answers, slow errors": Scenario("", constant(40.0), constant(0.03), event_seconds=3.0),
    "bursts": Scenario(
        "",
        lambda seconds, own: np.where((seconds + 15 * own) % 15 < 2, 300.0, 20.0),
        constant(0.01),
        good_seconds=0.2,
        event_seconds=2.0,
    ),
    "canary": Scenario(
        "", constant(60.0), constant(0.05), other_share=constant(0.01), portion=steps, event_seconds=0.3
    ),
    "rare": Scenario("", constant(0.2), constant(0.3), event_seconds=0.3),
}


@pytest.mark.parametrize("measurement", ["errors", "latency"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_many_at_once_are_judged_as_each_of_them_by_the_domain(name: str, measurement: str) -> None:
    scenario = replace(SCENARIOS[name], seconds=SECONDS)
    if measurement == "latency" and scenario.event_seconds <= scenario.good_seconds:
        scenario = replace(scenario, good_seconds=0.0, event_seconds=0.5)
    for found in disagreements(scenario, 0.01, deployments=2, seed=7, measurement=measurement):
        assert found.domain_seconds == pytest.approx(found.numpy_seconds)
        assert found.evidence < 1e-9


def test_the_same_seed_gives_the_same_outcomes() -> None:
    scenario = Scenario("", constant(50.0), constant(0.03), seconds=20.0)
    first, second = (simulate(scenario, 0.01, deployments=50, seed=3) for _ in range(2))
    assert np.array_equal(first.seconds, second.seconds, equal_nan=True)
    assert not np.array_equal(first.seconds, simulate(scenario, 0.01, deployments=50, seed=4).seconds, equal_nan=True)


GOOD = [case for case in cases() if case.bound_holds and case.limits is None]


@pytest.mark.parametrize("case", GOOD, ids=[case.scenario.name for case in GOOD])
def test_a_good_version_stays(case: object) -> None:
    """A small part of the bench: so few that more rollbacks than this would be no luck any more (1 in 10,000)."""
    scenario = replace(case.scenario, seconds=SECONDS)  # type: ignore[attr-defined]
    outcomes = simulate(scenario, 0.01, deployments=DEPLOYMENTS, seed=11, latency=case.latency)  # type: ignore[attr-defined]
    assert outcomes.rolled_back <= stats.binom.ppf(0.9999, DEPLOYMENTS, 0.001)


def test_a_bad_version_is_found_within_one_and_a_half_times_walds_bound() -> None:
    outcomes = simulate(Scenario("", constant(200.0), constant(0.05), seconds=60.0), 0.01, deployments=500, seed=5)
    assert outcomes.rolled_back == 500
    assert math.isfinite(outcomes.percentile(100))
    assert float(outcomes.requests.mean()) <= 1.5 * 167
