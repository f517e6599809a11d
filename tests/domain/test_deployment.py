"""The state machine: the table, and what no sequence of events can do."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain import events as e
from bluegreen.domain.baseline import Baseline, Window
from bluegreen.domain.deployment import (
    TERMINAL_PHASES,
    TRANSITIONS,
    Deployment,
    Phase,
    apply,
    held_workloads,
    replay,
    requested,
    route_of,
)
from bluegreen.domain.errors import IllegalEvent
from bluegreen.domain.model import Color, Resources, Workload
from bluegreen.domain.strategy import targets_at

BLUE = Workload("app-blue-1", "app", Color.BLUE, "app:v1", "v1", 1, Resources())
GREEN = Workload("app-green-2", "app", Color.GREEN, "app:v2", "v2", 1, Resources())
REQUEST = e.DeploymentRequested("app:v2", "blue-green", (100,), "ada", blue=BLUE, generation=3)
WALK = (
    e.PreflightPassed(GREEN),
    e.GreenStarted(),
    e.HealthPassed(),
    e.Verified(),
    e.TrafficSwitched(route_of(GREEN), 4, 1.5),
    e.MonitoringPassed("fine", 100, 0),
    e.RetentionEnded(),
    e.WorkloadStopped(BLUE.id),
    e.DeploymentCompleted(),
)
SAMPLES: dict[str, e.Event] = {
    "deployment_requested": REQUEST,
    "image_pulling": e.ImagePulling("app:v2", 1, 2),
    "green_prepared": e.GreenPrepared("app@sha256:1", "here"),
    "action_started": e.ActionStarted("stop"),
    "action_succeeded": e.ActionSucceeded("stop"),
    "action_failed": e.ActionFailed("stop", "boom"),
    "smoke_passed": e.SmokePassed(),
    "approval_needed": e.ApprovalNeeded(),
    "promoted": e.Promoted("ada"),
    "step_passed": e.StepPassed(),
    "green_grown": e.GreenGrown(2),
    "baseline_recorded": e.BaselineRecorded(Baseline((Window("the last minute", 100, 1),))),
    "attention_needed": e.AttentionNeeded("look"),
    "deployment_failing": e.DeploymentFailing("broken"),
    "abort_requested": e.AbortRequested("ada"),
    "rollback_requested": e.RollbackRequested("bad", "ada"),
    "blue_verified": e.BlueVerified(True),
    "logs_collected": e.LogsCollected(("line",)),
    "drained": e.Drained(Color.BLUE, 2),
    "alert_raised": e.AlertRaised("deploy-complete", "info", "done"),
    "controller_restarted": e.ControllerRestarted(),
    "deployment_rolled_back": e.DeploymentRolledBack(),
    "deployment_failed": e.DeploymentFailed(),
    "deployment_aborted": e.DeploymentAborted(),
    **{event.kind: event for event in WALK},
}


def begun() -> Deployment:
    return requested("app-x", "app", 10.0, REQUEST)


def walked(steps: int) -> Deployment:
    deployment = begun()
    for at, event in enumerate(WALK[:steps], start=11):
        deployment = apply(deployment, float(at), event)
    return deployment


def test_every_kind_of_event_has_a_sample_here() -> None:
    assert set(SAMPLES) == set(e.EVENT_KINDS)


def test_every_phase_can_be_reached_and_left_by_the_table() -> None:
    targets = {target for (source, _), target in TRANSITIONS.items() if source is not target}
    assert targets | {Phase.PREFLIGHT} == set(Phase)
    left = {source for (source, _), target in TRANSITIONS.items() if source is not target}
    assert left == set(Phase) - TERMINAL_PHASES


def test_the_table_speaks_only_of_events_that_exist() -> None:
    assert {kind for _, kind in TRANSITIONS} <= set(e.EVENT_KINDS)
    concrete = [
        cls for _, cls in inspect.getmembers(e, inspect.isclass) if issubclass(cls, e.Event) and cls is not e.Event
    ]
    assert {cls.kind for cls in concrete} == set(e.EVENT_KINDS)


@pytest.mark.parametrize("phase", sorted(TERMINAL_PHASES))
def test_after_the_end_nothing_happens_but_the_end_of_the_version_that_was_left(phase: Phase) -> None:
    assert {kind: target for (source, kind), target in TRANSITIONS.items() if source is phase} == {
        e.WorkloadStopped.kind: phase
    }


def test_a_version_that_was_stopped_on_purpose_is_active_no_more() -> None:
    ended = walked(len(WALK))
    assert ended.active == GREEN
    stopped = apply(ended, 99.0, e.WorkloadStopped(GREEN.id))
    assert (stopped.phase, stopped.active, stopped.standby) == (ended.phase, None, None)


def test_who_is_active_changes_with_the_switch_and_back() -> None:
    assert walked(4).active == BLUE
    assert walked(5).active == GREEN
    assert walked(5).standby == BLUE
    back = apply(walked(5), 20.0, e.RollbackRequested("bad", "ada"))
    assert (back.active, back.standby) == (BLUE, GREEN)
    assert walked(8).standby is None


def canary(*shares: int) -> Deployment:
    """On a canary of 10, 50 and 100 percent, after it was given these."""
    deployment = requested("app-x", "app", 10.0, replace(REQUEST, strategy="canary", steps=(10, 50, 100)))
    for event in WALK[:4]:
        deployment = apply(deployment, 11.0, event)
    for number, share in enumerate(shares):
        if number:
            deployment = apply(deployment, 12.0, e.StepPassed("fine", 100 * number, 0))
        switched = e.TrafficSwitched(targets_at(share, GREEN, BLUE), 4 + number)
        deployment = apply(deployment, 13.0, switched)
    return deployment


def test_on_a_canary_step_the_active_one_is_still_blue() -> None:
    for shares in ((10,), (10, 50)):
        d = canary(*shares)
        assert (d.active, d.standby, d.share, d.shares_traffic) == (BLUE, GREEN, shares[-1], True)
        assert {workload.id for workload, _ in held_workloads([d], d)} == {BLUE.id, GREEN.id}
    d = canary(10, 50, 100)
    assert (d.active, d.standby, d.share, d.shares_traffic, d.last_step) == (GREEN, BLUE, 100, False, True)


def test_between_two_steps_green_has_what_it_had_and_can_grow_and_go_back() -> None:
    between = apply(canary(10), 20.0, e.StepPassed("fine", 321, 0))
    assert (between.phase, between.percent, between.share) == ("switching", 50, 10)
    assert between.can_roll_back
    grown = apply(between, 25.0, e.GreenGrown(5))
    assert grown.green is not None
    assert (grown.green.replicas, grown.phase, grown.phase_since) == (5, "switching", 25.0)
    back = apply(between, 26.0, e.RollbackRequested("bad", "ada"))
    assert (back.phase, back.active) == ("rolling_back", BLUE)


@pytest.mark.parametrize("event", [e.DeploymentFailing("broken"), e.AbortRequested("ada")])
def test_once_users_are_on_green_it_is_not_just_stopped(event: e.Event) -> None:
    """Cleaning up stops green: that would cut off those who are on it."""
    with pytest.raises(IllegalEvent):
        apply(apply(canary(10), 20.0, e.StepPassed()), 21.0, event)


def test_a_persons_word_for_one_step_does_not_hold_for_the_next() -> None:
    accepted = apply(canary(10), 20.0, e.Promoted("ada"))
    assert accepted.accepted
    between = apply(accepted, 21.0, e.StepPassed())
    assert between.accepted
    assert not apply(between, 22.0, e.TrafficSwitched(targets_at(50, GREEN, BLUE), 5)).accepted


def test_only_the_last_step_ends_the_watch_and_no_other_has_a_next() -> None:
    with pytest.raises(IllegalEvent):
        apply(canary(10), 20.0, e.MonitoringPassed())
    with pytest.raises(IllegalEvent):
        apply(canary(10, 50, 100), 20.0, e.StepPassed())


def test_a_rollback_is_one_switch_exactly_while_blue_was_not_told_to_stop() -> None:
    assert [walked(steps).can_roll_back for steps in range(len(WALK) + 1)] == [
        False,
        False,
        False,
        False,
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    stopping = apply(walked(7), 30.0, e.ActionStarted("stop"))
    assert not stopping.can_roll_back
    with pytest.raises(IllegalEvent):
        apply(stopping, 31.0, e.RollbackRequested("late", "ada"))


def test_a_new_phase_forgets_the_failures_of_the_last_one() -> None:
    failed = apply(begun(), 11.0, e.ActionFailed("start", "boom"))
    assert failed.failures == {"start": 1}
    assert apply(failed, 12.0, e.PreflightPassed(GREEN)).failures == {}


@given(st.lists(st.sampled_from(sorted(SAMPLES)), max_size=40))
def test_any_sequence_of_events_is_either_legal_or_refused_without_a_trace(kinds: list[str]) -> None:
    deployment = begun()
    for at, kind in enumerate(kinds):
        before = deployment
        try:
            deployment = apply(deployment, float(at), SAMPLES[kind])
        except IllegalEvent:
            assert deployment is before
            continue
        assert (before.phase, kind) in TRANSITIONS
        assert deployment.phase is TRANSITIONS[(before.phase, kind)]
        assert not before.phase.terminal or kind == e.WorkloadStopped.kind
        assert (deployment.ended_at is not None) == deployment.phase.terminal
        if deployment.switched and not before.switched:
            assert kind == e.TrafficSwitched.kind


@given(st.integers(min_value=0, max_value=len(WALK)))
def test_replay_gives_what_applying_gave(steps: int) -> None:
    records = [e.Record(1, "app-x", "app", 10.0, REQUEST)]
    records += [e.Record(at, "app-x", "app", float(at + 9), event) for at, event in enumerate(WALK[:steps], start=2)]
    replayed = replay(records)
    assert replayed.last_sequence == steps + 1
    assert replayed.phase is walked(steps).phase
    assert replayed.active == walked(steps).active


def test_a_log_that_could_not_have_happened_is_refused() -> None:
    with pytest.raises(IllegalEvent, match="begins with verified"):
        replay([e.Record(1, "app-x", "app", 0.0, e.Verified())])
    with pytest.raises(IllegalEvent, match="preflight, where verified"):
        replay([e.Record(1, "app-x", "app", 0.0, REQUEST), e.Record(2, "app-x", "app", 0.0, e.Verified())])
