"""Evidence: what it may never be, whatever is counted in whatever order, and that it agrees with scipy."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bluegreen.domain.sequential import (
    ODDS_RATIOS,
    STAKES,
    Counted,
    Evidence,
    bound,
    divergence,
    gains_against_limit,
    gains_against_other,
    log_sum,
    requests_needed,
    upper_share,
)

counts = st.integers(0, 5_000).flatmap(lambda n: st.builds(Counted, st.just(n), st.integers(0, n)))
limits = st.floats(0.0, 1.0)
batches = st.lists(st.tuples(counts, st.floats(0, 1e6)), max_size=20)


def folded(steps: list[tuple[Counted, float]], limit: float) -> Evidence:
    evidence = Evidence()
    for counted, seconds in steps:
        evidence = evidence.after(gains_against_limit(counted, limit), seconds)
    return evidence


def test_the_stakes_add_up_to_one_and_nothing_counted_is_no_evidence() -> None:
    assert math.isclose(sum(STAKES), 1.0)
    assert Evidence().value == pytest.approx(0.0)
    assert Evidence().after((0.0,) * len(STAKES), 100.0).value == pytest.approx(0.0)


@given(batches, limits)
def test_it_is_never_nan_nor_positive_infinite(steps: list[tuple[Counted, float]], limit: float) -> None:
    value = folded(steps, limit).value
    assert not math.isnan(value)
    assert value < math.inf


@given(batches, counts, st.floats(1e-6, 1.0), st.floats(0, 1e6))
def test_one_more_event_never_weakens_it(
    steps: list[tuple[Counted, float]], last: Counted, limit: float, seconds: float
) -> None:
    worse = Counted(last.requests, min(last.requests, last.events + 1))
    evidence = folded(steps, limit)
    before = evidence.after(gains_against_limit(last, limit), seconds).value
    after = evidence.after(gains_against_limit(worse, limit), seconds).value
    assert after >= before - 1e-9 * max(1.0, abs(before))


@given(st.lists(counts, min_size=1, max_size=10), limits, st.randoms())
def test_the_order_of_batches_of_one_moment_does_not_matter(
    counted: list[Counted], limit: float, random: object
) -> None:
    mixed = list(counted)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    whole = Counted(sum(c.requests for c in counted), sum(c.events for c in counted))
    first = folded([(batch, 0.5) for batch in counted], limit).value
    assert folded([(batch, 0.5) for batch in mixed], limit).value == pytest.approx(first, rel=1e-9, abs=1e-6)
    assert folded([(whole, 0.5)], limit).value == pytest.approx(first, rel=1e-9, abs=1e-6)


@given(counts, counts)
def test_beside_another_it_is_finite_and_grows_with_my_events(mine: Counted, other: Counted) -> None:
    gains = gains_against_other(mine, other)
    assert all(math.isfinite(gain) for gain in gains)
    if mine.events < mine.requests:
        worse = gains_against_other(Counted(mine.requests, mine.events + 1), other)
        assert all(new >= old for new, old in zip(worse, gains, strict=True))
    if other.events < other.requests:
        less = gains_against_other(mine, Counted(other.requests, other.events + 1))
        assert all(new <= old for new, old in zip(less, gains, strict=True))


@given(st.integers(1, 200), st.integers(1, 200), st.data())
def test_beside_another_the_expectation_is_at_most_one_when_events_hit_both_alike(
    mine: int, other: int, data: st.DataObject
) -> None:
    """Exactly, over all ways in which the events can fall: the property that makes it an e-value."""
    events = data.draw(st.integers(0, mine + other))
    law = stats.hypergeom(mine + other, mine, events)
    for position in range(len(ODDS_RATIOS)):
        expected = sum(
            law.pmf(k) * math.exp(gains_against_other(Counted(mine, k), Counted(other, events - k))[position])
            for k in range(max(0, events - other), min(mine, events) + 1)
        )
        assert expected <= 1.0 + 1e-9


@given(st.integers(1, 60), st.floats(0.001, 0.9), st.just(0.0) | st.floats(1e-6, 1.0))
def test_against_a_limit_the_expectation_is_at_most_one_for_every_share_up_to_it(
    requests: int, limit: float, part: float
) -> None:
    law = stats.binom(requests, part * limit)
    for position in range(len(ODDS_RATIOS)):
        expected = sum(
            law.pmf(k) * math.exp(gains_against_limit(Counted(requests, k), limit)[position])
            for k in range(requests + 1)
        )
        assert expected <= 1.0 + 1e-9


@given(st.integers(1, 10_000), st.data(), st.floats(0.001, 0.999))
def test_it_agrees_with_scipy_on_likelihoods(requests: int, data: st.DataObject, limit: float) -> None:
    events = data.draw(st.integers(0, requests))
    gains = gains_against_limit(Counted(requests, events), limit)
    for ratio, gain in zip(ODDS_RATIOS, gains, strict=True):
        odds = ratio * limit / (1 - limit)
        expected = stats.binom.logpmf(events, requests, odds / (1 + odds)) - stats.binom.logpmf(events, requests, limit)
        if math.isfinite(expected) and abs(expected) < 1e4:
            assert gain == pytest.approx(expected, rel=1e-6, abs=1e-5)


@given(st.floats(0.0, 1.0), st.floats(0.001, 0.999))
def test_divergence_is_scipys(share: float, limit: float) -> None:
    expected = stats.entropy([share, 1 - share], [limit, 1 - limit])
    assert divergence(share, limit) == pytest.approx(float(expected), abs=1e-9)


@given(st.integers(1, 5_000), st.data(), st.floats(1e-6, 0.1))
def test_the_upper_share_is_never_below_the_exact_one(requests: int, data: st.DataObject, doubt: float) -> None:
    """Clopper-Pearson from scipy is exact; the Chernoff bound is simpler and errs to the safe side."""
    events = data.draw(st.integers(0, requests))
    exact = 1.0 if events == requests else float(stats.beta.ppf(1 - doubt, events + 1, requests - events))
    assert upper_share(Counted(requests, events), doubt) >= exact - 1e-6
    assert upper_share(Counted(), doubt) == 1.0


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=8))
def test_log_sum_is_scipys(values: list[float]) -> None:
    from scipy.special import logsumexp

    assert log_sum(values) == pytest.approx(float(logsumexp(values)), rel=1e-9, abs=1e-9)


def test_walds_bound_for_the_figures_of_the_design() -> None:
    assert requests_needed(0.05, 0.01, 0.001) == pytest.approx(167, abs=1)
    assert requests_needed(0.01, 0.01, 0.001) == math.inf


def test_a_clock_that_stands_or_goes_back_lays_no_stake() -> None:
    bad = gains_against_limit(Counted(20, 2), 0.01)
    there = Evidence().after(bad, 100.0)
    assert there.after(bad, 50.0).seconds == 100
    values = [there.value]
    for _ in range(5):
        there = there.after(bad, 50.0)
        values.append(there.value)
    assert all(later > earlier for earlier, later in pairwise(values))


def test_minutes_of_good_answers_do_not_hide_a_version_that_breaks() -> None:
    evidence = Evidence()
    for tenth in range(2400):
        evidence = evidence.after(gains_against_limit(Counted(20, 0), 0.01), tenth / 10)
    assert evidence.value < 1.0
    looks = 0
    while evidence.value < bound(0.001):
        looks += 1
        evidence = evidence.after(gains_against_limit(Counted(20, 1), 0.01), 240 + looks / 10)
    # One in twenty fails from now on: 20 requests a look.
    assert looks * 20 <= 4 * requests_needed(0.05, 0.01, 0.001)
