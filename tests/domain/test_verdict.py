"""Verdicts on traffic: pass, fail or inconclusive, the numbers behind them, and that silence says nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.baseline import Baseline, Window
from bluegreen.domain.judging import verdict_of
from bluegreen.domain.latency import EDGES_MILLISECONDS, merged
from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.service import Policy
from bluegreen.domain.verdict import Answer, Verdict, combined, judge_errors, judge_latency
from bluegreen.domain.watch import Watch, grown, yardstick

POLICY = Policy(max_error_rate=0.01, min_requests=20)
BUCKETS = len(EDGES_MILLISECONDS) + 1


def watched(
    *readings: SlotTraffic, policy: Policy = POLICY, baseline: Baseline | None = None, seconds: float = 0.1
) -> Watch:
    """A blue-green deployment, read every `seconds`."""
    watch = Watch(yardstick(policy, baseline, concurrent=False))
    for number, reading in enumerate(readings, 1):
        watch = watch.after(number * seconds, reading, None, concurrent=False)
    return watch


def beside(*readings: tuple[SlotTraffic, SlotTraffic], policy: Policy = POLICY) -> Watch:
    """A canary step; green's counters and blue's, blue's from zero."""
    watch = Watch(yardstick(policy, None, concurrent=True))
    watch = watch.after(0.0, SlotTraffic(), SlotTraffic(), concurrent=True)
    for number, (green, blue) in enumerate(readings, 1):
        watch = watch.after(number * 0.1, green, blue, concurrent=True)
    return watch


def took(milliseconds: float, requests: int, errors: int = 0) -> SlotTraffic:
    counts = [0] * BUCKETS
    counts[EDGES_MILLISECONDS.index(milliseconds)] = requests
    return SlotTraffic(requests, errors, latency=tuple(counts))


@pytest.mark.parametrize(
    ("requests", "errors", "answer"),
    [
        (0, 0, Answer.INCONCLUSIVE),
        (1, 1, Answer.INCONCLUSIVE),
        # Two of two: by luck once in ten thousand times.
        (3, 3, Answer.FAIL),
        (19, 0, Answer.INCONCLUSIVE),
        (20, 0, Answer.PASS),
        # 5 % of 20 is above what is allowed, and may well be luck.
        (20, 1, Answer.INCONCLUSIVE),
        (100, 1, Answer.PASS),
        (100, 2, Answer.INCONCLUSIVE),
        (200, 7, Answer.INCONCLUSIVE),
        (300, 15, Answer.FAIL),
        (100_000, 1_000, Answer.PASS),
        (100_000, 1_500, Answer.FAIL),
    ],
)
def test_verdict_on_errors(requests: int, errors: int, answer: Answer) -> None:
    verdict = judge_errors(watched(SlotTraffic(requests, errors)), POLICY)
    assert verdict.answer is answer, verdict.reason
    assert (verdict.requests, verdict.events, verdict.limit) == (requests, errors, 0.01)
    assert verdict.bound == pytest.approx(math.log(1000), abs=0.001)


def test_no_reading_is_inconclusive() -> None:
    verdict = judge_errors(None, POLICY)
    assert (verdict.answer, verdict.reason) == (Answer.INCONCLUSIVE, "no reading of the router's counters yet")


def test_the_sentence_of_a_failure_has_everything() -> None:
    baseline = Baseline((Window("the last minute", 10_000, 20),))
    watch = watched(SlotTraffic(803, 41), baseline=baseline)
    assert judge_errors(watch, POLICY, "v2.0 (green)").reason == (
        "41 of 803 requests to v2.0 (green) failed (5.11%, allowed 1.00%, the old version 0.20% before); "
        "chance of this by luck < 0.000001"
    )


def test_it_says_how_many_requests_are_missing_and_how_long_that_takes() -> None:
    watch = watched(SlotTraffic(2, 0), SlotTraffic(5, 0), seconds=5.0)
    verdict = judge_errors(watch, POLICY, "v2")
    assert verdict.reason == "5 requests to v2 so far, 15 more are needed to tell (about 30 s at 0.5 requests/s)"
    assert verdict.needed_requests == 15


def test_counters_that_are_not_read_any_more_pass_nothing_and_excuse_nothing() -> None:
    good, bad = watched(SlotTraffic(1_000, 0)), watched(SlotTraffic(1_000, 100))
    verdict = judge_errors(replace(good, unread_seconds=20.0), POLICY)
    assert (verdict.answer, verdict.needed_requests) == (Answer.INCONCLUSIVE, None)
    assert verdict.reason.startswith("the router's counters can't be read for 20 s; until then 0 of 1000 requests")
    assert judge_errors(replace(good, unread_seconds=0.5), POLICY).answer is Answer.PASS
    assert judge_errors(replace(bad, unread_seconds=20.0), POLICY).answer is Answer.FAIL


def test_no_error_is_allowed_when_none_is() -> None:
    policy = replace(POLICY, max_error_rate=0.0)
    assert judge_errors(watched(SlotTraffic(1000, 1), policy=policy), policy).answer is Answer.FAIL
    assert judge_errors(watched(SlotTraffic(1000, 0), policy=policy), policy).answer is Answer.PASS


def test_a_service_that_failed_as_much_before_is_not_rolled_back_for_it() -> None:
    baseline = Baseline((Window("the last minute", 4_000, 200),))
    bad = SlotTraffic(2_000, 100)
    assert judge_errors(watched(bad), POLICY).answer is Answer.FAIL
    assert judge_errors(watched(bad, baseline=baseline), POLICY).answer is Answer.PASS
    worse = judge_errors(watched(SlotTraffic(2_000, 400), baseline=baseline), POLICY)
    assert worse.answer is Answer.FAIL
    assert "the old version 5.00% before" in worse.reason


@pytest.mark.parametrize(
    ("blue", "green", "answer"),
    [
        # One of twenty may have been luck: it saves green from blame, and lets nothing pass that is not well itself.
        ((20, 1), (300, 40), Answer.INCONCLUSIVE),
        ((20, 1), (300, 2), Answer.PASS),
        ((20, 1), (300, 200), Answer.FAIL),
        ((2_000, 100), (300, 18), Answer.PASS),
        ((2_000, 100), (10_000, 620), Answer.INCONCLUSIVE),
        # Where most requests fail, nothing says that green works.
        ((1_000, 1_000), (1_000, 1_000), Answer.INCONCLUSIVE),
        ((1_000, 1_000), (1_000, 5), Answer.PASS),
    ],
)
def test_what_blue_surely_failed_lets_green_pass_and_what_it_may_have_failed_does_not(
    blue: tuple[int, int], green: tuple[int, int], answer: Answer
) -> None:
    watch = watched(SlotTraffic(*green), baseline=Baseline((Window("the last minute", *blue),)))
    verdict = judge_errors(watch, POLICY)
    assert verdict.answer is answer, verdict.reason


def test_a_canary_is_held_against_blue_beside_it_not_against_its_record() -> None:
    watch = Watch(yardstick(POLICY, Baseline((Window("the last minute", 20, 1),)), concurrent=True))
    watch = watch.after(0.0, SlotTraffic(), SlotTraffic(), concurrent=True)
    worse = watch.after(1.0, SlotTraffic(300, 40), SlotTraffic(300, 1), concurrent=True)
    assert judge_errors(worse, POLICY).answer is Answer.FAIL
    as_ever = Watch(yardstick(POLICY, Baseline((Window("the last minute", 4_000, 200),)), concurrent=True))
    as_ever = as_ever.after(0.0, SlotTraffic(), SlotTraffic(), concurrent=True)
    both = as_ever.after(1.0, SlotTraffic(300, 15), SlotTraffic(300, 15), concurrent=True)
    assert judge_errors(both, POLICY).answer is Answer.PASS


def test_a_record_of_few_requests_allows_nothing() -> None:
    baseline = Baseline((Window("the last minute", 10, 5),))
    assert yardstick(POLICY, baseline, concurrent=False).error_limit == 0.01


def test_a_canary_is_compared_with_what_happened_at_the_same_time() -> None:
    rolled_back = judge_errors(beside((SlotTraffic(200, 20), SlotTraffic(1_800, 2))), POLICY)
    assert rolled_back.answer is Answer.FAIL
    assert "the old version 0.11% at the same time" in rolled_back.reason


@pytest.mark.parametrize("errors", [1.0, 0.5, 0.05])
def test_an_incident_that_hits_both_sides_blames_nobody(errors: float) -> None:
    both = beside((SlotTraffic(200, int(200 * errors)), SlotTraffic(1_800, int(1_800 * errors))))
    verdict = judge_errors(both, POLICY)
    assert verdict.answer is Answer.INCONCLUSIVE
    assert "both sides are affected" in verdict.reason


def test_a_canary_that_is_worse_than_blue_within_what_is_allowed_stays() -> None:
    """As after a blue-green switch: the owner said that 1 % is good enough."""
    verdict = judge_errors(beside((SlotTraffic(20_000, 100), SlotTraffic(180_000, 90))), POLICY)
    assert verdict.answer is Answer.PASS, verdict.reason
    none_allowed = replace(POLICY, max_error_rate=0.0)
    verdict = judge_errors(beside((SlotTraffic(200, 20), SlotTraffic(1_800, 2)), policy=none_allowed), none_allowed)
    assert verdict.answer is Answer.FAIL


def test_an_incident_of_an_earlier_step_is_no_reason_once_green_is_alone() -> None:
    watch = beside((SlotTraffic(2_000, 1_000), SlotTraffic(2_000, 1_000)))
    assert judge_errors(watch, POLICY).answer is Answer.INCONCLUSIVE
    alone = watch.next_step().after(10.0, SlotTraffic(4_000, 1_005), SlotTraffic(2_000, 1_000), concurrent=False)
    assert judge_errors(alone, POLICY).answer is not Answer.FAIL
    broken = alone.after(11.0, SlotTraffic(4_200, 1_205), SlotTraffic(2_000, 1_000), concurrent=False)
    assert judge_errors(broken, POLICY).answer is Answer.FAIL


def test_a_reading_across_two_steps_compares_nothing() -> None:
    """At 10 % all was well; then both sides had 50 % and an incident: green's part of all requests is 28 %, and of the
    errors 50 %."""
    watch = beside((SlotTraffic(100, 0), SlotTraffic(900, 0))).next_step()
    across = watch.after(0.3, SlotTraffic(700, 250), SlotTraffic(2_400, 250), concurrent=True)
    assert judge_errors(across, POLICY).answer is not Answer.FAIL
    same_step = watch.after(0.2, SlotTraffic(100, 0), SlotTraffic(900, 0), concurrent=True)
    blamed = same_step.after(0.3, SlotTraffic(700, 250), SlotTraffic(2_400, 250), concurrent=True)
    assert judge_errors(blamed, POLICY).answer is Answer.FAIL


def test_each_step_needs_traffic_of_its_own() -> None:
    watch = beside((SlotTraffic(500, 0), SlotTraffic(4_500, 0)))
    assert judge_errors(watch, POLICY).answer is Answer.PASS
    assert judge_errors(watch.next_step(), POLICY).answer is Answer.INCONCLUSIVE


def test_a_slow_version_fails_and_a_fast_one_passes() -> None:
    policy = replace(POLICY, max_latency_ms=250.0, latency_quantile=0.99)
    slow = SlotTraffic(400, 0, latency=merged([took(100, 380).latency, took(500, 20).latency]))
    verdict = judge_latency(watched(slow, policy=policy), policy, "v2")
    assert verdict is not None
    assert verdict.answer is Answer.FAIL
    # 250 ms lies between two edges, so 300 ms is where it is measured.
    assert verdict.reason.startswith("20 of 400 requests to v2 took longer than 300 ms (5.00%, allowed 1.00%)")
    fast = judge_latency(watched(took(100, 400), policy=policy), policy)
    assert fast is not None
    assert fast.answer is Answer.PASS
    assert judge_latency(watched(took(100, 400)), POLICY) is None


def test_slower_than_the_old_version_by_more_than_allowed_fails() -> None:
    policy = replace(POLICY, max_latency_increase=0.2)
    baseline = Baseline((Window("the last minute", 1_000, 0, took(50, 1_000).latency),))
    same = judge_latency(watched(took(50, 1_000), policy=policy, baseline=baseline), policy)
    slower = judge_latency(watched(took(100, 1_000), policy=policy, baseline=baseline), policy)
    assert same is not None
    assert slower is not None
    assert (same.answer, slower.answer) == (Answer.PASS, Answer.FAIL)
    without_record = judge_latency(watched(took(100, 1_000), policy=policy), policy)
    assert without_record is None


def test_a_record_of_few_requests_says_little_about_how_slow_blue_is() -> None:
    policy = replace(POLICY, max_latency_increase=0.2)
    limits = []
    for requests in (20, 500, 10_000):
        baseline = Baseline((Window("the last minute", requests, 0, took(50, requests).latency),))
        limits.append(yardstick(policy, baseline, concurrent=False).slow_limit)
    assert limits == [pytest.approx(0.292, abs=0.001), pytest.approx(0.0137, abs=0.0001), pytest.approx(0.01)]


@pytest.mark.parametrize(
    ("record", "slow_ones", "answer"),
    [
        # Few requests of blue's save green from blame, and let nothing pass that is not well itself.
        (20, 200, Answer.INCONCLUSIVE),
        (20, 10, Answer.PASS),
        (20, 500, Answer.FAIL),
        (10_000, 10, Answer.PASS),
        (10_000, 200, Answer.FAIL),
    ],
)
def test_green_is_slower_than_a_record_that_says_little(record: int, slow_ones: int, answer: Answer) -> None:
    policy = replace(POLICY, max_latency_increase=0.2)
    baseline = Baseline((Window("the last minute", record, 0, took(50, record).latency),))
    slow = merged((took(50, 1_000 - slow_ones).latency, took(500, slow_ones).latency))
    verdict = judge_latency(watched(SlotTraffic(1_000, latency=slow), policy=policy, baseline=baseline), policy)
    assert verdict is not None
    assert verdict.answer is answer, verdict.reason


def test_the_tests_of_a_deployment_share_the_chance_of_a_false_rollback() -> None:
    both = replace(POLICY, max_latency_ms=100.0)
    assert yardstick(POLICY, None, concurrent=False).probability == 0.001
    assert yardstick(both, None, concurrent=False).probability == 0.0005
    assert yardstick(both, None, concurrent=True).probability == 0.00025


counters = st.integers(0, 10_000).flatmap(lambda n: st.builds(SlotTraffic, st.just(n), st.integers(0, n)))


@given(st.lists(counters, max_size=12), st.floats(0, 1), st.integers(1, 1000))
def test_whatever_the_counters_do_a_verdict_is_sound(readings: list[SlotTraffic], limit: float, minimum: int) -> None:
    """Counters that begin anew in the middle are among them."""
    policy = Policy(max_error_rate=limit, min_requests=minimum)
    watch = watched(*readings, policy=policy)
    verdict = judge_errors(watch, policy)
    assert 0 <= watch.errors.mine.events <= watch.errors.mine.requests
    assert verdict.evidence is not None
    assert not math.isnan(verdict.evidence)
    if watch.errors.mine.requests < minimum:
        assert verdict.answer is not Answer.PASS
    if not watch.errors.mine.events:
        assert verdict.answer is not Answer.FAIL


@given(counters, counters)
def test_what_grew_is_never_negative(before: SlotTraffic, after: SlotTraffic) -> None:
    found = grown(before, after)
    assert found.requests >= 0
    assert found.errors >= 0


def test_the_worst_answer_wins() -> None:
    answers = [Verdict(answer, str(answer)) for answer in (Answer.PASS, Answer.INCONCLUSIVE, Answer.FAIL)]
    assert combined(answers).answer is Answer.FAIL
    assert combined(answers[:2]).answer is Answer.INCONCLUSIVE
    with pytest.raises(ValueError, match="empty"):
        combined([])


def test_all_that_failed_is_told_or_else_all_that_does_not_tell() -> None:
    passed = Verdict(Answer.PASS, "fine", "health")
    few, again = (Verdict(Answer.INCONCLUSIVE, "15 more are needed", name, 5) for name in ("errors", "latency"))
    away = Verdict(Answer.INCONCLUSIVE, "the queue is not known", "queue")
    bad = Verdict(Answer.FAIL, "the queue is too long", "queue")
    assert verdict_of([passed]) == passed
    assert verdict_of([passed, few, again, away]).reason == "15 more are needed; the queue is not known"
    assert verdict_of([few, bad, away]).reason == "the queue is too long"
