"""The walk on fakes: hours of policy in milliseconds, faults at will."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bluegreen.control import requests as r
from bluegreen.control.deploying import abort, deploy, promote, rollback
from bluegreen.control.looking import history
from bluegreen.control.planning import plan
from bluegreen.control.views import DeploymentView
from bluegreen.domain.deployment import IN_PROGRESS, Phase, replay
from bluegreen.domain.errors import Refused, StoreError, UnknownName, UsageError
from bluegreen.domain.model import Color, Resources
from bluegreen.domain.service import HealthCheck
from bluegreen.runtimes.fake import Behavior
from tests.simulation.world import World, service

MANUAL = service(policy=replace(service().policy, auto_promote=False))
BRIEF = service(policy=replace(service().policy, monitor_seconds=20, poll_seconds=1.0))
"""For tests that last many times the time of watching."""


async def test_a_deployment_walks_through_and_leaves_exactly_the_new_version() -> None:
    async with World() as world:
        await world.first_version()
        assert await world.running() == {"app:v1"}
        deployment = await world.to_monitoring()
        assert world.active_image() == "app:v2"
        assert await world.running() == {"app:v1", "app:v2"}
        assert deployment.green is not None
        assert deployment.green.labels == {"app": "app", "env": "production", "deployment": "green", "version": "v2"}
        world.serve("app:v2")
        await world.until(Phase.RETAINING)
        assert await world.running() == {"app:v1", "app:v2"}
        ended = await world.until(Phase.COMPLETED)
        assert await world.running() == {"app:v2"}
        assert ended.phase_since - deployment.phase_since >= 300 + 900
        assert [alert.name for alert in world.alerts.alerts] == ["deploy-complete", "deploy-complete"]


async def test_colors_alternate() -> None:
    async with World() as world:
        await world.first_version()
        colors = []
        for version in ("v2", "v3", "v4"):
            await world.deploy(f"app:{version}")
            deployment = await world.until(Phase.MONITORING)
            world.serve(f"app:{version}")
            await world.until(Phase.RETAINING)
            assert deployment.green is not None
            colors.append(deployment.green.color)
        assert colors == [Color.GREEN, Color.BLUE, Color.GREEN]


async def test_a_breach_moves_the_traffic_back_and_stops_green() -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        world.serve("app:v2", requests=100, errors=40)
        await world.until(Phase.ROLLING_BACK, seconds=5)
        assert world.active_image() == "app:v1"
        ended = await world.until(Phase.ROLLED_BACK)
        assert await world.running() == {"app:v1"}
        assert "40 of 100" in ended.cause
        (view, *_) = (await history(world.fleet, r.HistoryRequest("app"))).deployments
        assert (view.requests, view.errors) == (100, 40)
        assert ("deploy-rollback", "warning") in [(alert.name, alert.severity) for alert in world.alerts.alerts]


async def test_silence_holds_and_a_person_may_accept() -> None:
    async with World(BRIEF) as world:
        await world.first_version()
        deployment = await world.to_monitoring()
        await world.clock.advance(12 * BRIEF.policy.monitor_seconds)
        assert world.last().phase is Phase.MONITORING
        assert "holding" in world.fleet.watchers["app"].reasons[deployment.id]
        await promote(world.fleet, r.ServiceRequest("app", "ada"))
        await world.until(Phase.COMPLETED)


async def test_people_are_told_once_when_it_goes_on_holding() -> None:
    def told() -> list[str]:
        return [alert.message for alert in world.alerts.alerts if alert.name == "deploy-needs-attention"]

    async with World(BRIEF) as world:
        await world.first_version()
        deployment = await world.to_monitoring()
        watched = world.fleet.specs["app"].policy.monitor_seconds
        await world.clock.advance(watched * 1.5)
        assert "holding" in world.fleet.watchers["app"].reasons[deployment.id]
        assert told() == []
        await world.clock.advance(watched * 20)
        (message,) = told()
        assert "bluegreen promote app" in message
        assert "bluegreen rollback app" in message
        assert world.last().attention
        world.serve("app:v2", requests=100)
        passed = await world.until(Phase.RETAINING)
        assert passed.attention == ""
        ended = await world.until(Phase.COMPLETED)
        assert world.alerts.alerts[-1].cause == ended.verdict
        assert "0 of 100 requests" in ended.verdict


async def test_a_router_whose_counters_cannot_be_read_never_promotes() -> None:
    async with World(BRIEF) as world:
        await world.first_version()
        await world.to_monitoring()
        world.serve("app:v2")
        world.router.unreadable.add("app")
        await world.clock.advance(12 * BRIEF.policy.monitor_seconds)
        assert world.last().phase is Phase.MONITORING


@pytest.mark.parametrize(
    ("behavior", "words"),
    [
        (Behavior(start_failure="no such image"), "no such image"),
        (Behavior(replica_error="command not found: serve"), "command not found"),
        (Behavior(listens_after_inspects=10**9), "not healthy within 60 s"),
        (Behavior(crashes_at_inspects=frozenset(range(3, 40)), listens_after_inspects=10**9), "crash loop"),
    ],
    ids=["start fails", "command not found", "port never opened", "crash loop"],
)
async def test_a_green_that_does_not_come_up_leaves_blue_untouched(behavior: Behavior, words: str) -> None:
    async with World() as world:
        await world.first_version()
        before = world.router.switches[-1]
        world.runtime.behaviors["app:v2"] = replace(behavior, output=("last words",))
        await world.deploy()
        ended = await world.until(Phase.FAILED, seconds=200)
        assert words in ended.cause
        assert world.router.switches[-1] == before
        assert await world.running() == {"app:v1"}
        if not behavior.start_failure:
            assert ended.logs == ("replica-0 | last words",)


async def test_sick_or_wrong_greens_never_get_traffic() -> None:
    async with World() as world:
        await world.first_version()
        world.prober.sick.add("app:v2")
        world.prober.wrong.add("app:v3")
        for image, words in (("app:v2", "HTTP 500"), ("app:v3", "smoke test failed")):
            await world.deploy(image)
            ended = await world.until(Phase.FAILED)
            assert words in ended.cause
            assert len(world.router.switches) == 1
            assert await world.running() == {"app:v1"}


async def test_a_second_deployment_is_refused_with_the_first_ones_id() -> None:
    async with World() as world:
        await world.first_version()
        deployment = await world.to_monitoring()
        with pytest.raises(Refused, match=deployment.id):
            await world.deploy("app:v3")


async def test_of_two_deployments_at_the_same_moment_one_is_refused() -> None:
    async with World() as world:
        await world.first_version()
        both = asyncio.gather(world.deploy("app:v2"), world.deploy("app:v3"), return_exceptions=True)
        await world.clock.advance(0.1)
        accepted, refused = sorted(await both, key=lambda result: isinstance(result, Exception))
        assert isinstance(accepted, DeploymentView)
        assert isinstance(refused, Refused)
        assert accepted.id in str(refused)


async def test_a_deployment_during_retention_retires_the_retained_side_first() -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        world.serve("app:v2")
        first = await world.until(Phase.RETAINING)
        noted = await plan(world.fleet, r.PlanRequest("app", "app:v3"))
        assert any("retired first" in note for note in noted.notes)
        assert noted.possible
        await world.deploy("app:v3")
        await world.until(Phase.MONITORING)
        assert await world.running() == {"app:v2", "app:v3"}
        assert replay(await world.store.read(first.id)).phase is Phase.COMPLETED


async def test_no_room_is_refused_before_anything_moves() -> None:
    async with World(service(resources=Resources(gpus=6))) as world:
        await world.first_version()
        await world.deploy()
        ended = await world.until(Phase.FAILED)
        assert "6 GPUs needed, 2 of 8 free" in ended.cause
        assert await world.running() == {"app:v1"}


async def test_a_gpu_of_somebody_else_is_no_room_until_it_is_given_back() -> None:
    async with World(service(resources=Resources(gpus=4))) as world:
        await world.first_version()
        world.runtime.gpu_strangers = {6: "container `trainer` (not bluegreen's)"}
        await world.deploy()
        ended = await world.until(Phase.FAILED)
        assert ended.blue is not None
        assert (
            f"4 GPUs needed, 3 of 8 free: GPUs 0, 1, 2, 3 are held by {ended.blue.id}, "
            "GPU 6 by container `trainer` (not bluegreen's)"
        ) in ended.cause
        assert await world.running() == {"app:v1"}
        world.runtime.gpu_strangers = {}
        await world.deploy()
        await world.until(Phase.MONITORING)


async def test_with_gpu_sharing_green_stands_on_blues_devices_and_nobody_else_does() -> None:
    sharing = service(resources=Resources(gpus=6), gpu_sharing=True)
    other = service("other", hosts=("other.example",), resources=Resources(gpus=3), gpu_sharing=True)
    async with World(sharing, other) as world:
        await world.first_version()
        await world.deploy()
        await world.until(Phase.MONITORING)
        assert await world.running() == {"app:v1", "app:v2"}
        assert (await world.runtime.capacity()).used.gpus == 8
        await world.deploy("other:v1", name="other")
        ended = await world.until(Phase.FAILED, name="other")
        assert "3 GPUs needed, 0 of 8 free" in ended.cause


async def test_blue_that_did_not_declare_it_shares_nothing() -> None:
    async with World(service(resources=Resources(gpus=6))) as world:
        await world.first_version()
        request = r.DeployRequest("app", "app:v2", requested_by="ada", overrides={"gpu_sharing": "true"})
        await deploy(world.fleet, request)
        assert "6 GPUs needed, 2 of 8 free" in (await world.until(Phase.FAILED)).cause
        assert await world.running() == {"app:v1"}


async def test_a_stateful_service_must_declare_how() -> None:
    async with World(service(stateful=True)) as world:
        await world.deploy("app:v1")
        assert "state_handling" in (await world.until(Phase.FAILED)).cause
    async with World(service(stateful=True, state_handling="one database, both versions read it")) as world:
        await world.first_version()


async def test_bad_requests_are_refused() -> None:
    async with World() as world:
        await world.first_version()
        with pytest.raises(UnknownName, match="'ap'") as caught:
            await world.deploy(name="ap")
        assert "Did you mean 'app'" in caught.value.hint
        with pytest.raises(Refused, match="runs already"):
            await world.deploy("app:v1")
        with pytest.raises(UsageError, match="not an image reference"):
            await world.deploy("app v2")
        with pytest.raises(UsageError, match="strategy"):
            await plan(world.fleet, r.PlanRequest("app", "app:v2", strategy="yolo"))
        with pytest.raises(Refused, match="no earlier version"):
            await rollback(world.fleet, r.ServiceRequest("app", "ada"))
        with pytest.raises(Refused, match="no deployment under way"):
            await abort(world.fleet, r.ServiceRequest("app", "ada"))


async def test_force_deploys_the_same_image_again() -> None:
    async with World() as world:
        await world.first_version()
        await world.deploy("app:v1", force=True)
        await world.until(Phase.MONITORING)


async def test_approval_waits_and_abort_leaves_blue() -> None:
    async with World(MANUAL) as world:
        await world.deploy("app:v1")
        await world.until(Phase.AWAITING_APPROVAL)
        await promote(world.fleet, r.ServiceRequest("app", "ada"))
        await world.until(Phase.COMPLETED)
        await world.deploy()
        await world.until(Phase.AWAITING_APPROVAL)
        await world.clock.advance(7200)
        assert world.last().phase is Phase.AWAITING_APPROVAL
        await abort(world.fleet, r.ServiceRequest("app", "ada", reason="changed my mind"))
        ended = await world.until(Phase.ABORTED)
        assert ended.cause == "changed my mind"
        assert await world.running() == {"app:v1"}
        assert len(world.router.switches) == 1


async def test_promote_is_refused_while_green_is_not_healthy() -> None:
    async with World(MANUAL) as world:
        await world.deploy("app:v1")
        await world.until(Phase.AWAITING_APPROVAL)
        world.prober.sick.add("app:v1")
        await world.clock.advance(10)
        with pytest.raises(Refused, match="not healthy"):
            await promote(world.fleet, r.ServiceRequest("app", "ada"))


async def test_abort_during_a_hanging_smoke_test() -> None:
    async with World() as world:
        await world.first_version()
        world.prober.hanging_smoke = asyncio.Event()
        await world.deploy()
        await world.clock.advance(10)
        assert world.last().phase is Phase.VERIFYING
        await abort(world.fleet, r.ServiceRequest("app", "ada"))
        await world.until(Phase.ABORTED, seconds=30)
        assert await world.running() == {"app:v1"}


@pytest.mark.parametrize("phase", [Phase.MONITORING, Phase.RETAINING])
async def test_rollback_by_hand_is_one_switch(phase: Phase) -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        world.serve("app:v2")
        await world.until(phase)
        view = await rollback(world.fleet, r.ServiceRequest("app", "ada", reason="latency"))
        assert view.how == "switch"
        assert world.active_image() == "app:v1"
        ended = await world.until(Phase.ROLLED_BACK)
        assert ended.cause == "latency"
        assert await world.running() == {"app:v1"}
        with pytest.raises(Refused, match="no earlier version"):
            await rollback(world.fleet, r.ServiceRequest("app", "ada"))


async def test_rollback_before_the_switch_is_an_abort() -> None:
    async with World(MANUAL) as world:
        await world.deploy("app:v1")
        await world.until(Phase.AWAITING_APPROVAL)
        assert (await rollback(world.fleet, r.ServiceRequest("app", "ada"))).how == "abort"
        await world.until(Phase.ABORTED)


async def test_rollback_after_retention_is_a_new_walk() -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        world.serve("app:v2")
        await world.until(Phase.COMPLETED)
        view = await rollback(world.fleet, r.ServiceRequest("app", "ada"))
        assert view.how == "deploy"
        assert "started again" in view.message
        assert (await world.until(Phase.MONITORING)).image == "app:v1"


async def test_rollback_to_a_blue_that_died_is_refused() -> None:
    async with World() as world:
        await world.first_version()
        deployment = await world.to_monitoring()
        assert deployment.blue is not None
        await world.runtime.stop(deployment.blue.id)
        await world.clock.advance(10)
        with pytest.raises(Refused, match="does not run"):
            await rollback(world.fleet, r.ServiceRequest("app", "ada"))
        world.serve("app:v2", requests=100, errors=100)
        await world.clock.advance(30)
        assert world.active_image() == "app:v2"
        assert "no running one" in world.last().attention


async def test_with_the_log_unwritable_a_rollback_still_moves_the_traffic_first() -> None:
    async with World() as world:
        await world.first_version()
        deployment = await world.to_monitoring()
        world.store.failure = StoreError("disk full")
        asked = asyncio.create_task(rollback(world.fleet, r.ServiceRequest("app", "ada")))
        await world.clock.advance(2, until=asked.done)
        view = await asked
        assert not view.recorded
        assert world.active_image() == "app:v1"
        await world.clock.advance(60)
        assert world.active_image() == "app:v1"
        world.store.failure = None
        await world.until(Phase.ROLLED_BACK)
        assert replay(await world.store.read(deployment.id)).phase is Phase.ROLLED_BACK


async def test_an_automatic_rollback_does_not_wait_for_the_log() -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        world.store.failure = StoreError("disk full")
        world.serve("app:v2", requests=100, errors=50)
        await world.clock.advance(5)
        assert world.active_image() == "app:v1"
        world.store.failure = None
        await world.until(Phase.ROLLED_BACK)


async def test_with_the_log_unwritable_nothing_moves_forward() -> None:
    async with World() as world:
        await world.first_version()
        await world.deploy()
        world.store.failure = StoreError("disk full")
        await world.clock.advance(600)
        assert len(world.router.switches) == 1
        world.store.failure = None
        await world.until(Phase.MONITORING)


async def test_a_switch_whose_answer_was_lost_is_found_by_looking() -> None:
    async with World() as world:
        await world.first_version()
        world.router.lost_answers = 1
        await world.deploy()
        await world.until(Phase.MONITORING)
        assert world.active_image() == "app:v2"


async def test_a_router_that_never_confirms_fails_the_deployment_with_blue_in_charge() -> None:
    async with World() as world:
        await world.first_version()
        world.router.refusals = 10**6
        await world.deploy()
        ended = await world.until(Phase.FAILED)
        assert "did not switch" in ended.cause
        assert world.active_image() == "app:v1"


async def test_a_rollback_tries_until_the_router_answers() -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        world.router.refusals = 5
        world.serve("app:v2", requests=100, errors=50)
        await world.until(Phase.ROLLED_BACK)
        assert world.active_image() == "app:v1"
        assert "deploy-needs-attention" in [alert.name for alert in world.alerts.alerts]


async def test_someone_elses_switch_during_ours_wins() -> None:
    async with World(MANUAL) as world:
        await world.deploy("app:v1")
        await world.until(Phase.AWAITING_APPROVAL)
        await promote(world.fleet, r.ServiceRequest("app", "ada"))
        await world.until(Phase.COMPLETED)
        await world.deploy()
        deployment = await world.until(Phase.AWAITING_APPROVAL)
        assert deployment.blue is not None
        route = (await world.router.routes())["app"]
        await world.router.switch({"app": route.targets})
        await promote(world.fleet, r.ServiceRequest("app", "ada"))
        ended = await world.until(Phase.FAILED)
        assert "changed by someone else" in ended.cause
        assert world.active_image() == "app:v1"


@pytest.mark.parametrize("seconds", [-86_400.0, 86_400.0])
async def test_a_jumping_clock_neither_ends_nor_prolongs_monitoring(seconds: float) -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        world.serve("app:v2")
        world.clock.jump(seconds)
        await world.clock.advance(200)
        assert world.last().phase is Phase.MONITORING
        await world.until(Phase.RETAINING, seconds=120)


async def test_the_controller_may_die_at_any_time() -> None:
    """Killed every 7 seconds, it still ends, with the right version, and the history says what happened."""
    async with World() as world:
        await world.first_version()
        await world.deploy()
        for _ in range(400):
            await world.clock.advance(7)
            if world.last().phase in IN_PROGRESS:
                world.serve("app:v2")
            if world.last().phase.terminal:
                break
            await world.restart()
        assert world.last().phase is Phase.COMPLETED
        assert await world.running() == {"app:v2"}
        listed = await history(world.fleet, r.HistoryRequest("app"))
        assert [view.phase for view in listed.deployments] == ["completed", "completed"]


async def test_after_a_reboot_what_ran_runs_again() -> None:
    async with World() as world:
        await world.first_version()
        for status in await world.runtime.list():
            await world.runtime.stop(status.workload.id)
        await world.restart()
        assert await world.running() == {"app:v1"}


async def test_a_drain_ends_at_its_deadline_and_counts_what_it_cut() -> None:
    from bluegreen.domain.model import SlotTraffic

    async with World() as world:
        await world.first_version()
        deployment = await world.to_monitoring()
        world.serve("app:v2")
        await world.until(Phase.RETAINING)
        assert deployment.blue is not None
        world.router.counters[deployment.blue.id] = SlotTraffic(10, 0, 7)
        ended = await world.until(Phase.COMPLETED)
        assert ended.cut_requests == 7


async def test_an_unhealthy_blue_after_a_rollback_keeps_green_for_a_person() -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        world.prober.sick.add("app:v1")
        world.serve("app:v2", requests=100, errors=50)
        await world.until(Phase.ROLLING_BACK)
        await world.clock.advance(300)
        assert await world.running() == {"app:v1", "app:v2"}
        await world.until(Phase.ROLLED_BACK)
        assert await world.running() == {"app:v1"}
        assert "deploy-needs-attention" in [alert.name for alert in world.alerts.alerts]


async def test_a_route_that_was_lost_is_set_again_at_the_next_start() -> None:
    async with World() as world:
        await world.first_version()
        await world.fleet.close()
        await world.router.configure([])
        await world.restart()
        assert (await world.router.routes())["app"].weights == {Color.BLUE: 100}
        await world.to_monitoring()
        assert world.active_image() == "app:v2"


async def test_a_first_deployment_with_little_traffic_passes_on_its_health() -> None:
    async with World() as world:
        await world.deploy("app:v1")
        await world.until(Phase.MONITORING)
        world.serve("app:v1", requests=3)
        await world.until(Phase.COMPLETED)


async def test_a_rollback_asked_of_a_daemon_that_hung_is_not_carried_out_later() -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        request = r.ServiceRequest("app", "ada", expires_at=world.clock.now() + 3)
        await world.clock.advance(10)
        with pytest.raises(Refused, match="expires_at"):
            await rollback(world.fleet, request)
        assert world.active_image() == "app:v2"


async def test_preflight_waits_a_moment_for_a_router_that_is_being_restarted() -> None:
    async with World() as world:
        await world.first_version()
        world.router.alive = False
        await world.deploy()
        await world.clock.advance(2)
        assert world.last().phase is Phase.PREFLIGHT
        world.router.alive = True
        await world.until(Phase.MONITORING)
        world.serve("app:v2")
        await world.until(Phase.COMPLETED)
        world.router.alive = False
        await world.deploy("app:v3")
        assert "router" in (await world.until(Phase.FAILED)).cause


async def test_a_green_that_died_just_before_the_switch_gets_no_traffic() -> None:
    """Its verdict is still good, for nobody has checked it since; the last look is made at the switch itself."""
    async with World(service(health=HealthCheck(interval_seconds=30, rise=1, deadline_seconds=120))) as world:
        await world.first_version()
        manual = replace(world.specs["app"], policy=replace(service().policy, auto_promote=False))
        world.fleet.specs["app"] = manual
        await world.deploy()
        await world.until(Phase.AWAITING_APPROVAL)
        world.prober.sick.add("app:v2")
        await promote(world.fleet, r.ServiceRequest("app", "ada"))
        await world.clock.advance(10)
        assert world.active_image() == "app:v1"
        world.prober.sick.clear()
        await world.until(Phase.MONITORING)
