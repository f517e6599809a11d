"""From an answer to a verdict: what passes, what fails, and all that does neither."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.analysis import (
    CommandResult,
    Element,
    Finding,
    QueryResult,
    Standing,
    judge_analysis,
    judge_command,
    judge_query,
    judge_smoke,
    questions,
)
from bluegreen.domain.analysis_condition import parse_result_condition
from bluegreen.domain.errors import UsageError
from bluegreen.domain.service import Analysis, Policy, ServiceSpec, SmokeTest
from bluegreen.domain.verdict import Answer

NOW = 1_800_000_000.0
BELOW = parse_result_condition("result < 0.05")
QUESTION = Analysis("routes", query="x", condition=BELOW, interval_seconds=5.0)
GOOD, BAD = Finding(Answer.PASS, "fine", 0.01), Finding(Answer.FAIL, "broken", 0.2)
SILENT = Finding(Answer.INCONCLUSIVE, "nobody answers")


def found(*values: float, age: float = 0.0) -> QueryResult:
    return QueryResult(tuple(Element(v, NOW - age, {"route": f"/{n}"}) for n, v in enumerate(values)))


def judged(result: QueryResult) -> Finding:
    return judge_query(BELOW, result, now=NOW, max_age_seconds=120)


def standing(*findings: Finding, seconds: float = 5.0) -> Standing:
    result = Standing()
    for number, finding in enumerate(findings):
        result = result.after(finding, number * seconds)
    return result


@pytest.mark.parametrize(
    ("text", "holds", "breaks"),
    [
        ("result < 0.05", [0.049, -1], [0.05, 1]),
        ("result>=99.5%", [0.995, 2], [0.99]),
        ("RESULT == 0", [0, -0.0], [1e-9]),
        ("result != 1", [0], [1]),
        ("result > 0.9 and result <= 1.1", [1, 1.1], [0.9, 1.2]),
        ("result < 1e-3", [0.0009], [0.001]),
    ],
)
def test_conditions_hold_for_what_they_say(text: str, holds: list[float], breaks: list[float]) -> None:
    condition = parse_result_condition(text)
    assert all(condition.holds(value) for value in holds)
    assert not any(condition.holds(value) for value in breaks)
    assert parse_result_condition(str(condition)) == condition


@pytest.mark.parametrize(
    "text",
    [
        "",
        "result",
        "0.05",
        "< 1",
        "result < nan",
        "result < inf",
        "result < x",
        "result =< 1",
        "result < 1 or result > 2",
        "result < 1 and",
        "result < 1; drop",
        "value < 1",
        "result < 1 and result > 1",
        "result < " + "1" * 300,
    ],
)
def test_other_conditions_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_result_condition(text)
    assert "result < 0.05" in caught.value.hint


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
def test_a_condition_that_is_written_out_is_the_same_one(threshold: float, operator: str) -> None:
    from bluegreen.domain.analysis_condition import Comparison, ResultCondition

    if abs(threshold) < 1e-90 or abs(threshold) >= 1e15:
        return  # Beyond what the grammar reads.
    parsed = parse_result_condition(f"result {operator} {threshold:.6f}")
    assert parse_result_condition(str(parsed)) == parsed
    assert isinstance(parsed, ResultCondition) and isinstance(parsed.parts[0], Comparison)


@pytest.mark.parametrize(
    ("result", "answer", "words"),
    [
        (found(0.01), Answer.PASS, ['{route="/0"} is 0.01', "result < 0.05"]),
        (found(0.01, 0.02), Answer.PASS, ["2 series from 0.01 to 0.02"]),
        (found(0.07), Answer.FAIL, ['{route="/0"} is 0.07', "must be: result < 0.05"]),
        (found(0.01, 0.07), Answer.FAIL, ['{route="/1"} is 0.07']),
        (found(0.01, 0.07, 0.9), Answer.FAIL, ['{route="/1"} is 0.07', "1 more of 3 series"]),
        (found(math.nan, 0.07), Answer.FAIL, ['{route="/1"} is 0.07']),
        (found(math.nan, 0.01), Answer.INCONCLUSIVE, ['{route="/0"} is NaN', "guard the divisor"]),
        (found(math.inf), Answer.INCONCLUSIVE, ["is +Inf"]),
        (found(-math.inf), Answer.INCONCLUSIVE, ["is -Inf"]),
        (found(), Answer.INCONCLUSIVE, ["found nothing", "vector(0)"]),
        (found(0.01, age=300), Answer.INCONCLUSIVE, ["300 s old", "max_sample_age_seconds (120)"]),
        (found(0.9, age=300), Answer.INCONCLUSIVE, ["300 s old"]),
        (found(0.01, age=-300), Answer.PASS, []),
        (QueryResult(problem="Prometheus is down; start it"), Answer.INCONCLUSIVE, ["is down; start it"]),
    ],
)
def test_only_numbers_that_are_fresh_and_finite_pass(result: QueryResult, answer: Answer, words: list[str]) -> None:
    finding = judged(result)
    assert finding.answer is answer
    for word in words:
        assert word in finding.phrase


def test_a_scalar_is_called_result_and_strange_labels_stay_on_one_line() -> None:
    assert judged(QueryResult((Element(0.07, NOW),))).phrase == "result is 0.07, must be: result < 0.05"
    strange = Element(1.0, NOW, {"__name__": "x", "a": "b\x1b[31m\n" + "c" * 500})
    name = strange.name
    assert name.startswith('x{a="b [31m c')
    assert name.isprintable() and len(name) == 200


@given(st.lists(st.floats(), max_size=6), st.floats(-1e6, 1e6))
def test_a_pass_means_that_every_element_meets_the_condition(values: list[float], age: float) -> None:
    finding = judged(found(*values, age=age))
    good = [math.isfinite(value) and value < 0.05 for value in values]
    if finding.answer is Answer.PASS:
        assert values and all(good) and age <= 120
    if finding.answer is Answer.FAIL:
        assert not all(good) and age <= 120


@pytest.mark.parametrize(
    ("result", "answer", "words"),
    [
        (CommandResult(0), Answer.PASS, "'./check' exited with 0"),
        (CommandResult(1, "accuracy 0.4"), Answer.FAIL, "'./check' exited with 1: accuracy 0.4"),
        (CommandResult(2), Answer.INCONCLUSIVE, "exited with 2; only 0 (pass) and 1 (fail) are answers"),
        (CommandResult(-11), Answer.INCONCLUSIVE, "was ended by signal 11"),
        (CommandResult(None, problem="can't be started: no such file"), Answer.INCONCLUSIVE, "can't be started"),
    ],
)
def test_a_command_answers_with_0_and_1_alone(result: CommandResult, answer: Answer, words: str) -> None:
    finding = judge_command("./check", result)
    assert finding.answer is answer
    assert words in finding.phrase


def test_a_smoke_test_passes_on_every_replica_or_not_at_all() -> None:
    assert judge_smoke([]).answer is Answer.INCONCLUSIVE
    assert judge_smoke([(True, ""), (True, "")]).answer is Answer.PASS
    mixed = judge_smoke([(True, ""), (False, "HTTP 500")])
    assert (mixed.answer, mixed.phrase) == (Answer.FAIL, "1 of 2 replicas failed: HTTP 500")


@pytest.mark.parametrize(
    ("findings", "limit", "answer"),
    [
        ([], 1, Answer.INCONCLUSIVE),
        ([GOOD], 1, Answer.PASS),
        ([BAD], 1, Answer.FAIL),
        ([SILENT], 1, Answer.INCONCLUSIVE),
        ([GOOD, SILENT], 1, Answer.INCONCLUSIVE),
        ([SILENT, GOOD], 1, Answer.PASS),
        ([BAD, SILENT], 1, Answer.FAIL),
        ([BAD, GOOD], 1, Answer.PASS),
        ([BAD], 2, Answer.INCONCLUSIVE),
        ([BAD, BAD], 2, Answer.FAIL),
        ([BAD, GOOD, BAD], 2, Answer.INCONCLUSIVE),
        ([BAD, SILENT, BAD], 2, Answer.FAIL),
        ([BAD, GOOD], 2, Answer.PASS),
    ],
)
def test_failing_answers_in_a_row_make_a_failure(findings: list[Finding], limit: int, answer: Answer) -> None:
    question = replace(QUESTION, failure_limit=limit)
    now = 5.0 * len(findings)
    assert judge_analysis(question, standing(*findings), now).answer is answer


def test_verdicts_say_which_analysis_and_carry_the_number() -> None:
    verdict = judge_analysis(QUESTION, standing(BAD), 0.0)
    assert (verdict.measurement, verdict.value, verdict.limit) == ("routes", 0.2, 0.05)
    assert verdict.reason == "analysis routes: broken"
    twice = judge_analysis(replace(QUESTION, failure_limit=2), standing(BAD, BAD), 5.0)
    assert twice.reason == "analysis routes: broken (2 times in a row)"
    once = judge_analysis(replace(QUESTION, failure_limit=3), standing(BAD, BAD), 5.0)
    assert once.reason == "analysis routes: broken (2 in a row, 3 make a failure)"


def test_an_answer_older_than_three_intervals_tells_nothing() -> None:
    fresh, old = judge_analysis(QUESTION, standing(GOOD), 15.0), judge_analysis(QUESTION, standing(GOOD), 15.1)
    assert (fresh.answer, old.answer) == (Answer.PASS, Answer.INCONCLUSIVE)
    assert "last answered 15 s ago, more than 15 s: fine" in old.reason
    assert judge_analysis(QUESTION, standing(BAD), 16.0).answer is Answer.INCONCLUSIVE


@given(st.lists(st.sampled_from([GOOD, BAD, SILENT])), st.integers(1, 4), st.floats(0, 1e6))
def test_it_passes_only_on_a_fresh_pass_that_came_last(findings: list[Finding], limit: int, later: float) -> None:
    question = replace(QUESTION, failure_limit=limit)
    told = standing(*findings)
    verdict = judge_analysis(question, told, told.answered_at + later)
    if verdict.answer is Answer.PASS:
        assert findings[-1] is GOOD and later <= 15
    if verdict.answer is Answer.FAIL:
        assert findings.count(BAD) >= limit and findings[-1] is not GOOD


def test_smoke_tests_are_asked_again_only_when_the_policy_says_how_often() -> None:
    spec = ServiceSpec("a", ("*",), ("x",), smoke=(SmokeTest("first", max_seconds=3),), analyses=(QUESTION,))
    assert questions(spec) == (QUESTION,)
    repeated = questions(replace(spec, policy=Policy(smoke_interval_seconds=20)))[1]
    assert (repeated.name, repeated.smoke, repeated.interval_seconds) == ("smoke test first", "first", 20)
    assert repeated.failure_limit == 2
    assert judge_analysis(repeated, standing(BAD, BAD), 5.0).reason.startswith("smoke test first: broken")
