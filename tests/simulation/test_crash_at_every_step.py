"""The controller is killed before and after each single thing it does to the world, and started again.

Whatever it was doing, the deployment ends, exactly the active version runs, the traffic is where the log says,
and the log is a history that could have happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bluegreen.control import requests as r
from bluegreen.control.deploying import rollback
from bluegreen.domain.deployment import TERMINAL_PHASES, Phase, replay
from bluegreen.domain.model import Resources
from bluegreen.domain.service import Canary, HealthCheck, Policy
from tests.simulation.world import World, service

QUICK = service(
    health=HealthCheck(interval_seconds=0.5, rise=1, fall=2, deadline_seconds=10),
    policy=Policy(monitor_seconds=3, retain_seconds=3, drain_timeout_seconds=2, min_requests=20, poll_seconds=0.25),
)
CANARY = replace(QUICK, replicas=3, resources=Resources(gpus=1), canary=Canary(steps=(10, 50, 100), observe_seconds=2))
CHANGING = {"runtime": ("start", "stop"), "router": ("switch", "set_endpoints"), "store": ("append",)}
MORE_THAN_ANY_WALK_DOES = 90


class Crash:
    """Stops the controller at its `at`-th change of the world, `before` or after it took effect."""

    def __init__(self, world: World, at: int, *, before: bool) -> None:
        self.happened = asyncio.Event()
        self._left = at
        self._before = before
        for port, names in CHANGING.items():
            for name in names:
                target = getattr(world, port)
                setattr(target, name, self._guarded(getattr(target, name)))

    def _guarded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def guarded(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left != 0:
                return await method(*arguments, **named)
            if not self._before:
                await method(*arguments, **named)
            self.happened.set()
            # The controller is dead: it never sees the answer.
            return await asyncio.Event().wait()

        return guarded


async def run(at: int, *, before: bool, bad: bool, by_hand: bool, canary: bool) -> bool:
    """One walk with a crash; false when the walk ended before it could happen."""
    async with World(CANARY if canary else QUICK) as world:
        await world.first_version()
        crash = Crash(world, at, before=before)

        async def act() -> None:
            await world.deploy(strategy="canary" if canary else "blue-green")
            while not crash.happened.is_set() and not world.last().phase.terminal:
                world.serve_both(errors=0.5 if bad else 0.0)
                moved = world.last().phase is Phase.MONITORING and world.last().share > 10
                if by_hand and moved:
                    await rollback(world.fleet, r.ServiceRequest("app", "ada"))
                await world.clock.sleep(0.25)

        acting = asyncio.create_task(act())
        await world.clock.advance(60, until=lambda: crash.happened.is_set() or acting.done())
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)
        if not crash.happened.is_set():
            return False
        await world.restart()
        await after_the_restart(world, bad=bad)
        return True


async def after_the_restart(world: World, *, bad: bool) -> None:
    def ended() -> bool:
        world.serve_both(errors=0.5 if bad else 0.0)
        return world.last().phase in TERMINAL_PHASES

    assert await world.clock.advance(120, until=ended), f"{world.last().phase} does not end"
    last = world.last()
    assert last.active is not None
    assert await world.running() == {last.active.image}
    assert world.active_image() == last.active.image
    assert len(world.router.switches[-1]["app"].targets) == 1
    (running,) = await world.runtime.list()
    assert len(running.replicas) == world.specs["app"].replicas
    if bad:
        assert last.active.image == "app:v1"
    for deployment_id in await world.store.deployments("app"):
        assert replay(await world.store.read(deployment_id)).phase in TERMINAL_PHASES


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["good", "bad", "by hand"])
@pytest.mark.parametrize("strategy", ["blue-green", "canary"])
async def test_a_crash_at_every_step_ends_well(strategy: str, kind: str, before: bool) -> None:
    steps = 0
    canary = strategy == "canary"
    for at in range(1, MORE_THAN_ANY_WALK_DOES):
        if not await run(at, before=before, bad=kind == "bad", by_hand=kind == "by hand", canary=canary):
            break
        steps += 1
    assert 15 < steps < MORE_THAN_ANY_WALK_DOES - 1, f"the walk has {steps} steps"


async def test_without_automation_a_restart_in_monitoring_leaves_the_decision_to_a_person() -> None:
    manual = replace(QUICK, policy=replace(QUICK.policy, auto_rollback=False))
    async with World(manual) as world:
        await world.first_version()
        await world.to_monitoring()
        world.serve("app:v2", errors=500)
        await world.restart()
        await world.clock.advance(30)
        assert world.last().phase is Phase.MONITORING
        assert "auto_rollback is off" in world.last().attention
