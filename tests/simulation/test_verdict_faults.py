"""Verdicts when what they rest on breaks or behaves oddly: what an engineer on call would want to happen.

Shown elsewhere: silence and little traffic on a step (test_canary.py, test_walk.py), a Prometheus that is down, answers
NaN or hangs (test_analyses.py), a metrics store that is damaged or full (test_metrics_query.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from bluegreen.control import requests as r
from bluegreen.control.deploying import promote, rollback
from bluegreen.domain.analysis_condition import parse_result_condition
from bluegreen.domain.deployment import Deployment, Phase
from bluegreen.domain.model import Color, SlotTraffic
from bluegreen.domain.service import Analysis, Canary, Policy
from tests.simulation.world import World, service

WATCHED_SECONDS = 40
POLICY = Policy(monitor_seconds=WATCHED_SECONDS, retain_seconds=900, min_requests=20, poll_seconds=0.5)
SPEC = service(policy=POLICY, canary=Canary(steps=(50, 100), observe_seconds=WATCHED_SECONDS))
STRATEGIES = pytest.mark.parametrize("strategy", ["blue-green", "canary"])
QUICK = 5.0
"""Within this much a version that is clearly bad has no traffic any more."""


async def flow(
    world: World,
    seconds: int,
    *,
    per_second: int = 100,
    errors: float = 0.0,
    blue_errors: float = 0.0,
    until: Callable[[], bool] = lambda: False,
) -> bool:
    """Traffic for so long, or until that holds. `errors` are those of whatever is newest."""
    for _ in range(seconds):
        world.serve_both(requests=per_second, errors=errors, blue_errors=blue_errors)
        if await world.clock.advance(1.0, until=until):
            return True
    return until()


async def measured_first_version(world: World, *, errors: float = 0.0) -> None:
    """v1 alone, with a record of more than a minute."""
    world.fleet.metrics.start()
    await world.first_version()
    await flow(world, 70, errors=errors)


async def watched(world: World, strategy: str = "blue-green", *, blue_errors: float = 0.0) -> Deployment:
    """v2 has traffic, half of it on a canary; v1 failed so often before."""
    await measured_first_version(world, errors=blue_errors)
    await world.deploy(strategy=strategy)
    return await world.until(Phase.MONITORING)


def phase_is(world: World, *phases: Phase) -> Callable[[], bool]:
    return lambda: world.last().phase in phases


def gone_on(world: World) -> Callable[[], bool]:
    """Past the first share of a canary, or past monitoring."""
    return lambda: world.last().phase is Phase.RETAINING or world.last().step_index > 0


def reason(world: World) -> str:
    return world.fleet.watchers["app"].reasons[world.last().id]


def begin_anew(world: World, *images: str) -> None:
    """The router counts the workloads of these images from zero."""
    for workload in (world.last().blue, world.last().green):
        if workload is not None and workload.image in images:
            world.router.counters[workload.id] = SlotTraffic()


def going_back(world: World) -> Callable[[], bool]:
    return phase_is(world, Phase.ROLLING_BACK, Phase.ROLLED_BACK)


# -- counters that begin anew -----------------------------------------------------------------------------------------


@STRATEGIES
async def test_counters_that_begin_anew_lose_no_error_and_make_none(strategy: str) -> None:
    async with World(SPEC) as world:
        await watched(world, strategy)
        await flow(world, 5)
        begin_anew(world, "app:v1", "app:v2")
        await flow(world, 5)
        assert world.last().phase is Phase.MONITORING
        # Not enough by themselves, what was counted before and after the reset tells together.
        await flow(world, 1, errors=0.08)
        assert world.last().phase is Phase.MONITORING
        begin_anew(world, "app:v1", "app:v2")
        assert await flow(world, 5, errors=0.08, until=going_back(world)), reason(world)
        ended = await world.until(Phase.ROLLED_BACK)
        requests = int(ended.cause.split(" of ")[1].split()[0])
        assert requests >= 1100, ended.cause


async def test_a_canary_is_not_blamed_because_the_old_versions_counters_began_anew() -> None:
    """Both fail 5 %; after the reset the old version seems to have had fewer errors than before."""
    async with World(SPEC) as world:
        await watched(world, "canary")
        for _ in range(5):
            await flow(world, 10, errors=0.05, blue_errors=0.05)
            begin_anew(world, "app:v1")
        assert world.last().phase is Phase.MONITORING
        assert "both sides are affected" in reason(world)


# -- a router or a poller that is silent ------------------------------------------------------------------------------


@STRATEGIES
async def test_a_router_that_falls_silent_promotes_nothing_however_good_the_beginning_was(strategy: str) -> None:
    async with World(SPEC) as world:
        await watched(world, strategy)
        await flow(world, 10)
        world.router.unreadable.add("app")
        await flow(world, 3 * WATCHED_SECONDS)
        assert (world.last().phase, world.last().step_index) == (Phase.MONITORING, 0)
        assert reason(world).startswith("holding")
        assert "counters" in reason(world)
        world.router.unreadable.clear()
        assert await flow(world, 5, until=gone_on(world)), reason(world)


@STRATEGIES
async def test_a_version_that_breaks_while_the_router_restarts_goes_back_as_soon_as_it_is_there(strategy: str) -> None:
    async with World(SPEC) as world:
        blue = (await watched(world, strategy)).blue
        assert blue is not None
        await flow(world, 10)
        world.router.alive = False
        begin_anew(world, "app:v1", "app:v2")
        await flow(world, 20, errors=0.2)
        assert world.last().phase is Phase.MONITORING
        world.router.alive = True
        assert await world.clock.advance(QUICK, until=going_back(world)), reason(world)
        await world.until(Phase.ROLLED_BACK)
        assert dict(world.router.switches[-1]["app"].weights) == {blue.color: 100}


class Stall:
    """From `begin` to `end` the router does not answer questions about its counters."""

    def __init__(self, world: World) -> None:
        self._answers = asyncio.Event()
        self._answers.set()
        ask = world.router.traffic

        async def traffic(services: Sequence[str]) -> Mapping[str, Mapping[Color, SlotTraffic]]:
            await self._answers.wait()
            return await ask(services)

        world.router.traffic = traffic  # type: ignore[method-assign]

    def begin(self) -> None:
        self._answers.clear()

    def end(self) -> None:
        self._answers.set()


@pytest.mark.parametrize(("errors", "phase"), [(0.005, Phase.RETAINING), (0.05, Phase.ROLLED_BACK)])
async def test_a_poller_that_stalls_for_30_s_decides_nothing_meanwhile_and_misses_nothing(
    errors: float, phase: Phase
) -> None:
    """The stall begins before the time to watch is over and ends after it."""
    async with World(SPEC) as world:
        await watched(world)
        stall = Stall(world)
        await flow(world, WATCHED_SECONDS - 15, per_second=200, errors=0.005)
        stall.begin()
        await flow(world, 30, per_second=200, errors=errors)
        assert world.last().phase is Phase.MONITORING, "nobody knows how it did in the last 30 s"
        stall.end()
        await world.until(phase, seconds=60)
        if phase is Phase.ROLLED_BACK:
            assert f"of {200 * (WATCHED_SECONDS + 15)} requests" in world.last().cause


async def test_a_rollback_waits_for_no_poller() -> None:
    async with World(SPEC) as world:
        await watched(world)
        Stall(world).begin()
        began = world.clock.monotonic()
        await rollback(world.fleet, r.ServiceRequest("app", "ada"))
        assert world.clock.monotonic() == began
        assert world.active_image() == "app:v1"


# -- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-86_400.0, -30.0, 30.0, 86_400.0])
async def test_a_clock_that_jumps_neither_blames_nor_excuses(jump: float) -> None:
    async with World(SPEC) as world:
        await watched(world)
        await flow(world, 10, errors=0.005, per_second=200)
        world.clock.jump(jump)
        await flow(world, 10, errors=0.005, per_second=200)
        assert world.last().phase is Phase.MONITORING
        assert await flow(world, 4, errors=0.05, per_second=200, until=going_back(world)), reason(world)


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
async def test_what_the_old_version_did_before_the_clock_jumped_is_not_forgotten(jump: float) -> None:
    async with World(SPEC) as world:
        await measured_first_version(world, errors=0.05)
        world.clock.jump(jump)
        await world.deploy()
        await world.until(Phase.MONITORING)
        await flow(world, WATCHED_SECONDS + 5, errors=0.05, until=phase_is(world, Phase.RETAINING, Phase.ROLLED_BACK))
        assert world.last().phase is Phase.RETAINING, reason(world)


# -- much traffic, little traffic -------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.02], ids=["well", "2 % on both sides"])
async def test_traffic_that_triples_at_the_switch_is_no_reason(share: float) -> None:
    async with World(SPEC) as world:
        await watched(world, blue_errors=share)
        done = phase_is(world, Phase.RETAINING, Phase.ROLLED_BACK)
        await flow(world, WATCHED_SECONDS + 5, per_second=300, errors=share, until=done)
        assert world.last().phase is Phase.RETAINING, reason(world)


@pytest.mark.parametrize("per_second", [100, 300])
async def test_more_traffic_finds_a_bad_version_all_the_sooner(per_second: int) -> None:
    async with World(SPEC) as world:
        await watched(world)
        began = world.clock.monotonic()
        assert await flow(world, 5, per_second=per_second, errors=0.1, until=going_back(world))
        assert world.clock.monotonic() - began <= 200 / per_second + 1


@STRATEGIES
async def test_one_request_a_minute_is_waited_for_and_the_wait_is_told(strategy: str) -> None:
    async with World(replace(SPEC, policy=replace(POLICY, min_requests=15))) as world:
        await watched(world, strategy)

        async def minutes(count: int) -> None:
            for _ in range(count):
                await world.clock.advance(60.0)
                world.serve_both(requests=1)

        await minutes(3)
        await world.clock.advance(1.0)
        assert (world.last().phase, world.last().step_index) == (Phase.MONITORING, 0)
        assert "3 requests to v2 (green) so far, 12 more are needed to tell (about 12 min at" in reason(world)
        await minutes(12)
        assert await world.clock.advance(5.0, until=gone_on(world)), reason(world)


async def test_of_one_request_a_minute_three_that_fail_are_enough() -> None:
    async with World(SPEC) as world:
        await watched(world)
        for _ in range(3):
            await world.clock.advance(60.0)
            world.serve_both(requests=1, errors=1.0)
        await world.until(Phase.ROLLED_BACK, seconds=5.0)


# -- what is not green's fault ----------------------------------------------------------------------------------------


@STRATEGIES
async def test_when_everything_fails_on_both_sides_nobody_is_blamed_and_nothing_is_promoted(strategy: str) -> None:
    """Not one good answer says that green works; a person is told."""
    async with World(SPEC) as world:
        await watched(world, strategy, blue_errors=1.0)
        await flow(world, 3 * WATCHED_SECONDS, errors=1.0, blue_errors=1.0)
        last = world.last()
        assert (last.phase, last.step_index) == (Phase.MONITORING, 0)
        assert reason(world).startswith("holding")
        assert last.attention
        await promote(world.fleet, r.ServiceRequest("app", "ada"))
        assert await world.clock.advance(5.0, until=gone_on(world))


@STRATEGIES
async def test_a_stray_error_of_a_quiet_old_version_excuses_no_bad_one(strategy: str) -> None:
    """1 of 30 in the last minute may with very much luck have been one of 28 %."""
    async with World(SPEC) as world:
        world.fleet.metrics.start()
        await world.first_version()
        for second in range(60):
            world.serve_both(requests=second % 2, errors=1.0 if second == 31 else 0.0)
            await world.clock.advance(1.0)
        await world.deploy(strategy=strategy)
        await world.until(Phase.MONITORING)
        assert world.last().baseline is not None
        done = phase_is(world, Phase.RETAINING, Phase.SWITCHING, Phase.ROLLED_BACK)
        await flow(world, 2 * WATCHED_SECONDS, per_second=10, errors=0.1, until=done)
        # Beside the old one it is seen to be worse; alone after it nobody can tell for sure, and a person is asked.
        assert world.last().phase is {"canary": Phase.ROLLED_BACK, "blue-green": Phase.MONITORING}[strategy]


# -- a source of the user's that does not tell ------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["Prometheus at 10.0.0.7:9090 can't be reached", float("nan")], ids=["down", "NaN"])
async def test_a_canary_takes_no_step_while_the_source_does_not_tell(answer: str | float) -> None:
    query = Analysis("routes", query="errors", condition=parse_result_condition("result < 0.05"), interval_seconds=5.0)
    async with World(replace(SPEC, analyses=(query,))) as world:
        world.metrics.answer = answer
        await watched(world, "canary")
        await flow(world, 2 * WATCHED_SECONDS)
        assert (world.last().phase, world.last().share) == (Phase.MONITORING, 50)
        assert reason(world).startswith("holding: at 50 %")
        world.metrics.answer = 0.0
        assert await flow(world, 60, until=lambda: world.last().share == 100), reason(world)
        world.metrics.answer = answer
        assert await flow(world, 10, errors=0.3, until=going_back(world)), "bad answers need no Prometheus"
