"""The grammar of conditions, and when a rule fires."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.alert_rules import Change, Condition, RuleState, Standing, advance, parse_condition
from bluegreen.domain.errors import UsageError
from bluegreen.domain.series import METRICS


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("request_error_rate > 0.05 for 2m", Condition("request_error_rate", ">", 0.05, 120)),
        ("request_error_rate > 5% for 2m", Condition("request_error_rate", ">", 0.05, 120)),
        ("health_check_success<1", Condition("health_check_success", "<", 1)),
        ("  restarts  >=  3  ", Condition("restarts", ">=", 3)),
        ("requests_in_flight != 0 for 1.5h", Condition("requests_in_flight", "!=", 0, 5400)),
        ("Request_Rate == 0 FOR 30s", Condition("request_rate", "==", 0, 30)),
        ("request_rate <= 10 for 30 s", Condition("request_rate", "<=", 10, 30)),
    ],
)
def test_conditions(text: str, condition: Condition) -> None:
    assert parse_condition(text, METRICS) == condition


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not understood"),
        ("request_error_rate", "is not understood"),
        ("request_error_rate > high", "is not understood"),
        ("request_error_rate > 0.05 2m", "is not understood"),
        ("request_error_rate > 0.05 for 2m and restarts > 1", "is not understood"),
        ("request_error_rate > nan", "is not understood"),
        ("request_error_rate => 0.05", "is not understood"),
        ("request_error_rat > 0.05", "did you mean request_error_rate?"),
        ("latency > 5", "there is no metric 'latency'"),
        ("request_error_rate > 5", "is a share between 0 and 1"),
        ("health_check_success < 200%", "is a share between 0 and 1"),
        ("request_rate > 5 for 5x", "'5x' is no duration"),
        ("request_rate > 5 for 2d", "for at most 1d"),
        ("x" * 5000, "is not understood"),
    ],
)
def test_what_is_no_condition_names_the_parameter_and_shows_an_example(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=r"^condition: ") as caught:
        parse_condition(text, METRICS)
    assert problem in caught.value.message
    assert len(caught.value.message) < 300
    assert "10s" in caught.value.hint or "request_error_rate > 0.05 for 2m" in caught.value.hint


looks = st.lists(st.tuples(st.floats(0.1, 20), st.one_of(st.none(), st.floats(0, 1))), max_size=60)


@given(looks, st.floats(0, 1), st.sampled_from([0.0, 1.0, 10.0, 60.0]), st.sampled_from([">", "<", ">=", "!="]))
def test_a_rule_fires_once_after_its_time_and_is_resolved_once(
    drawn: list[tuple[float, float | None]], threshold: float, hold_seconds: float, comparison: str
) -> None:
    condition = Condition("request_error_rate", comparison, threshold, hold_seconds)
    standing, now, changes = Standing(), 1000.0, list[Change]()
    held_since: float | None = None
    for gap, value in drawn:
        now += gap
        before = standing
        standing, change = advance(condition, standing, value, now)
        if value is None:
            assert change is None and standing.state is before.state and standing.since == before.since
            continue
        held_since = (held_since if held_since is not None else now) if condition.holds(value) else None
        if change is not None:
            changes.append(change)
        if change is Change.FIRED:
            assert held_since is not None and now - held_since >= hold_seconds
        firing = standing.state is RuleState.FIRING
        assert firing == (held_since is not None and now - held_since >= hold_seconds)
        assert standing.value == value
    assert changes[::2] == [Change.FIRED] * len(changes[::2])
    assert changes[1::2] == [Change.RESOLVED] * len(changes[1::2])


def test_pending_is_forgotten_when_the_condition_ends() -> None:
    condition = Condition("request_error_rate", ">", 0.05, 10)
    standing, _ = advance(condition, Standing(), 0.5, 100)
    assert standing.state is RuleState.PENDING
    standing, change = advance(condition, standing, 0.0, 105)
    assert (standing.state, change) == (RuleState.INACTIVE, None)
    standing, change = advance(condition, standing, 0.5, 111)
    assert (standing.state, change) == (RuleState.PENDING, None)


def test_before_the_first_value_a_rule_says_that_it_knows_nothing() -> None:
    standing, change = advance(Condition("restarts", "==", 0), Standing(), None, 5)
    assert (standing.state, change) == (RuleState.UNKNOWN, None)
