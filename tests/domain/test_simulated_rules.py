"""The usual rules that the bench compares with: rolled back or not, and when, on deployments reckoned by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from bench.detection import simulated
from bench.rules import MannWhitney, Threshold, higher
from bench.simulated_evidence import Counts
from bench.simulation import LOOK_SECONDS, Look, Rule, Scenario, constant, simulate
from scipy import stats

SECONDS = 300.0
REQUESTS = 100
"""At each look, on each side."""


def rolled_back_at(rule: Rule, failed: Callable[[float], float], portion: float = 1.0) -> float | None:
    """`failed` is how many of a look's requests fail, by the second in which it ends."""
    for number in range(round(SECONDS / LOOK_SECONDS)):
        end = (number + 1) * LOOK_SECONDS
        requests = np.array([REQUESTS])
        other = requests if portion < 1.0 else 0 * requests
        look = Look(end, portion, requests, np.array([int(failed(end))]), other, 0 * other, 0 * requests)
        if len(rule.fail(look)):
            return round(end, 1)
    return None


def between(*spans: tuple[float, float]) -> Callable[[float], float]:
    """A half of the requests fails in these spans, none else."""
    return lambda seconds: REQUESTS / 2 if any(start < seconds <= end for start, end in spans) else 0


@pytest.mark.parametrize(
    ("failed", "at"),
    [
        (lambda seconds: 0, None),
        (lambda seconds: 1, None),  # 1 % is allowed.
        (lambda seconds: 2, 60.0),
        (between((70.0, 72.0)), 120.0),  # 1,000 of 60,000.
        (between((70.0, 71.0)), None),  # 500 of 60,000.
        (between((119.0, 121.2)), None),  # Split by the end of the minute.
        (between((290.0, 300.0)), 300.0),
    ],
)
def test_a_threshold_on_the_last_minute(failed: Callable[[float], float], at: float | None) -> None:
    assert rolled_back_at(Threshold(1, 0.01, interval_seconds=60.0, failures=1), failed) == at


@pytest.mark.parametrize(
    ("failed", "at"),
    [
        (lambda seconds: 1, None),
        (lambda seconds: 2, 50.0),
        (between((20.0, 60.0)), None),  # Four of them.
        (between((20.0, 60.0), (201.0, 202.0)), 210.0),  # The fifth need not follow.
    ],
)
def test_five_intervals_above_the_threshold(failed: Callable[[float], float], at: float | None) -> None:
    assert rolled_back_at(Threshold(1, 0.01, interval_seconds=10.0, failures=5), failed) == at


def test_an_interval_without_requests_tells_nothing() -> None:
    rule, nothing = Threshold(1, 0.01, interval_seconds=10.0, failures=1), np.zeros(1, np.int64)
    looks = [Look(number / 10, 1.0, *[nothing] * 5) for number in range(1, 1000)]
    assert not any(len(rule.fail(look)) for look in looks)


@pytest.mark.parametrize(
    ("failed", "portion", "at"),
    [
        (lambda seconds: 0, 1.0, None),
        (lambda seconds: 5, 1.0, 60.0),
        (lambda seconds: 5, 0.5, 60.0),
        (lambda seconds: 0, 0.5, None),
        (between((0.0, 5.0)), 0.5, None),  # One interval of twelve.
        (between((60.0, 300.0)), 0.5, 180.0),  # Half of the intervals at 120 s: their middle shift is not sure yet.
    ],
)
def test_ranks_of_green_above_those_of_blue(failed: Callable[[float], float], portion: float, at: float | None) -> None:
    blue = Scenario("", constant(1000.0), constant(0.0), portion=lambda seconds: portion)
    assert rolled_back_at(MannWhitney(1, blue, 1), failed, portion) == at


def test_ranks_are_compared_as_scipy_does_it_one_by_one() -> None:
    random = np.random.default_rng(1)
    green, blue = random.poisson(3.0, (20, 12)).astype(float), random.poisson(2.0, (20, 60)).astype(float)
    one_by_one = [stats.mannwhitneyu(*pair, alternative="greater").pvalue for pair in zip(green, blue, strict=True)]
    assert higher(green, blue) == pytest.approx(one_by_one)
    assert list(higher(np.zeros((2, 12)), np.zeros((2, 60)))) == [1.0, 1.0]


class Noting:
    """Rolls nothing back, and remembers what it saw."""

    def __init__(self, scenario: Scenario, deployments: int) -> None:
        self.seen: list[list[int]] = []
        self.asked = scenario.name, deployments

    def fail(self, look: Look) -> Counts:
        self.seen.append([*look.requests.tolist(), *look.events.tolist()])
        return np.zeros(0, np.int64)


def test_every_rule_sees_the_same_deployments() -> None:
    scenario, rules = Scenario("all", constant(20.0), constant(0.01), seconds=5.0), list[Noting]()

    def make(its: Scenario, deployments: int) -> Rule:
        rules.append(Noting(its, deployments))
        return rules[-1]

    first, second = (simulate(scenario, 0.01, deployments=3, seed=5, rule=make) for _ in range(2))
    ours = simulate(scenario, 0.01, deployments=3, seed=5)
    assert [rule.asked for rule in rules] == [("all", 3)] * 2
    assert rules[0].seen == rules[1].seen
    assert list(ours.requests) == list(first.requests) == list(second.requests)


def test_a_bad_version_is_noticed_within_the_target() -> None:
    requests, *times = simulated(200)
    assert requests.met
    assert all("200 of 200" in row.measured for row in times)
