"""`bluegreen rollback` without a daemon: the router is all it takes, and it never guesses towards the unproven."""

from __future__ import annotations

import pytest

from bluegreen.control import requests as r
from bluegreen.control.deploying import abort, promote
from bluegreen.control.direct import direct
from bluegreen.domain.deployment import Phase, replay
from bluegreen.domain.errors import Refused, StoreError
from bluegreen.runtimes.fake import Behavior
from bluegreen.stores.memory import MemoryEventStore
from tests.simulation.test_walk import MANUAL
from tests.simulation.world import World


class UnreadableStore(MemoryEventStore):
    async def latest(self) -> dict[str, str]:
        raise StoreError("the event log is damaged")


async def test_the_traffic_moves_and_the_next_daemon_finishes_the_rollback() -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        await world.fleet.close()
        view = await direct(world.fleet.ports, "app", "ada", log_is_writable=True)
        assert view.recorded
        assert world.active_image() == "app:v1"
        await world.restart()
        await world.until(Phase.ROLLED_BACK)
        assert await world.running() == {"app:v1"}


@pytest.mark.parametrize("reach", [Phase.MONITORING, Phase.RETAINING])
async def test_what_could_not_be_recorded_is_recorded_by_the_next_daemon(reach: Phase) -> None:
    async with World() as world:
        await world.first_version()
        deployment = await world.to_monitoring()
        world.serve("app:v2")
        await world.until(reach)
        await world.fleet.close()
        view = await direct(world.fleet.ports, "app", "ada", log_is_writable=False)
        assert not view.recorded
        await world.restart()
        ended = await world.until(Phase.ROLLED_BACK)
        assert "found on blue again" in ended.cause
        assert replay(await world.store.read(deployment.id)).phase is Phase.ROLLED_BACK


async def test_a_running_daemon_that_hung_finds_the_traffic_moved() -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        await direct(world.fleet.ports, "app", "ada", log_is_writable=False)
        await world.until(Phase.ROLLED_BACK, seconds=60)
        assert world.active_image() == "app:v1"


async def test_a_runtime_that_does_not_answer_delays_no_rollback() -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        await world.fleet.close()
        world.runtime.away = True
        view = await direct(world.fleet.ports, "app", "ada", log_is_writable=True)
        assert (view.recorded, world.active_image()) == (True, "app:v1")


async def test_a_daemon_that_finds_no_runtime_starts_holds_and_goes_on_when_it_is_back() -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        world.serve("app:v2")
        await world.fleet.close()
        world.runtime.away = True
        await world.restart()
        await world.clock.advance(30)
        assert world.last().phase is Phase.MONITORING
        assert world.active_image() == "app:v2"
        world.runtime.away = False
        await world.until(Phase.RETAINING)


async def test_a_green_that_was_never_verified_is_no_way_back() -> None:
    async with World(MANUAL) as world:
        await world.deploy("app:v1")
        await world.until(Phase.AWAITING_APPROVAL)
        await promote(world.fleet, r.ServiceRequest("app", "ada"))
        await world.until(Phase.COMPLETED)
        await world.deploy()
        await world.until(Phase.AWAITING_APPROVAL)
        with pytest.raises(Refused, match="nothing to switch back to"):
            await direct(world.fleet.ports, "app", "ada", log_is_writable=False)
        world.fleet.ports.store.__class__ = UnreadableStore
        with pytest.raises(Refused, match="no earlier version"):
            await direct(world.fleet.ports, "app", "ada", log_is_writable=False)
        assert world.active_image() == "app:v1"


async def test_with_a_damaged_log_the_older_running_version_is_the_way_back() -> None:
    async with World() as world:
        await world.first_version()
        await world.clock.advance(10)
        await world.to_monitoring()
        await world.fleet.close()
        world.fleet.ports.store.__class__ = UnreadableStore
        await direct(world.fleet.ports, "app", "ada", log_is_writable=False)
        assert world.active_image() == "app:v1"


async def test_a_newer_deployment_that_came_to_nothing_is_not_in_the_way() -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        first = world.last().blue
        assert first is not None
        world.serve("app:v2")
        await world.until(Phase.RETAINING)
        world.runtime.behaviors["app:v3"] = Behavior(start_failure="no such image")
        await world.deploy("app:v3")
        await abort(world.fleet, r.ServiceRequest("app", "ada"))
        await world.until(Phase.ABORTED)
        await world.fleet.close()
        view = await direct(world.fleet.ports, "app", "ada", log_is_writable=True)
        assert view.recorded
        (target,) = (await world.router.routes())["app"].targets
        assert target.workload_id == first.id
        await world.restart()
        await world.clock.advance(600, until=lambda: not world.fleet.watchers["app"].live)
        active = world.last().active
        assert active is not None
        assert active.image == "app:v1"
        assert await world.running() == {"app:v1"}
