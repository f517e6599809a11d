"""What the old version does at its worst is nobody's fault: a service that has such moments can still be deployed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.baseline import Baseline, Window, recorded, worst_of
from bluegreen.domain.latency import EDGES_MILLISECONDS
from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.sample import Sample
from bluegreen.domain.sequential import Counted, bound
from bluegreen.domain.service import Policy
from bluegreen.domain.unrest import MOST_UNREST, STRETCHES_SECONDS, unrest
from bluegreen.domain.verdict import Answer, judge_errors, judge_latency
from bluegreen.domain.watch import Watch, yardstick

POLICY = Policy(max_error_rate=0.01, min_requests=20, max_latency_increase=0.2)
FAST, SLOW = (EDGES_MILLISECONDS.index(edge) for edge in (10, 500))


def sample(at: float, requests: int, errors: int = 0, slow: int = 0, *, seconds: float = 1.0) -> Sample:
    latency = {f"latency_{FAST}": requests - slow, f"latency_{SLOW}": slow}
    return Sample.of(at, seconds=seconds, requests=requests, errors=errors, **latency)


def record(samples: list[Sample]) -> Baseline:
    usual = recorded("the last 10 minutes", samples, samples[0].at - 1.0, samples[-1].at)
    assert usual is not None
    return Baseline((usual,), worst_of(samples, usual))


def restless(*, errors: int = 0, slow: int = 0) -> Baseline:
    """200 requests a second; these are bad in one second of twenty."""
    return record([sample(at, 200, *((errors, slow) if at % 20 == 0 else (0, 0))) for at in range(1, 121)])


def readings(*, errors: int = 0, slow: int = 0, every: int = 20, seconds: int = 100) -> list[SlotTraffic]:
    """Green, ten times a second; these are bad in one second of so many."""
    found, requests, failed, late = [], 0, 0, 0
    for look in range(10 * seconds):
        bad = (look // 10 + 1) % every == 0
        requests, failed, late = requests + 20, failed + errors // 10 * bad, late + slow // 10 * bad
        latency = [0] * (len(EDGES_MILLISECONDS) + 1)
        latency[FAST], latency[SLOW] = requests - late, late
        found.append(SlotTraffic(requests, failed, latency=tuple(latency)))
    return found


def watches(baseline: Baseline | None, green: list[SlotTraffic]) -> list[Watch]:
    watch, found = Watch(yardstick(POLICY, baseline, concurrent=False)), []
    for number, reading in enumerate(green, 1):
        watch = watch.after(number / 10, reading, None, concurrent=False)
        found.append(watch)
    return found


def test_the_worst_of_each_length_is_found_once() -> None:
    samples = [sample(at, 100, 5 if at in (30, 31) else 1 if at == 50 else 0) for at in range(1, 61)]
    worst = record(samples).worst
    assert [(moment.name, moment.requests, moment.errors) for moment in worst] == [
        ("its worst 1 s", 100, 5),
        ("its worst 3 s", 200, 10),
        ("its worst 30 s", 2_100, 11),
    ]


def test_a_sample_that_is_longer_than_a_moment_tells_nothing_of_moments() -> None:
    samples = [sample(10.0 * at, 2_000, 50 if at == 3 else 0, seconds=10.0) for at in range(1, 10)]
    assert [moment.name for moment in record(samples).worst] == ["its worst 10 s"]


def test_a_steady_version_has_no_unrest() -> None:
    assert record([sample(at, 200, at % 2) for at in range(1, 121)]).error_unrest(0.01, 0.001) == 0.0
    assert Baseline().error_unrest(0.01, 0.001) == 0.0


def test_green_with_the_bursts_of_the_old_version_stays_and_without_that_record_it_goes() -> None:
    green = readings(errors=20)
    before = restless(errors=20)
    assert Answer.FAIL in {judge_errors(watch, POLICY).answer for watch in watches(None, green)}
    seen = [judge_errors(watch, POLICY) for watch in watches(before, green)]
    assert Answer.FAIL not in {verdict.answer for verdict in seen}
    assert seen[950].answer is Answer.PASS, seen[950].reason
    assert "at times far more" in seen[950].reason


def test_so_it_is_with_slow_moments() -> None:
    green, before = readings(slow=150), restless(slow=150)
    quiet = record([sample(at, 200) for at in range(1, 121)])
    answers = [
        {verdict.answer for watch in watches(known, green) if (verdict := judge_latency(watch, POLICY))}
        for known in (before, quiet)
    ]
    assert Answer.FAIL not in answers[0]
    assert Answer.FAIL in answers[1]


@pytest.mark.parametrize(("errors", "seconds_at_most"), [(10, 8), (100, 1), (200, 1)])
def test_a_bad_green_is_found_all_the_same(errors: int, seconds_at_most: int) -> None:
    failing = watches(restless(errors=20), readings(errors=errors, every=1, seconds=20))
    first = next(watch.seconds for watch in failing if judge_errors(watch, POLICY).answer is Answer.FAIL)
    assert first <= seconds_at_most


def test_an_outage_of_the_old_version_excuses_no_outage() -> None:
    before = record([sample(at, 200, 200 if at > 80 else 0) for at in range(1, 121)])
    limit = before.error_limit(0.01, 20)
    assert before.error_unrest(limit, 0.001) == pytest.approx(MOST_UNREST * bound(0.001))
    green = watches(before, readings(errors=200, every=1, seconds=20))
    assert judge_errors(green[29], POLICY).answer is Answer.FAIL


def test_the_chance_that_is_told_is_that_beyond_what_is_forgiven() -> None:
    seen = (judge_errors(watch, POLICY) for watch in watches(restless(errors=20), readings(errors=10, every=1)))
    failed = next(verdict for verdict in seen if verdict.answer is Answer.FAIL)
    assert failed.evidence is not None
    assert failed.bound is not None
    assert failed.bound > bound(0.0005)
    chance = float(failed.reason.rsplit("< ", 1)[1])
    assert math.log(1 / chance) <= failed.evidence - (failed.bound - bound(0.0005)) + 0.01


moments = st.lists(
    st.builds(lambda n, k: Counted(n, min(n, k)), st.integers(0, 10_000), st.integers(0, 10_000)), max_size=8
)


@given(moments, st.floats(0.0, 1.0), st.floats(1e-6, 0.5))
def test_it_is_nothing_or_between_the_bound_and_what_is_forgiven_at_most(
    known: list[Counted], limit: float, probability: float
) -> None:
    found = unrest(known, limit, probability)
    assert found == 0.0 or bound(probability) <= found <= MOST_UNREST * bound(probability) + 1e-9
    assert unrest(known[::-1], limit, probability) == found
    assert unrest([*known, Counted(10, 0)], limit, probability) >= found


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500), st.sampled_from([0.2, 1.0, 10.0, 60.0]))))
def test_no_moment_is_longer_than_it_says_nor_has_more_errors_than_there_were(
    seconds: list[tuple[int, int, float]],
) -> None:
    at, samples = 0.0, []
    for requests, errors, length in seconds:
        at += length
        samples.append(sample(at, requests, min(requests, errors), seconds=length))
    usual = recorded("all", samples, 0.0, at) if at else None
    worst = worst_of(samples, usual)
    assert len(worst) <= 2 * len(STRETCHES_SECONDS)
    for moment in worst:
        assert moment.errors <= moment.requests <= sum(requests for requests, _, _ in seconds)
    assert all(isinstance(moment, Window) for moment in worst)
