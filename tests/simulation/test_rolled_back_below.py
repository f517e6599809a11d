"""A version that is rolled back after a newer deployment upon it had come to nothing: what has the traffic is what the
next deployment, and the next daemon, start from."""

from __future__ import annotations

import pytest

from bluegreen.control import requests as r
from bluegreen.control.deploying import abort, rollback
from bluegreen.domain.deployment import Phase
from tests.simulation.world import World

ADA = r.ServiceRequest("app", "ada")


@pytest.mark.parametrize("restarted", [False, True], ids=["the same daemon", "the next daemon"])
@pytest.mark.parametrize("settled", [False, True], ids=["at once", "after its clean-up"])
async def test_the_version_before_is_active_again(restarted: bool, settled: bool) -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        world.serve("app:v2")
        await world.until(Phase.RETAINING)
        await world.deploy("app:v3")
        await abort(world.fleet, ADA)
        if settled:
            await world.until(Phase.ABORTED)
        assert (await rollback(world.fleet, ADA)).how == "switch"
        await world.clock.advance(600, until=lambda: not world.fleet.watchers["app"].live)
        if restarted:
            await world.restart()
        active = world.last().active
        assert active is not None
        assert active.image == world.active_image() == "app:v1"
        assert await world.running() == {"app:v1"}
        await world.to_monitoring("app:v4")
        blue = world.last().blue
        assert blue is not None
        assert blue.image == "app:v1"
