"""What the log of a deployment tells afterwards."""

from __future__ import annotations

import pytest

from bluegreen.domain import events as e
from bluegreen.domain.deployment import Phase, route_of
from bluegreen.domain.model import Color, Resources, Workload
from bluegreen.domain.story import MARGIN_SECONDS, Story, headline, story_of, window_of
from bluegreen.domain.verdict import Answer, Verdict

BLUE = Workload("app-blue-1", "app", Color.BLUE, "app:v1", "v1", 1, Resources())
GREEN = Workload("app-green-2", "app", Color.GREEN, "app:v2", "v2", 1, Resources())
ASKED = e.DeploymentRequested("app:v2", "blue-green", (100,), "ada", BLUE)
VERIFIED = (ASKED, e.PreflightPassed(GREEN), e.GreenStarted(), e.Verified())
SWITCHED = (*VERIFIED, e.TrafficSwitched(route_of(GREEN), 2, 1.5))
FAILED = Verdict(Answer.FAIL, "41 of 803 requests failed", "errors", 803, 41, 0.01, 0.0, 9.0, 6.9)
ROLLBACK = e.RollbackRequested("41 of 803 requests failed", "bluegreen", automatic=True, measurements=(FAILED,))
ROLLED_BACK = (*SWITCHED, ROLLBACK, e.TrafficSwitched(route_of(BLUE), 3, 0.5), e.DeploymentRolledBack())
PASSED = e.MonitoringPassed("fine", 900, 0, (Verdict(Answer.PASS, "fine", "errors", 900, 0, 0.01),))
COMPLETED = (*SWITCHED, PASSED, e.RetentionEnded(), e.DeploymentCompleted())
BROKEN = (ASKED, e.PreflightPassed(GREEN), e.DeploymentFailing("it crashed"), e.DeploymentFailed())
ABORTED = (ASKED, e.PreflightPassed(GREEN), e.AbortRequested("ada", "wrong tag"), e.DeploymentAborted())


def told(*events: e.Event, every_seconds: float = 1.0) -> Story:
    return story_of([e.Record(n, "app-2", "app", 100.0 + n * every_seconds, event) for n, event in enumerate(events)])


def test_phases_follow_each_other_without_a_gap() -> None:
    story = told(*ROLLED_BACK)
    assert [str(span.phase) for span in story.spans] == [
        "preflight", "starting", "verifying", "switching", "monitoring", "rolling_back",
    ]  # fmt: skip
    for before, after in zip(story.spans, story.spans[1:], strict=False):
        assert before.ended_at == after.began_at
    assert story.spans[-1].ended_at == story.deployment.ended_at


def test_the_phase_that_lasts_has_no_end() -> None:
    assert told(*SWITCHED).spans[-1].phase is Phase.MONITORING
    assert told(*SWITCHED).spans[-1].ended_at is None


def test_moves_say_what_share_the_new_version_had_from_then_on() -> None:
    assert [(move.percent, move.back, move.milliseconds) for move in told(*ROLLED_BACK).moves] == [
        (100, False, 1.5), (0, True, 0.5),
    ]  # fmt: skip
    assert told(*ROLLED_BACK).exposed_seconds == 2.0
    assert told(*COMPLETED).exposed_seconds is None
    assert told(*BROKEN).moves == ()


def test_decisions_keep_their_numbers_and_who_took_them() -> None:
    (decision,) = told(*ROLLED_BACK).decisions
    assert (decision.what, decision.by, decision.verdicts) == ("rollback", "", (FAILED,))
    by_hand = told(*SWITCHED, e.RollbackRequested("answers are wrong", "ada")).decisions[0]
    assert (by_hand.by, by_hand.verdicts) == ("ada", ())


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (COMPLETED, ["v2 replaced v1", "0 of 900 requests failed"]),
        (ROLLED_BACK, ["v2 was rolled back 2.0 s after it got traffic", "41 of 803", "v1 has all traffic."]),
        (BROKEN, ["v2 failed before it got any traffic: it crashed", "v1 was never touched"]),
        (ABORTED, ["v2 was aborted before it got any traffic: wrong tag", "v1 was never touched"]),
        (SWITCHED, ["v2 has 100 % of the traffic and is being watched"]),
        (VERIFIED[:1], ["v2 is not yet in service (phase preflight)", "v1 has all traffic"]),
    ],
)
def test_the_headline_says_how_it_went(events: tuple[e.Event, ...], words: list[str]) -> None:
    for word in words:
        assert word in headline(told(*events))


def test_a_rollback_to_a_sick_version_is_said() -> None:
    sick = (*ROLLED_BACK[:-1], e.BlueVerified(healthy=False), e.DeploymentRolledBack())
    assert "v1 has all traffic, and is NOT healthy" in headline(told(*sick))


def test_the_window_is_around_the_switch_and_the_decision() -> None:
    story = told(*COMPLETED, every_seconds=600.0)
    start, end = window_of(story, now=1e6)
    assert (start, end) == (story.moves[0].at - MARGIN_SECONDS, story.decisions[0].at + MARGIN_SECONDS)
    start, end = window_of(told(*ROLLED_BACK), now=1e6)
    assert end - start < 60, "what lasted two seconds must be seen"


@pytest.mark.parametrize("events", [COMPLETED, ROLLED_BACK, BROKEN, ABORTED, SWITCHED, (ASKED,)])
@pytest.mark.parametrize("now", [0.0, 100.0, 105.5, 1e6])
def test_the_window_is_never_empty_whatever_the_clock_did(events: tuple[e.Event, ...], now: float) -> None:
    start, end = window_of(told(*events), now)
    assert start < end
