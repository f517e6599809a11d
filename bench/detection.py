"""How soon a bad version is noticed: reckoned for many simulated deployments, and measured on a whole system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from bench import real_detection
from bench.false_rollbacks import ALLOWED, PROBABILITY, RATE, SEED
from bench.simulation import Outcomes, Scenario, constant, simulate
from bench.table import Row, information
from bench.usual_rules import breaking, deployments
from bluegreen.domain.sequential import requests_needed

SHARE = 0.05
TIMES_WALD = 1.5
BROKEN_AT_SECONDS = 120.0


def at_once(share: float, count: int) -> Outcomes:
    return simulate(Scenario("", constant(RATE), constant(share)), ALLOWED, deployments=count, seed=SEED)


def later(share: float, count: int) -> Outcomes:
    """`seconds` are those since it broke; none are negative, for that would be a rollback of a good version."""
    scenario = Scenario("", constant(RATE), breaking(share, BROKEN_AT_SECONDS))
    outcomes = simulate(scenario, ALLOWED, deployments=count, seed=SEED)
    return replace(outcomes, seconds=outcomes.seconds - BROKEN_AT_SECONDS)


def simulated(count: int) -> Iterator[Row]:
    found = at_once(SHARE, count)
    bound = requests_needed(SHARE, ALLOWED, PROBABILITY)
    mean = float(np.mean(found.requests))
    how = f"{count:,} simulated deployments, {RATE:g} requests/s, {ALLOWED:.0%} allowed"
    yield Row(
        "simulated: requests until 5 % errors are noticed",
        f"{how}; mean, Wald's bound is {bound:.0f}",
        f"<= {TIMES_WALD * bound:.0f}",
        f"{mean:.0f} ({mean / bound:.2f} x the bound)",
        mean <= TIMES_WALD * bound and found.rolled_back == count,
    )
    for share in (SHARE, 0.5, 1.0):
        yield _times(f"simulated: {share:.0%} fail", how, at_once(share, count))
    for share in (SHARE, 0.5):
        yield _times(f"simulated: {share:.0%} fail, from 2 minutes after the switch on", how, later(share, count))


def _times(name: str, how: str, outcomes: Outcomes) -> Row:
    noticed = f"{outcomes.rolled_back} of {len(outcomes.seconds)}"
    times = f"{outcomes.percentile(50):.1f} s, {outcomes.percentile(90):.1f} s"
    return information(name, f"{how}; noticed ({noticed}) after: median, 90 %", times)


def measure() -> Sequence[Row]:
    return [*simulated(deployments()), *real_detection.measure()]
