"""A service's own analyses while green is watched, on fakes and a turned clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bluegreen.control import requests as r
from bluegreen.control.deploying import promote, rollback
from bluegreen.domain import events as e
from bluegreen.domain.analysis_condition import parse_result_condition
from bluegreen.domain.deployment import Phase
from bluegreen.domain.service import Analysis, Policy, ServiceSpec
from bluegreen.domain.verdict import Answer, Verdict
from tests.simulation.world import World, service

INTERVAL = 10.0
QUERY = Analysis(
    "routes",
    query='errors{workload="{workload}", slot="{slot}", version="{version}", service="{service}"}',
    condition=parse_result_condition("result < 0.05"),
    interval_seconds=INTERVAL,
    timeout_seconds=5.0,
)
COMMAND = Analysis("accuracy", command=("./accuracy",), interval_seconds=INTERVAL, timeout_seconds=5.0)


def with_policy(*analyses: Analysis, **changes: object) -> ServiceSpec:
    policy = replace(service().policy, **changes)  # type: ignore[arg-type]
    return service(analyses=analyses, policy=policy)


Found = float | dict[str, float] | str | None


async def watched(world: World, found: Found = 0.0, *, exits: int | None = 0) -> None:
    """v2 has the traffic, and plenty of it is good. Its analyses find this."""
    await world.first_version()
    world.metrics.answer, world.prober.exits = found, exits
    await world.to_monitoring()
    world.serve("app:v2")


async def measured(world: World) -> tuple[Verdict, ...]:
    """The measurements of the last decision."""
    kinds = (e.MonitoringPassed, e.RollbackRequested, e.StepPassed)
    records = await world.store.read(world.last().id)
    return next(event.measurements for event in (rec.event for rec in reversed(records)) if isinstance(event, kinds))


def reason(world: World) -> str:
    return world.fleet.watchers["app"].reasons[world.last().id]


async def test_passing_analyses_are_part_of_what_promotes() -> None:
    async with World(with_policy(QUERY, COMMAND)) as world:
        await watched(world)
        await world.until(Phase.RETAINING, seconds=301)
        found = {verdict.measurement: verdict.answer for verdict in await measured(world)}
        assert found["routes"] is found["accuracy"] is Answer.PASS
        green = world.last().green
        assert green is not None
        assert (
            world.metrics.queries[-1] == f'errors{{workload="{green.id}", slot="green", version="v2", service="app"}}'
        )
        asked = len(world.metrics.queries)
        await world.clock.advance(100)
        assert len(world.metrics.queries) == asked, "nobody is asked once the phase is over"


@pytest.mark.parametrize("answer", [0.2, {"/a": 0.01, "/b": 0.2}], ids=["a number", "one of two series"])
async def test_a_failing_query_rolls_back_within_an_interval(answer: float | dict[str, float]) -> None:
    async with World(with_policy(QUERY)) as world:
        await watched(world)
        await world.clock.advance(60)
        assert world.last().phase is Phase.MONITORING
        world.metrics.answer = answer
        await world.until(Phase.ROLLING_BACK, Phase.ROLLED_BACK, seconds=INTERVAL + 0.1)
        assert world.active_image() == "app:v1"
        ended = await world.until(Phase.ROLLED_BACK)
        assert "analysis routes" in ended.cause and "is 0.2, must be: result < 0.05" in ended.cause
        (verdict,) = [verdict for verdict in await measured(world) if verdict.measurement == "routes"]
        assert (verdict.answer, verdict.value, verdict.limit) == (Answer.FAIL, 0.2, 0.05)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Prometheus at 10.0.0.7:9090 can't be reached; see whether it runs", "see whether it runs"),
        (float("nan"), "is NaN"),
        ({}, "found nothing"),
        (None, "no complete answer within 5 s"),
    ],
    ids=["down", "not a number", "no series", "hanging"],
)
async def test_a_source_that_does_not_tell_holds_and_one_that_recovers_promotes(answer: Found, words: str) -> None:
    async with World(with_policy(QUERY)) as world:
        await watched(world, answer)
        await world.clock.advance(500)
        assert world.last().phase is Phase.MONITORING
        assert words in reason(world)
        assert "holding" in reason(world)
        world.metrics.answer = 0.01
        await world.until(Phase.RETAINING, seconds=INTERVAL + 5.1)


async def test_one_that_breaks_down_late_holds_too() -> None:
    async with World(with_policy(QUERY)) as world:
        await watched(world)
        await world.clock.advance(290)
        world.metrics.answer = "HTTP 503 from Prometheus"
        await world.clock.advance(60)
        assert world.last().phase is Phase.MONITORING
        assert "HTTP 503" in reason(world)


async def test_samples_that_are_too_old_hold() -> None:
    async with World(with_policy(QUERY)) as world:
        world.metrics.max_sample_age_seconds = 120
        world.metrics.age_seconds = 600
        await watched(world)
        await world.clock.advance(400)
        assert world.last().phase is Phase.MONITORING
        assert "600 s old" in reason(world)


async def test_a_broken_source_is_no_lack_of_traffic_so_it_is_never_promoted_by_itself() -> None:
    async with World(with_policy(QUERY, on_inconclusive="promote", inconclusive_seconds=10)) as world:
        await watched(world, "down")
        await world.clock.advance(500)
        assert world.last().phase is Phase.MONITORING


async def test_a_policy_may_roll_back_what_stays_unclear() -> None:
    async with World(with_policy(QUERY, on_inconclusive="rollback", inconclusive_seconds=60)) as world:
        await watched(world, "down")
        ended = await world.until(Phase.ROLLED_BACK, seconds=400)
        assert "did not tell in time" in ended.cause


async def test_a_person_may_accept_what_an_analysis_cannot_tell() -> None:
    async with World(with_policy(QUERY)) as world:
        await watched(world, "down")
        await world.clock.advance(400)
        await promote(world.fleet, r.ServiceRequest("app", "ada"))
        await world.until(Phase.RETAINING, seconds=5)


async def test_failures_count_in_a_row_and_one_slip_is_forgiven() -> None:
    async with World(with_policy(replace(QUERY, failure_limit=3))) as world:
        await watched(world)
        await world.clock.advance(11)
        world.metrics.answer = 0.5
        await world.clock.advance(2 * INTERVAL)
        assert "2 in a row, 3 make a failure" in reason(world)
        world.metrics.answer = 0.0
        await world.clock.advance(INTERVAL)
        world.metrics.answer = 0.5
        await world.clock.advance(2 * INTERVAL)
        assert world.last().phase is Phase.MONITORING
        await world.until(Phase.ROLLED_BACK, seconds=INTERVAL + 5)


async def test_a_hanging_query_delays_neither_the_walk_nor_a_rollback() -> None:
    slow = replace(QUERY, interval_seconds=3600.0, timeout_seconds=3600.0)
    async with World(with_policy(slow)) as world:
        await watched(world, None)
        assert world.metrics.under_way == 1
        began = world.clock.monotonic()
        await rollback(world.fleet, r.ServiceRequest("app", "ada"))
        assert world.clock.monotonic() == began
        assert world.active_image() == "app:v1"
        await world.until(Phase.ROLLED_BACK, seconds=10)
        assert world.metrics.under_way == 0, "cancelled with its phase"


async def test_bad_traffic_rolls_back_while_the_source_hangs() -> None:
    async with World(with_policy(QUERY)) as world:
        await watched(world, None)
        world.serve("app:v2", requests=2000, errors=900)
        await world.until(Phase.ROLLED_BACK, seconds=5)


@pytest.mark.parametrize(("exits", "phase"), [(0, Phase.RETAINING), (1, Phase.ROLLED_BACK)])
async def test_a_command_decides_by_its_exit_code(exits: int, phase: Phase) -> None:
    async with World(with_policy(COMMAND)) as world:
        await watched(world)
        world.prober.exits = exits
        ended = await world.until(phase, seconds=400)
        if exits:
            assert "analysis accuracy: './accuracy' exited with 1: tried v2" in ended.cause


@pytest.mark.parametrize(("exits", "words"), [(2, "exited with 2"), (-9, "signal 9"), (None, "still ran after 5 s")])
async def test_a_command_that_cannot_tell_holds(exits: int | None, words: str) -> None:
    async with World(with_policy(COMMAND)) as world:
        await watched(world, exits=exits)
        await world.clock.advance(400)
        assert world.last().phase is Phase.MONITORING
        assert words in reason(world)


async def test_smoke_tests_are_repeated_and_roll_back_when_two_rounds_fail() -> None:
    async with World(with_policy(smoke_interval_seconds=20)) as world:
        await watched(world)
        await world.clock.advance(50)
        assert world.last().phase is Phase.MONITORING
        world.prober.wrong.add("app:v2")
        ended = await world.until(Phase.ROLLED_BACK, seconds=45)
        assert "smoke test smoke-1: 1 of 1 replicas failed: expected 200, got 500 (2 times in a row)" in ended.cause


async def test_without_an_interval_smoke_tests_run_before_the_switch_alone() -> None:
    async with World(service()) as world:
        await watched(world)
        world.prober.wrong.add("app:v2")
        await world.until(Phase.RETAINING, seconds=301)


async def test_a_new_daemon_asks_anew_before_it_promotes() -> None:
    async with World(with_policy(QUERY)) as world:
        await watched(world)
        await world.clock.advance(295)
        world.metrics.answer = "down"
        await world.restart()
        await world.clock.advance(60)
        assert world.last().phase is Phase.MONITORING
        assert "down" in reason(world)
        world.metrics.answer = 0.0
        await world.until(Phase.RETAINING, seconds=INTERVAL + 1)


async def test_a_corrected_query_is_asked_at_once() -> None:
    broken = replace(QUERY, query="rate(x", name="typo")
    async with World(with_policy(broken)) as world:
        await watched(world, "HTTP 400: parse error")
        await world.clock.advance(400)
        world.metrics.answer = 0.0
        world.fleet.add(with_policy(QUERY))
        await world.until(Phase.RETAINING, seconds=1.5)
        assert {v.measurement for v in await measured(world)} >= {"routes"}


async def test_a_failure_without_automatic_rollback_tells_a_person_once() -> None:
    async with World(with_policy(QUERY, auto_rollback=False)) as world:
        await watched(world, 0.5)
        await world.clock.advance(600)
        assert world.last().phase is Phase.MONITORING
        told = [alert.message for alert in world.alerts.alerts if alert.name == "deploy-needs-attention"]
        assert len(told) == 1
        assert "analysis routes" in told[0]


async def test_many_services_ask_at_once_and_no_more_than_is_allowed() -> None:
    names = [f"app{number}" for number in range(20)]
    specs = [
        replace(with_policy(QUERY), name=name, hosts=(f"{name}.example",), resources=service().resources.__class__())
        for name in names
    ]
    async with World(*specs) as world:
        for name in names:
            await world.deploy(f"{name}:v1", name=name)
        for name in names:
            await world.until(Phase.COMPLETED, name=name)
        world.metrics.answer = None
        for name in names:
            await world.deploy(f"{name}:v2", name=name)
        for name in names:
            await world.until(Phase.MONITORING, seconds=100, name=name)
        assert world.metrics.under_way <= 16


def test_the_default_policy_repeats_nothing() -> None:
    assert Policy().smoke_interval_seconds == 0


async def test_each_step_is_asked_anew() -> None:
    """A canary goes from monitoring through switching to monitoring: what passed before says nothing about now."""
    async with World(with_policy(QUERY)) as world:
        await watched(world)
        await world.clock.advance(20)
        deployment, observer = world.last(), world.fleet.observers["app"]
        spec = world.specs["app"]

        async def answer() -> Answer:
            (verdict,) = (await observer.observe(deployment, spec)).analyses
            return verdict.answer

        assert await answer() is Answer.PASS
        world.metrics.answer = None
        observer.phase_began(deployment)
        assert await answer() is Answer.INCONCLUSIVE
