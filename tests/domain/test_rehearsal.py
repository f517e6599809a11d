"""Imagined deployments, against a direct computation and with the engine that decides in earnest."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.control.simulating import Imagined, SimulationView, simulate
from bluegreen.domain.baseline import Baseline
from bluegreen.domain.errors import UsageError
from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.poisson import poisson
from bluegreen.domain.rehearsal import Behavior, Rehearsal, Stage, looks_of, rehearse
from bluegreen.domain.service import Canary, Policy, ServiceSpec
from bluegreen.domain.verdict import Answer, judge_errors
from bluegreen.domain.watch import Watch, yardstick

POLICY = Policy(monitor_seconds=60.0)


def spec(**changes: object) -> ServiceSpec:
    return ServiceSpec("app", ("*",), ("serve",), policy=replace(POLICY, **changes))  # type: ignore[arg-type]


def told(imagined: Imagined, **changes: object) -> SimulationView:
    return simulate(spec(**changes), imagined)


@pytest.mark.parametrize("mean", [0.0, 0.3, 4.0, 9.9, 10.0, 50.0, 2000.0])
def test_poisson_numbers_have_the_mean_and_the_spread_of_poisson(mean: float) -> None:
    uniform = random.Random(7).random
    drawn = [poisson(mean, uniform) for _ in range(4000)]
    average = sum(drawn) / len(drawn)
    variance = sum((number - average) ** 2 for number in drawn) / len(drawn)
    assert average == pytest.approx(mean, abs=5 * math.sqrt(max(mean, 1e-9) / len(drawn)))
    assert variance == pytest.approx(mean, rel=0.15, abs=1e-9)


@given(st.floats(0.0, 1e5), st.integers(0, 10**6))
def test_poisson_numbers_are_never_negative(mean: float, seed: int) -> None:
    assert poisson(mean, random.Random(seed).random) >= 0


def test_looks_are_ascending_and_there_is_one_at_the_end_of_each_step() -> None:
    step = replace(POLICY, monitor_seconds=30.0)
    looks = looks_of((step, step, POLICY), beyond_seconds=600.0)
    times = [look.seconds for look in looks]
    assert times == sorted(set(times))
    assert [(look.seconds, look.step) for look in looks if look.last] == [(30, 0), (60, 1), (120, 2), (720, 2)]
    assert [look.seconds for look in looks if look.ends] == [120]
    assert looks[0].seconds == POLICY.poll_seconds
    assert len(looks) < 300


def test_a_version_that_fails_always_is_noticed_when_a_direct_computation_says_so() -> None:
    """Every request fails: the engine, fed by hand, tells how many it takes."""
    by = yardstick(POLICY, Baseline(), concurrent=False)
    needed = next(
        number
        for number in range(1, 100)
        if judge_errors(Watch(by).after(0.5, SlotTraffic(number, number), None, concurrent=False), POLICY).answer
        is Answer.FAIL
    )
    rate = 5.0
    stage = Stage(100, POLICY, by, Behavior(1.0), Behavior(0.0))
    rehearsal = Rehearsal((stage,), rate, looks_of((POLICY,)))
    outcomes = [rehearse(rehearsal, random.Random(seed).random) for seed in range(200)]
    requests = [outcome.requests for outcome in outcomes]
    assert min(requests) >= needed - 1
    assert sum(requests) / len(requests) < needed + 3
    assert all(outcome.failed == outcome.requests for outcome in outcomes)
    seconds = [outcome.seconds or math.inf for outcome in outcomes]
    assert sum(seconds) / len(seconds) == pytest.approx(needed / rate, rel=0.4)


def test_the_same_seed_gives_the_same_answer_and_another_one_another() -> None:
    imagined = Imagined(50.0, 0.05, runs=60)
    assert told(imagined) == told(imagined)
    assert told(imagined).verdict != told(replace(imagined, seed=2)).verdict


def test_it_needs_no_fewer_requests_than_any_test_and_not_many_more() -> None:
    view = told(Imagined(200.0, 0.05, 0.001, runs=300))
    assert view.least_requests is not None and view.requests_median is not None
    assert view.least_requests == pytest.approx(167, abs=1)
    assert 0.7 * view.least_requests < view.requests_median < 1.5 * view.least_requests
    assert view.seconds_median == pytest.approx(view.requests_median / 200, rel=0.2)
    assert (view.noticed_share, view.good_rolled_back, view.good_passed_share) == (1.0, 0, 1.0)
    assert view.hints == ()


def test_the_worse_the_version_the_sooner_it_is_noticed() -> None:
    medians = [told(Imagined(20.0, share, runs=100)).requests_median for share in (0.03, 0.1, 0.5)]
    known = [median for median in medians if median is not None]
    assert len(known) == 3 and known == sorted(known, reverse=True)


def test_little_traffic_is_said_with_what_to_change() -> None:
    view = told(Imagined(1.0, 0.05, runs=100))
    assert view.seconds_p90 is not None and view.seconds_p90 > view.monitor_seconds
    assert any("consider monitor_seconds >= " in hint for hint in view.hints)
    held = told(Imagined(0.1, 0.05, runs=50))
    assert held.good_held_share == 1.0
    assert any("min_requests is 20" in hint for hint in held.hints)


def test_what_is_accepted_is_not_noticed_and_what_blue_fails_is_accepted() -> None:
    view = told(Imagined(100.0, 0.005, runs=50))
    assert (view.noticed_share, view.passed_share, view.seconds_median) == (0.0, 1.0, None)
    assert "nothing is to be noticed" in view.hints[0]
    worse = told(Imagined(100.0, 0.2, 0.05, runs=50))
    assert worse.error_limit > 0.05
    assert any("blue fails 5.00%" in hint for hint in worse.hints)


def canary_told(imagined: Imagined, **canary: object) -> SimulationView:
    chosen = Canary(steps=(10, 50, 100), observe_seconds=20.0)
    return simulate(replace(spec(), canary=replace(chosen, **canary)), replace(imagined, strategy="canary"))  # type: ignore[arg-type]


def test_the_steps_of_a_canary_take_their_own_time_and_have_their_own_limits() -> None:
    bad = Imagined(100.0, 0.05, runs=60)
    view = canary_told(bad)
    assert view.monitor_seconds == 20 + 20 + 60
    assert (view.noticed_share, view.passed_share, view.held_share) == (1.0, 0.0, 0.0)
    assert (view.error_limit, canary_told(bad, error_threshold=0.2).error_limit) == (POLICY.max_error_rate, 0.2)
    strict, lax = canary_told(bad, error_threshold=0.005), canary_told(bad, error_threshold=0.2)
    assert strict.seconds_median is not None and lax.seconds_median is not None
    assert strict.seconds_median < 20 and lax.seconds_median > 40, "what its steps accept is noticed on the last one"


def test_a_step_that_is_too_short_to_tell_holds_and_says_which_key_to_change() -> None:
    view = canary_told(Imagined(2.0, 0.0, runs=50))
    assert view.good_held_share > 0.9, "4 requests come on the first step, and 20 are needed"
    assert view.passed_share < 0.1
    assert any("4 requests come on the first step" in hint for hint in view.hints)
    assert any("consider canary.observe_seconds >= 150" in hint for hint in view.hints)


def test_slowness_is_noticed_where_it_is_limited() -> None:
    slow = Imagined(100.0, None, 0.0, latency_ms=900.0, blue_latency_ms=300.0, runs=50)
    limited = told(slow, max_latency_ms=500.0)
    assert limited.noticed_share == 1.0 and "took longer than 500 ms" in limited.verdict
    compared = told(slow, max_latency_increase=0.2)
    assert compared.noticed_share == 1.0 and compared.good_rolled_back == 0
    assert any("slowness is not noticed" in hint for hint in told(slow).hints)


def test_without_automatic_rollback_it_says_so() -> None:
    assert any("auto_rollback is off" in hint for hint in told(Imagined(100.0, 0.5, runs=5), auto_rollback=False).hints)


@pytest.mark.parametrize(
    ("imagined", "changes", "message"),
    [
        (Imagined(0.0), {}, "--rate: must be above 0"),
        (Imagined(math.nan), {}, "--rate"),
        (Imagined(10.0, 5.0), {}, "--error-rate: must be a share between 0 and 1, got 5"),
        (Imagined(10.0, math.nan), {}, "--error-rate"),
        (Imagined(10.0, blue_error_rate=-1.0), {}, "--blue-error-rate"),
        (Imagined(10.0, runs=0), {}, "--runs: must be between 1 and 100000, got 0"),
        (Imagined(10.0, latency_ms=0.0), {}, "--latency-ms: must be above 0"),
        (Imagined(10.0, latency_ms=5.0), {"max_latency_increase": 0.2}, "--blue-latency-ms: is needed"),
        (Imagined(10.0, strategy="red-black"), {}, "strategy"),
    ],
)
def test_wrong_numbers_are_refused_by_name(imagined: Imagined, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        told(imagined, **changes)
