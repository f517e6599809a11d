"""Before a container is started its image is there and pinned; where that can't be, nothing moves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bluegreen.control import requests as r
from bluegreen.control.deploying import abort, rollback
from bluegreen.domain import events as e
from bluegreen.domain.deployment import Phase
from bluegreen.runtimes.fake import Behavior
from tests.simulation.world import World, service, settle

DIGEST = "registry/app@sha256:0123456789abcdef"


def containers() -> World:
    return World(service(runtime="docker", command=()))


async def events_of(world: World) -> Sequence[e.Event]:
    return [record.event for record in await world.store.read(world.last().id)]


async def test_the_image_is_pinned_before_anything_starts() -> None:
    async with containers() as world:
        world.runtime.behaviors["app:v2"] = Behavior(digest=DIGEST, pulled_bytes=(0, 40, 41, 100))
        await world.deploy("app:v2")
        deployment = await world.until(Phase.MONITORING)
        assert deployment.green is not None
        assert deployment.green.digest == DIGEST
        assert world.runtime.calls[:2] == [("prepare", "app:v2"), ("start", deployment.green.id)]
        assert world.runtime.requests[deployment.green.id].workload.digest == DIGEST
        (passed,) = [each for each in await events_of(world) if isinstance(each, e.PreflightPassed)]
        assert "the image: pulled" in passed.checks


async def test_processes_have_no_image_to_get() -> None:
    async with World() as world:
        await world.deploy("app:v2")
        await world.until(Phase.MONITORING)
        assert "prepare" not in {name for name, _ in world.runtime.calls}


async def test_a_missing_image_fails_in_preflight_and_leaves_the_old_version_alone() -> None:
    async with containers() as world:
        await world.deploy("app:v1")
        await world.until(Phase.COMPLETED)
        world.runtime.behaviors["app:v2"] = Behavior(prepare_failure="image app:v2 is not to be had")
        before = list(world.runtime.calls)
        await world.deploy("app:v2")
        deployment = await world.until(Phase.FAILED)
        assert deployment.cause.startswith("nothing was started; blue is untouched: image app:v2 is not to be had")
        assert world.runtime.calls[len(before) :] == [("prepare", "app:v2")]
        assert not deployment.switched


async def test_a_pull_is_told_as_it_goes_and_not_at_every_byte() -> None:
    async with containers() as world:
        world.runtime.behaviors["app:v2"] = Behavior(digest=DIGEST, pulled_bytes=tuple(range(1001)))
        await world.deploy("app:v2")
        await world.until(Phase.MONITORING)
        told = [each for each in await events_of(world) if isinstance(each, e.ImagePulling)]
        assert told == [e.ImagePulling("app:v2", 0, 1000)], "no time passes in this pull, so only its size is told"


async def test_an_abort_ends_a_pull() -> None:
    async with containers() as world:
        world.runtime.pull_gate = asyncio.Event()
        await world.deploy("app:v2")
        await settle()
        await abort(world.fleet, r.ServiceRequest(service="app", requested_by="ada"))
        await world.until(Phase.ABORTED)
        world.runtime.pull_gate.set()
        await settle()
        assert not any(isinstance(each, e.GreenPrepared) for each in await events_of(world))


async def test_a_controller_that_died_during_a_pull_goes_on_with_it() -> None:
    async with containers() as world:
        world.runtime.behaviors["app:v2"] = Behavior(digest=DIGEST)
        world.runtime.pull_gate = asyncio.Event()
        await world.deploy("app:v2")
        await settle()
        world.runtime.pull_gate.set()
        await world.restart()
        deployment = await world.until(Phase.MONITORING)
        assert deployment.green is not None
        assert deployment.green.digest == DIGEST
        assert len([name for name, _ in world.runtime.calls if name == "start"]) == 1


async def test_what_the_image_itself_says_of_its_health_counts() -> None:
    async with containers() as world:
        world.runtime.behaviors["app:v2"] = Behavior(healths=(*["starting"] * 40, "healthy"))
        await world.deploy("app:v2")
        await world.clock.advance(0.9)
        assert world.last().phase is Phase.VERIFYING
        assert "HEALTHCHECK of its image has not passed yet" in world.fleet.watchers["app"].reasons[world.last().id]
        await world.until(Phase.MONITORING)


async def test_an_image_that_calls_itself_unhealthy_gets_no_traffic() -> None:
    async with containers() as world:
        world.runtime.behaviors["app:v2"] = Behavior(healths=("starting", "unhealthy"))
        await world.deploy("app:v2")
        deployment = await world.until(Phase.FAILED)
        assert "unhealthy by the HEALTHCHECK of its image" in deployment.cause
        assert not deployment.switched


async def test_going_back_to_a_version_that_is_gone_is_to_what_ran_not_to_what_its_tag_means_now() -> None:
    async with containers() as world:
        world.runtime.behaviors["app:stable"] = Behavior(digest=DIGEST)
        await world.deploy("app:stable")
        await world.until(Phase.COMPLETED)
        await world.deploy("app:v2")
        await world.until(Phase.MONITORING)
        world.serve("app:v2")
        await world.until(Phase.COMPLETED)
        world.runtime.behaviors["app:stable"] = Behavior(digest="registry/app@sha256:ffffffffffffffff")
        done = await rollback(world.fleet, r.ServiceRequest(service="app", requested_by="ada"))
        assert done.how == "deploy"
        deployment = await world.until(Phase.MONITORING)
        assert deployment.green is not None
        assert (deployment.green.image, deployment.green.digest) == ("app:stable", DIGEST)
