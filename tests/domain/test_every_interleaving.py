"""An exhaustive walk: every order of success, failure, crash and command in a small world keeps the invariants."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluegreen.domain import events as e
from bluegreen.domain.deployment import BEFORE_SWITCH, IN_PROGRESS, Phase, route_of
from bluegreen.domain.model import Color
from bluegreen.domain.service import ServiceSpec
from bluegreen.domain.strategy import replicas_at
from tests.domain.small_world import BLUE, CANARY, SPEC, World, calm_move, first, happened, moves, switch_back

CAREFUL = replace(SPEC, policy=replace(SPEC.policy, auto_promote=False))
NO_AUTOMATION = replace(SPEC, policy=replace(SPEC.policy, auto_rollback=False))
LONG_CANARY = replace(CANARY, replicas=4, canary=replace(CANARY.canary, steps=(10, 50, 100)))
CANARY_BY_HAND = replace(CANARY, policy=replace(SPEC.policy, auto_rollback=False, auto_promote=False))


def check(before: World, after: World, spec: ServiceSpec) -> None:
    """The safety invariants of DESIGN §4, for one step."""
    d = after.deployment
    sends_to_green = d.green is not None and after.route.sends_to(d.green.color)
    # 1: only a verified slot, or the one that was active before, gets traffic.
    assert not sends_to_green or after.green_was_verified, "green has traffic and was never verified"
    assert d.blue is None or after.route.targets, "the route lost its targets"
    # 2: before the switch blue has everything, and nobody stops it.
    if d.blue is not None and d.phase in BEFORE_SWITCH:
        assert after.route.targets == route_of(d.blue), "blue was touched before the switch"
    if before.blue_runs and not after.blue_runs and before.budget == after.budget:
        assert before.deployment.phase is Phase.CLEANING_UP, f"blue was stopped in {before.deployment.phase}"
        assert before.deployment.ending is Phase.COMPLETED, "blue was stopped after a failure"
    # 5: a workload is stopped only when the route does not send to it.
    if before.green_runs and not after.green_runs and before.budget == after.budget:
        assert not sends_to_green, "green was stopped with traffic on it"
    # 5: a workload that we stop was drained first, or its deadline passed.
    if before.budget == after.budget and (before.green_runs, before.blue_runs) > (after.green_runs, after.blue_runs):
        assert e.Drained.kind in before.deployment.seen, "a workload was stopped without a drain"
    # 5: nobody loses the side that he is on, blue's users neither.
    if before.blue_runs and not after.blue_runs and before.budget == after.budget:
        assert not after.route.sends_to(BLUE.color), "blue was stopped with traffic on it"
    # 1: replicas that were added to green get requests once they passed a check.
    if after.green_runs and Color.GREEN in after.connected:
        assert after.green_connected <= after.proven, "an unproven replica is in the router"
    # 3: whoever moved traffic can move it back.
    if sends_to_green and d.blue is not None and d.phase in (Phase.SWITCHING, Phase.MONITORING):
        assert d.can_roll_back, "there is no way back"
    # 7: an acknowledged rollback is never undone.
    assert not (after.rollback_acknowledged and sends_to_green), "a rollback was undone"
    # 8: silence never promotes.
    if before.deployment.phase is Phase.MONITORING and d.phase is Phase.RETAINING and d.blue is not None:
        assert before.traffic in ("good", "streaming") or before.deployment.accepted, f"{before.traffic} promoted"
    if d.step_index > before.deployment.step_index:
        assert before.traffic in ("good", "streaming") or before.deployment.accepted, f"a step on {before.traffic}"
    # A share grows only for a green that is big enough for it, unless a person insists.
    if after.green_runs and after.route.weights.get(Color.GREEN, 0) > before.route.weights.get(Color.GREEN, 0):
        enough = after.green_size >= replicas_at(after.route.weights[Color.GREEN], spec.replicas)
        assert enough or e.Promoted.kind in before.deployment.seen, "green is too small for its share"


def explore(start: World, spec: ServiceSpec, *, hard: bool = False) -> list[World]:
    """Every reachable world, each once. Worlds hold mappings, so their text stands for them."""
    seen, queue, reached = {repr(start)}, deque([start]), [start]
    while queue:
        world = queue.popleft()
        for after in moves(world, spec, hard=hard):
            check(world, after, spec)
            name = repr(after)
            if name not in seen:
                seen.add(name)
                queue.append(after)
                reached.append(after)
    return reached


@pytest.mark.parametrize(
    ("spec", "first_deployment", "budget"),
    [(SPEC, False, 2), (CAREFUL, False, 2), (NO_AUTOMATION, False, 2), (SPEC, True, 2), (CANARY, False, 1)],
    ids=["automatic", "with approval", "no automatic rollback", "first deployment", "canary"],
)
def test_no_interleaving_breaks_an_invariant_and_every_walk_ends(
    spec: ServiceSpec, first_deployment: bool, budget: int
) -> None:
    start = first(budget=budget, spec=spec, first_deployment=first_deployment, canary=spec is CANARY)
    reached = explore(start, spec)
    phases = {world.deployment.phase for world in reached}
    expected = set(Phase) - ({Phase.ROLLING_BACK, Phase.ROLLED_BACK} if first_deployment else set())
    if spec.policy.auto_promote:
        expected -= {Phase.AWAITING_APPROVAL}
    assert phases == expected
    assert_all_end(reached, spec)


@pytest.mark.parametrize("traffic", ["good", "bad"])
def test_no_two_failures_crashes_commands_or_deaths_in_a_row_break_a_canary(traffic: str) -> None:
    start = replace(first(budget=2, spec=CANARY, canary=True), traffic=traffic)
    reached = explore(start, CANARY, hard=True)
    assert any(world.deployment.step_index == 1 and world.budget == 0 for world in reached)
    assert_all_end(reached, CANARY)


def assert_all_end(reached: Iterable[World], spec: ServiceSpec) -> None:
    known: set[str] = set()
    for world in reached:
        assert_ends(world, spec, known)


def assert_ends(world: World, spec: ServiceSpec, known: set[str] | None = None) -> None:
    """Liveness: once the world is kind again (or a person answers), the deployment ends and nothing leaks. `known` are
    worlds that were seen to end."""
    world = replace(world, traffic="good" if world.traffic != "bad" else "bad")
    known = set() if known is None else known
    passed: set[str] = set()
    for _ in range(200):
        d = world.deployment
        name = repr(world)
        if name in known:
            known |= passed
            return
        passed.add(name)
        if d.phase.terminal:
            break
        after = calm_move(world, spec)
        if after == world:
            after = _a_person_answers(world)
        world = after
    d = world.deployment
    assert d.phase.terminal, f"{d.phase} never ends: {world}"
    assert d.phase not in IN_PROGRESS
    running = {color for color, runs in ((Color.BLUE, world.blue_runs), (Color.GREEN, world.green_runs)) if runs}
    if d.blue is not None:
        active = d.green if d.phase is Phase.COMPLETED else d.blue
        assert active is not None
        assert running <= {active.color}, f"{d.phase}: {running} still run"
        assert world.route.targets == route_of(active)
    known |= passed


def _a_person_answers(world: World) -> World:
    """What holds is held for a person: accept, approve, go back, give up, or deploy something newer."""
    phase = world.deployment.phase
    if phase is Phase.SWITCHING and world.green_runs:
        return happened(world, e.Promoted("person"))
    if phase in (Phase.MONITORING, Phase.AWAITING_APPROVAL) and world.green_runs:
        return happened(world, e.Promoted("person"))
    if phase is Phase.AWAITING_APPROVAL:
        return happened(world, e.AbortRequested("person"))
    if world.deployment.can_roll_back and world.blue_runs:
        return switch_back(world, "asked for")
    if phase in (Phase.SWITCHING, Phase.MONITORING):
        return happened(world, e.Promoted("person"))
    if phase is Phase.RETAINING:
        return happened(world, e.RetentionEnded("superseded"))
    raise AssertionError(f"{phase} holds and no command ends it: {world}")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_long_random_walks_with_many_disturbances_keep_the_invariants_and_end(data: st.DataObject) -> None:
    """Where walking through everything would take too long: eight disturbances instead of two."""
    spec = data.draw(st.sampled_from([SPEC, CAREFUL, NO_AUTOMATION, CANARY, LONG_CANARY, CANARY_BY_HAND]))
    world = first(budget=8, spec=spec, canary=spec.replicas > 1)
    for _ in range(80):
        following = list(moves(world, spec))
        if not following:
            break
        # Half of the time the calm move, which comes first: else most walks would end in the first phases.
        index = 0 if data.draw(st.booleans()) else data.draw(st.integers(0, len(following) - 1))
        check(world, following[index], spec)
        world = following[index]
    assert_ends(world, spec)


def test_the_calm_walk_goes_through_all_phases_in_order() -> None:
    phases: list[Phase] = []
    world = first(budget=0)
    while not phases or not world.deployment.phase.terminal:
        if not phases or phases[-1] is not world.deployment.phase:
            phases.append(world.deployment.phase)
        world = calm_move(world)
    assert phases == [
        Phase.PREFLIGHT,
        Phase.STARTING,
        Phase.VERIFYING,
        Phase.SWITCHING,
        Phase.MONITORING,
        Phase.RETAINING,
        Phase.CLEANING_UP,
    ]
    assert world.deployment.phase is Phase.COMPLETED
    assert not world.blue_runs
    assert BLUE.id in world.deployment.stopped
