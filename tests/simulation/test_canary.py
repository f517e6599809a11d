"""Canaries on the whole controller: steps, growth, what stops them, and what people may do on a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bluegreen.control import requests as r
from bluegreen.control import tool_requests as t
from bluegreen.control.deploying import abort, promote, rollback
from bluegreen.control.direct import direct
from bluegreen.control.kept_watches import KIND
from bluegreen.control.planning import plan
from bluegreen.control.workloads import workload_submit
from bluegreen.domain import events as e
from bluegreen.domain.deployment import Deployment, Phase
from bluegreen.domain.errors import Refused
from bluegreen.domain.events import StepPassed
from bluegreen.domain.model import Color, Resources
from bluegreen.domain.service import Canary, HealthCheck, Policy
from bluegreen.runtimes.fake import Behavior
from tests.simulation.world import World, service

POLICY = Policy(monitor_seconds=300, retain_seconds=900, drain_timeout_seconds=60, min_requests=20)
SPEC = service(
    replicas=4,
    resources=Resources(gpus=1),
    policy=POLICY,
    health=HealthCheck(rise=2, fall=3, deadline_seconds=60),
    canary=Canary(steps=(10, 50, 100), observe_seconds=30, error_threshold=0.02),
)


async def on_step(world: World, percent: int, *, seconds: float = 400.0) -> Deployment:
    """Good traffic on both sides until green has this share and is watched."""

    def reached() -> bool:
        last = world.last()
        if last.switched and last.share < percent:
            world.serve_both(requests=50)
        return last.phase is Phase.MONITORING and last.share == percent

    if not world.last().green:
        await world.until(Phase.MONITORING)
    assert await world.clock.advance(seconds, until=reached), f"{world.last().phase} at {world.last().share} %"
    return world.last()


async def canary_at(world: World, percent: int) -> Deployment:
    await world.first_version()
    await world.deploy(strategy="canary")
    return await on_step(world, percent)


def weights(world: World) -> dict[Color, int]:
    return dict(world.router.switches[-1]["app"].weights)


async def events_of(world: World) -> list[e.Event]:
    return [record.event for record in await world.store.read(world.last().id)]


async def test_it_goes_from_share_to_share_growing_before_each_and_ends_like_any_deployment() -> None:
    async with World(SPEC) as world:
        started = await canary_at(world, 10)
        blue, green = started.blue, started.green
        assert blue is not None
        assert green is not None
        for percent, replicas in ((10, 1), (50, 2), (100, 4)):
            await on_step(world, percent)
            assert weights(world).get(green.color, 0) == percent
            status = await world.runtime.inspect(green.id)
            assert status is not None
            assert len(status.replicas) == replicas
            assert len(world.router.endpoints[("app", green.color)]) == replicas
            old = await world.runtime.inspect(blue.id)
            assert old is not None
            assert len(old.replicas) == 4, "blue keeps its size: the way back is one switch"
        steps = [event for event in await events_of(world) if isinstance(event, StepPassed)]
        assert len(steps) == 2
        assert all(step.requests > 0 and step.measurements for step in steps)
        world.serve_both()
        ended = await world.until(Phase.COMPLETED)
        assert ended.green is not None
        assert ended.green.replicas == 4, "the next deployment begins at full size"
        assert await world.running() == {"app:v2"}


async def test_a_step_is_watched_for_its_own_time_and_the_last_one_for_the_policys() -> None:
    async with World(SPEC) as world:
        await canary_at(world, 10)
        world.serve_both()
        began = world.clock.monotonic()
        await world.clock.advance(200, until=lambda: world.last().phase is Phase.SWITCHING)
        assert 30 <= world.clock.monotonic() - began < 32
        await on_step(world, 100)
        world.serve_both()
        began = world.clock.monotonic()
        await world.until(Phase.RETAINING)
        assert 300 <= world.clock.monotonic() - began < 302


@pytest.mark.parametrize("percent", [10, 50])
async def test_a_bad_version_loses_all_its_traffic_in_one_switch_from_any_step(percent: int) -> None:
    async with World(SPEC) as world:
        at = await canary_at(world, percent)
        assert at.blue is not None
        switches = len(world.router.switches)
        for _ in range(5):
            world.serve_both(requests=100, errors=0.2)
            await world.clock.advance(0.5)
        ended = await world.until(Phase.ROLLED_BACK)
        assert weights(world) == {at.blue.color: 100}
        assert len(world.router.switches) == switches + 1
        assert "at the same time" in ended.cause
        assert await world.running() == {"app:v1"}


async def test_what_hits_both_sides_blames_nobody_and_holds() -> None:
    async with World(SPEC) as world:
        await canary_at(world, 10)
        for _ in range(100):
            world.serve_both(requests=100, errors=0.3, blue_errors=0.3)
            await world.clock.advance(1)
        last = world.last()
        assert (last.phase, last.share) == (Phase.MONITORING, 10)
        reason = world.fleet.watchers["app"].reasons[last.id]
        assert reason.startswith("holding: at 10 % (step 1 of 3): ")
        assert "both sides are affected" in reason
        assert "Let v2 (green) have 50 %" in reason


async def test_errors_below_the_threshold_are_accepted_however_good_the_old_version_is() -> None:
    """`error_threshold` is what green may have: 1 % here, where 2 % is allowed and blue has none."""
    async with World(SPEC) as world:
        await canary_at(world, 10)
        for _ in range(40):
            world.serve_both(requests=1000, errors=0.01)
            await world.clock.advance(1)
        assert world.last().share == 50


async def test_silence_takes_no_step_forward_not_after_a_restart_either() -> None:
    async with World(SPEC) as world:
        await canary_at(world, 50)
        await world.restart()
        await world.clock.advance(500)
        assert (world.last().phase, world.last().share) == (Phase.MONITORING, 50)
        world.serve_both()
        assert (await on_step(world, 100)).share == 100


async def test_without_room_to_grow_it_holds_tells_and_goes_on_when_there_is_room() -> None:
    tight = replace(SPEC, replicas=4, resources=Resources(gpus=1))
    async with World(tight) as world:
        world.runtime._total = Resources(gpus=6, cpus=64, memory_mb=2**20)
        at = await canary_at(world, 50)
        assert at.green is not None
        world.serve_both()
        await world.clock.advance(120)
        last = world.last()
        assert (last.phase, last.share) == (Phase.SWITCHING, 50)
        assert "2 GPUs needed, 0 of 6 free" in world.fleet.watchers["app"].reasons[last.id]
        assert last.attention == "green can't grow for its next share"
        assert world.fleet.watchers["app"].reasons[last.id].startswith("holding: at 50 %, no 2 more replicas")
        world.runtime._total = Resources(gpus=8, cpus=64, memory_mb=2**20)
        assert (await on_step(world, 100)).attention == ""


async def test_a_version_that_breaks_while_it_waits_for_room_is_rolled_back() -> None:
    async with World(SPEC) as world:
        world.runtime._total = Resources(gpus=6, cpus=64, memory_mb=2**20)
        await canary_at(world, 50)
        world.serve_both()
        await world.clock.advance(60)
        assert world.last().phase is Phase.SWITCHING
        for _ in range(5):
            world.serve_both(requests=100, errors=0.5)
            await world.clock.advance(1)
        await world.until(Phase.ROLLED_BACK)


async def test_replicas_that_were_added_and_do_not_become_healthy_end_in_a_rollback() -> None:
    async with World(SPEC) as world:
        at = await canary_at(world, 10)
        world.runtime.behaviors["app:v2"] = Behavior(listens_after_inspects=10**9)
        world.serve_both()
        ended = await world.until(Phase.ROLLED_BACK, seconds=300)
        assert ended.share == 0
        assert at.green is not None
        assert all(
            len(endpoints) < 2 for key, endpoints in world.router.endpoints.items() if key == ("app", at.green.color)
        )


async def test_promote_on_a_step_goes_to_the_next_share_at_once_and_only_to_that() -> None:
    async with World(SPEC) as world:
        await canary_at(world, 10)
        await promote(world.fleet, r.ServiceRequest("app", "ada"))
        assert await world.clock.advance(10, until=lambda: world.last().share == 50)
        await world.clock.advance(20)
        last = world.last()
        assert (last.share, last.phase, last.accepted) == (50, Phase.MONITORING, False)


async def test_a_step_that_a_person_let_go_on_needs_nobody_any_more() -> None:
    async with World(SPEC) as world:
        world.runtime._total = Resources(gpus=5, cpus=64, memory_mb=2**20)
        await world.first_version()
        await world.deploy(strategy="canary")
        await world.until(Phase.MONITORING)
        await world.clock.advance(100)
        assert world.last().attention.startswith("monitoring can't tell")
        await promote(world.fleet, r.ServiceRequest("app", "ada"))
        await world.clock.advance(30, until=lambda: world.last().phase is Phase.SWITCHING)
        await world.clock.advance(5)
        assert (world.last().share, world.last().attention) == (10, "green can't grow for its next share")


async def test_abort_on_a_step_says_that_a_rollback_is_meant() -> None:
    async with World(SPEC) as world:
        await canary_at(world, 10)
        with pytest.raises(Refused, match="its traffic has moved") as refused:
            await abort(world.fleet, r.ServiceRequest("app", "ada"))
        assert "bluegreen rollback app" in refused.value.hint


async def test_a_persons_rollback_between_steps() -> None:
    async with World(SPEC) as world:
        world.runtime._total = Resources(gpus=6, cpus=64, memory_mb=2**20)
        at = await canary_at(world, 50)
        world.serve_both()
        await world.clock.advance(60)
        assert world.last().phase is Phase.SWITCHING
        view = await rollback(world.fleet, r.ServiceRequest("app", "ada"))
        assert view.how == "switch"
        assert at.blue is not None
        assert weights(world) == {at.blue.color: 100}
        await world.until(Phase.ROLLED_BACK)
        assert await world.running() == {"app:v1"}


@pytest.mark.parametrize("with_log", [True, False])
async def test_a_rollback_without_a_daemon_goes_to_the_old_version(with_log: bool) -> None:
    async with World(SPEC) as world:
        at = await canary_at(world, 50)
        assert at.blue is not None
        await world.fleet.close()
        if not with_log:
            world.store = type(world.store)()
            world.fleet = world._fleet()
        view = await direct(world.fleet.ports, "app", "ada", log_is_writable=with_log)
        assert view.how == "switch"
        assert weights(world) == {at.blue.color: 100}


async def test_both_versions_are_started_again_after_a_reboot_on_a_step() -> None:
    async with World(SPEC) as world:
        at = await canary_at(world, 50)
        assert at.green is not None
        await world.fleet.close()
        world.runtime._running.clear()
        world.fleet = world._fleet()
        await world.start()
        running = {status.workload.image: len(status.replicas) for status in await world.runtime.list()}
        assert running == {"app:v1": 4, "app:v2": 2}


async def test_the_switch_of_the_six_tools_does_not_jump_over_the_steps() -> None:
    async with World(SPEC) as world:
        at = await canary_at(world, 10)
        assert at.green is not None
        request = t.WorkloadSubmitRequest(
            name="app-service", labels={"app": "app", "activeDeployment": str(at.green.color)}
        )
        with pytest.raises(Refused, match="10 %") as refused:
            await workload_submit(world.fleet, request)
        assert "bluegreen_promote" in refused.value.hint
        assert world.last().share == 10


async def test_a_first_deployment_has_nobody_to_share_with() -> None:
    async with World(SPEC) as world:
        await world.deploy("app:v1", strategy="canary")
        assert world.last().steps == (100,)
        await world.until(Phase.COMPLETED)


async def test_the_plan_tells_the_steps_and_where_room_will_be_missing() -> None:
    async with World(SPEC) as world:
        world.runtime._total = Resources(gpus=6, cpus=64, memory_mb=2**20)
        await world.first_version()
        view = await plan(world.fleet, r.PlanRequest("app", "app:v2", strategy="canary"))
        assert view.possible
        text = "\n".join(view.steps)
        for expected in (
            "start app:v2 as green: 1 replica",
            "switch 10 % of the traffic to green",
            "start 1 more replica of green and verify it",
            "start 2 more replicas of green and verify them",
            "watch it for 30 s; more than 2.0% errors and more than the old version",
            "watch it for 300 s; more than 1.0% errors roll it back",
        ):
            assert expected in text
        room = next(check.detail for check in view.requirements if check.name.startswith("room"))
        assert "1 x (1 GPU) fits for the first 10 %" in room
        assert "not yet for the 4 of 100 %" in room
        everything_at_once = await plan(world.fleet, r.PlanRequest("app", "app:v2"))
        assert not everything_at_once.possible


def at(world: World, percent: int) -> Callable[[], bool]:
    return lambda: world.last().share == percent


async def test_an_incident_that_blamed_nobody_is_not_held_against_green_after_a_restart() -> None:
    async with World(SPEC) as world:
        await canary_at(world, 10)
        for _ in range(40):
            world.serve_both(requests=100, errors=0.3, blue_errors=0.3)
            await world.clock.advance(1)
        for percent in (50, 100):
            await promote(world.fleet, r.ServiceRequest("app", "ada"))
            await world.clock.advance(60, until=at(world, percent))
        await world.clock.advance(5)
        await world.restart()
        for _ in range(20):
            world.serve_both(requests=50)
            await world.clock.advance(1)
        assert (world.last().phase, world.last().share) == (Phase.MONITORING, 100)


@pytest.mark.parametrize("left_something", [True, False], ids=["goes on", "begins anew"])
async def test_what_was_proved_on_a_step_outlives_the_daemon(left_something: bool) -> None:
    """Too little to tell before the restart, and too little after it: together enough."""

    async def failures(world: World) -> None:
        for _ in range(3):
            world.serve_both(requests=20, errors=0.15)
            await world.clock.advance(1)

    async with World(SPEC) as world:
        await canary_at(world, 10)
        await failures(world)
        assert world.last().phase is Phase.MONITORING
        if not left_something:
            await world.store.remove(KIND, world.last().id)
            await world.fleet.close()
        await world.restart()
        await failures(world)
        assert (world.last().phase is Phase.MONITORING) != left_something


async def test_the_time_without_a_daemon_is_not_one_of_watching() -> None:
    async with World(SPEC) as world:
        await canary_at(world, 10)
        world.serve_both()
        await world.clock.advance(10)
        await world.fleet.close()
        await world.clock.advance(1000)
        world.fleet = world._fleet()
        await world.start()
        began = world.clock.monotonic()
        await world.clock.advance(100, until=lambda: world.last().phase is Phase.SWITCHING)
        assert 18 <= world.clock.monotonic() - began <= 22


async def test_nothing_of_a_watch_is_left_behind() -> None:
    async with World(SPEC) as world:
        await canary_at(world, 10)
        world.serve_both()
        await world.clock.advance(5)
        assert list(await world.store.all(KIND)) == [world.last().id]
        await rollback(world.fleet, r.ServiceRequest("app", "ada"))
        await world.until(Phase.ROLLED_BACK)
        await world.clock.advance(1)
        assert await world.store.all(KIND) == {}
