"""What `metrics_query` answers while versions come and go, on fakes and a clock that is turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from bluegreen.domain.access import Scope
from bluegreen.domain.deployment import Phase
from bluegreen.domain.errors import BluegreenError, Forbidden, StoreDamaged, StoreError, UnknownName, UsageError
from bluegreen.domain.model import Color, SlotTraffic
from bluegreen.domain.service import ServiceSpec
from bluegreen.routers.fake import FakeRouter
from tests.simulation.world import World, service
from tests.support.gate import Tools, agent


class CountingRouter(FakeRouter):
    """Counts how often it was asked for its counters, and for how many services."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    async def traffic(self, services: Sequence[str]) -> Mapping[str, Mapping[Color, SlotTraffic]]:
        self.asked.append(len(services))
        await asyncio.sleep(0)
        return await super().traffic(services)


@asynccontextmanager
async def measured(*specs: ServiceSpec) -> AsyncIterator[World]:
    async with World(*specs) as world:
        world.fleet.metrics.start()
        yield world


async def ask(world: World, metric: str, **arguments: Any) -> Any:
    return await Tools(world)("metrics_query", metric=metric, **arguments)


def known(view: Any) -> list[float]:
    return [point["value"] for point in view["points"] if point["value"] is not None]


def came(view: Any) -> float:
    """How many requests a rate over time stands for."""
    edges = [datetime.fromisoformat(moment) for moment in (view["startTime"], *(p["time"] for p in view["points"]))]
    widths = [(end - begin).total_seconds() for begin, end in pairwise(edges)]
    return sum((p["value"] or 0.0) * width for p, width in zip(view["points"], widths, strict=True))


async def test_requests_are_those_of_the_version_that_served_them() -> None:
    async with measured() as world:
        await world.first_version()
        blue = world.last().green
        assert blue is not None
        world.serve("app:v1", requests=100, errors=10)
        await world.clock.advance(10)
        await world.to_monitoring()
        green = world.last().green
        assert green is not None
        world.serve("app:v2", requests=50, errors=1)
        await world.clock.advance(0.5)
        of_green = await ask(world, "request_error_rate", workloadId=green.id, startTime="-1m", step="10s")
        assert of_green["workloads"] == [green.id]
        assert of_green["summary"]["avg"] == pytest.approx(0.02)
        of_both = await ask(world, "request_error_rate", labels={"app": "app"})
        assert set(of_both["workloads"]) == {blue.id, green.id}
        assert of_both["summary"]["avg"] == pytest.approx(11 / 150)
        assert of_both["unit"].startswith("share of requests")


async def test_a_question_about_the_future_is_one_about_now() -> None:
    async with measured() as world:
        await world.first_version()
        await world.clock.advance(60)
        world.serve("app:v1", requests=120)
        await world.clock.advance(1)
        asked = {"labels": {"app": "app"}, "startTime": "-60s", "step": "60s"}
        now = await ask(world, "request_rate", **asked)
        later = await ask(world, "request_rate", **asked, endTime="2099-01-01T00:00:00Z")
        assert now["summary"]["avg"] == pytest.approx(2, rel=0.05)
        assert later["summary"] == now["summary"]
        assert later["endTime"] == now["endTime"]


async def test_the_name_of_the_switch_stands_for_all_versions_of_the_service() -> None:
    async with measured() as world:
        await world.first_version()
        await world.clock.advance(5)
        of_service = await ask(world, "request_rate", workloadId="app-service", startTime="-1m")
        assert of_service["workloads"] == (await ask(world, "request_rate", labels={"app": "app"}))["workloads"] != []


async def test_what_a_version_did_before_it_lost_its_slot_is_measured_also_between_two_samples() -> None:
    """One that breaks at once has the traffic for less than a second, and its errors are why it is gone."""
    async with measured() as world:
        await world.first_version()
        await world.to_monitoring()
        green = world.last().green
        assert green is not None
        await world.clock.advance(0.1)
        world.serve("app:v2", requests=21, errors=2)
        await world.fleet.view.connect("app", green.color, ())
        view = await ask(world, "request_error_rate", workloadId=green.id, startTime="-1m", step="1m")
        assert view["summary"]["latest"] == pytest.approx(2 / 21)
        of_service = await ask(world, "request_error_rate", labels={"app": "app"}, startTime="-1m", step="1m")
        assert of_service["summary"]["latest"] == pytest.approx(2 / 21)


async def test_what_has_just_happened_is_in_the_answer() -> None:
    async with measured() as world:
        await world.first_version()
        await world.clock.advance(60)
        world.serve("app:v1", requests=30, errors=30)
        await world.clock.advance(0.01)
        view = await ask(world, "request_error_rate", labels={"app": "app"}, startTime="-30s", step="10s")
        assert view["summary"]["latest"] == 1.0
        rates = await ask(world, "request_rate", labels={"app": "app"}, startTime="-30s", step="10s")
        assert came(rates) == pytest.approx(30, rel=0.01)
        assert rates["points"][-1]["time"] == rates["endTime"]


async def test_a_version_does_not_inherit_what_its_slot_counted_for_the_one_before() -> None:
    async with measured() as world:
        await world.first_version()
        await world.to_monitoring()
        world.serve("app:v2", requests=1000, errors=900)
        await world.until(Phase.ROLLED_BACK)
        await world.clock.advance(30)
        await world.to_monitoring("app:v3")
        third = world.last().green
        assert third is not None and third.color is Color.GREEN
        world.serve("app:v3", requests=40)
        await world.clock.advance(3)
        view = await ask(world, "request_error_rate", workloadId=third.id)
        assert view["summary"]["max"] == 0.0
        rate = await ask(world, "request_rate", workloadId=third.id, startTime="-2m", step="120s")
        assert came(rate) == pytest.approx(40, rel=0.01)


async def test_a_router_that_was_restarted_makes_no_negative_rate_and_loses_nothing() -> None:
    async with measured() as world:
        await world.first_version()
        await world.clock.advance(20)
        for count in (600, 1200, 300, 900):
            world.serve("app:v1", requests=count)
            await world.clock.advance(60)
        view = await ask(world, "request_rate", labels={"app": "app"}, startTime="-5m", step="5m")
        assert came(view) == pytest.approx(2100, rel=0.01)


async def test_health_is_the_share_of_checks_that_passed() -> None:
    async with measured() as world:
        await world.first_version()
        await world.clock.advance(120)
        well = await ask(world, "health_check_success", labels={"app": "app"}, startTime="-1m")
        assert (well["summary"]["min"], well["summary"]["latest"]) == (1.0, 1.0)
        world.prober.sick.add("app:v1")
        await world.clock.advance(60)
        ill = await ask(world, "health_check_success", labels={"app": "app"}, startTime="-2m", step="10s")
        assert ill["summary"]["latest"] == 0.0
        assert ill["summary"]["avg"] == pytest.approx(0.5, abs=0.05)


async def test_in_flight_is_a_number_of_now_and_restarts_count_from_the_beginning() -> None:
    async with measured() as world:
        await world.first_version()
        (status,) = await world.runtime.list()
        world.router.counters[status.workload.id] = SlotTraffic(10, 0, 7)
        await world.clock.advance(6)
        in_flight = await ask(world, "requests_in_flight", labels={"app": "app"}, startTime="-10s", step="1s")
        assert in_flight["summary"]["latest"] == 7
        restarts = await ask(world, "restarts", workloadId=status.workload.id, startTime="-10s")
        assert restarts["summary"]["latest"] == 0


async def test_a_stopped_version_can_still_be_asked_for_weeks_later() -> None:
    async with measured() as world:
        await world.first_version()
        blue = world.last().green
        assert blue is not None
        world.serve("app:v1", requests=100)
        await world.clock.advance(20)
        await world.to_monitoring()
        world.serve("app:v2")
        await world.until(Phase.COMPLETED)
        await world.clock.advance(60)
        view = await ask(world, "request_rate", workloadId=blue.id, startTime="-2h")
        assert came(view) == pytest.approx(100, rel=0.01)
        late = await ask(world, "request_rate", workloadId=blue.id, startTime="-30s")
        assert known(late) == []
        assert set(late["summary"].values()) == {None}
        await world.clock.advance(3600)
        assert blue.id not in {workload.id for workload in world.fleet.metrics.workloads}
        await world.fleet.close()
        world.clock.jump(7 * 86_400)
        await world.restart()
        view = await ask(world, "request_rate", labels={"app": "app"}, startTime="-30d")
        assert blue.id in view["workloads"]
        view = await ask(world, "request_rate", workloadId=blue.id, startTime="-8d")
        assert came(view) == pytest.approx(100, rel=0.01)


async def test_a_version_can_be_asked_for_from_the_moment_it_is_submitted() -> None:
    async with measured() as world:
        await world.first_version()
        submitted = await Tools(world)(
            "workload_submit", name="app-green", image="app:v2", labels={"app": "app", "deployment": "green"}
        )
        view = await ask(world, "health_check_success", workloadId=submitted["id"], startTime="-2m")
        assert view["workloads"] == [submitted["id"]]


async def test_no_match_is_an_answer_without_values() -> None:
    async with measured() as world:
        await world.first_version()
        view = await ask(world, "request_rate", labels={"app": "app", "team": "nobody"})
        assert (known(view), view["workloads"]) == ([], [])
        assert set(view["summary"].values()) == {None}


async def test_silence_of_the_router_is_not_zero() -> None:
    async with measured() as world:
        await world.first_version()
        await world.clock.advance(60)
        world.router.alive = False
        await world.clock.advance(60)
        view = await ask(world, "request_rate", labels={"app": "app"}, startTime="-40s", step="10s")
        assert known(view) == []
        checks = await ask(world, "health_check_success", labels={"app": "app"}, startTime="-40s")
        assert checks["summary"]["latest"] == 1.0
        gauge = await ask(world, "requests_in_flight", labels={"app": "app"}, startTime="-40s", step="10s")
        assert gauge["summary"]["latest"] is None


@pytest.mark.parametrize("jump", [-7200.0, 7200.0])
async def test_a_wall_clock_that_jumps_loses_nothing(jump: float) -> None:
    async with measured() as world:
        await world.first_version()
        await world.clock.advance(20)
        world.serve("app:v1", requests=60)
        await world.clock.advance(20)
        world.clock.jump(jump)
        await world.clock.advance(20)
        view = await ask(world, "request_rate", labels={"app": "app"}, startTime="-1m", step="1m")
        assert came(view) == pytest.approx(60, rel=0.01)


async def test_after_a_restart_of_the_daemon_the_past_is_not_counted_as_now() -> None:
    async with measured() as world:
        await world.first_version()
        world.serve("app:v1", requests=1_000_000)
        await world.clock.advance(60)
        await world.restart()
        world.fleet.metrics.start()
        await world.clock.advance(30)
        view = await ask(world, "request_rate", labels={"app": "app"}, startTime="-28s", step="1s")
        assert set(known(view)) == {0.0}
        whole = await ask(world, "request_rate", labels={"app": "app"}, startTime="-2m", step="1s")
        assert came(whole) == pytest.approx(1_000_000, rel=0.01)


async def test_what_was_measured_survives_a_restart_and_the_time_without_a_daemon_is_a_gap() -> None:
    async with measured() as world:
        await world.first_version()
        await world.clock.advance(30)
        world.serve("app:v1", requests=100)
        await world.clock.advance(30)
        await world.fleet.close()
        await world.clock.advance(120)
        world.fleet = world._fleet()
        await world.start()
        world.fleet.metrics.start()
        await world.clock.advance(60)
        view = await ask(world, "request_rate", labels={"app": "app"}, startTime="-230s", step="10s")
        assert came(view) == pytest.approx(100, rel=0.01)
        empty = [point["value"] is None for point in view["points"]]
        assert 10 <= sum(empty) <= 12
        first, last = empty.index(True), len(empty) - empty[::-1].index(True)
        assert all(empty[first:last]) and 0 < first < last < len(empty)
        gauge = await ask(world, "requests_in_flight", labels={"app": "app"}, startTime="-230s", step="10s")
        assert None in [point["value"] for point in gauge["points"]]


async def test_a_disk_that_is_full_is_said_once_and_costs_no_measurement() -> None:
    async with measured() as world:
        await world.first_version()
        await world.clock.advance(60)
        world.samples.broken = StoreError("metrics store: no space is left")
        world.serve("app:v1", requests=500)
        await world.clock.advance(1800)
        view = await ask(world, "request_rate", labels={"app": "app"}, startTime="-20m")
        assert "no space is left" in view["note"]
        assert world.fleet.metrics.writer.problem
        world.samples.broken = None
        await world.clock.advance(30)
        told = [alert for alert in world.alerts.alerts if alert.name == "metrics-not-written"]
        assert [alert.resolved for alert in told] == [False, True]
        assert "Deployments and rollbacks go on" in told[0].message
        view = await ask(world, "request_rate", labels={"app": "app"}, startTime="-1h")
        assert came(view) == pytest.approx(500, rel=0.01)
        assert view["note"] == ""


async def test_a_damaged_store_is_said_and_measuring_goes_on_in_a_new_one() -> None:
    async with measured() as world:
        await world.first_version()
        await world.clock.advance(60)
        world.samples.damage = StoreDamaged("metrics store was damaged; it was moved aside")
        await world.clock.advance(10)
        world.serve("app:v1", requests=50)
        await world.clock.advance(30)
        assert [alert.name for alert in world.alerts.alerts if "metrics" in alert.name] == ["metrics-store-damaged"]
        view = await ask(world, "request_rate", labels={"app": "app"}, startTime="-40s")
        assert came(view) == pytest.approx(50, rel=0.01)
        assert view["note"] == ""


async def test_green_is_measured_by_blue_a_moment_ago_and_by_the_service_yesterday() -> None:
    async with measured() as world:
        await world.first_version()
        buckets = (0, 900, 100, *[0] * 19)
        world.router.counters[world.last().green.id] = SlotTraffic(1000, 30, 0, buckets)  # type: ignore[union-attr]
        await world.clock.advance(400)
        await world.fleet.close()
        world.clock.jump(86_400 - 530)
        await world.restart()
        world.fleet.metrics.start()
        await world.clock.advance(30)
        green = await world.to_monitoring()
        assert green.baseline is not None
        windows = {window.name: window for window in green.baseline.windows}
        yesterday = windows["the same time yesterday"]
        assert (yesterday.requests, yesterday.errors, yesterday.latency) == (1000, 30, buckets)
        assert windows["the last minute"].requests == 0


async def test_while_nothing_happens_the_router_is_asked_every_second_for_all_services_at_once() -> None:
    specs = [service(f"app{number}") for number in range(5)]
    async with World(*specs) as world:
        world.router = router = CountingRouter()
        world.fleet = world._fleet()
        await world.start()
        world.fleet.metrics.start()
        await world.clock.advance(60.5)
        assert router.asked == [5] * 61


async def test_many_questions_at_once_share_an_answer() -> None:
    async with World() as world:
        world.router = router = CountingRouter()
        world.fleet = world._fleet()
        await world.start()
        await world.first_version()
        router.asked.clear()
        answers = await asyncio.gather(*(ask(world, "request_rate", labels={"app": "app"}) for _ in range(50)))
        assert all(answer["workloads"] == answers[0]["workloads"] for answer in answers)
        assert len(router.asked) <= 3


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"metric": "request_errors"}, UsageError, r"metric: there is no metric 'request_errors'"),
        ({"workloadId": "app-blue-nothing"}, UnknownName, "workloadId: there is no workload "),
        ({"workloadId": "../../etc/passwd"}, UnknownName, "workloadId: "),
        ({"labels": {"app": "ap"}}, UnknownName, "labels.app: there is no service 'ap'"),
        ({"nodeId": "elsewhere"}, UsageError, "nodeId: "),
        ({"startTime": "yesterday"}, UsageError, "startTime: "),
        ({"startTime": "-999999999d"}, UsageError, "startTime: "),
        ({"endTime": "-2h"}, UsageError, "startTime: must be before endTime"),
        ({"startTime": "-1d", "step": "1s"}, UsageError, "step: 1s makes 86400 points"),
        ({"step": "10"}, UsageError, "step: "),
        ({"step": "10ms"}, UsageError, "step: "),
        ({"metrik": "x"}, UsageError, "unknown parameter 'metrik'"),
    ],
)
async def test_what_is_refused_names_the_parameter(
    arguments: dict[str, Any], error: type[BluegreenError], text: str
) -> None:
    async with measured() as world:
        await world.first_version()
        with pytest.raises(error, match=text):
            await Tools(world)("metrics_query", **{"metric": "request_rate", **arguments})


async def test_an_unknown_id_offers_the_nearest_and_an_unknown_metric_the_list() -> None:
    async with measured() as world:
        await world.first_version()
        (running,) = await world.runtime.list()
        with pytest.raises(UnknownName) as caught:
            await ask(world, "request_rate", workloadId=running.workload.id[:-1])
        assert running.workload.id in caught.value.hint
        with pytest.raises(UsageError) as caught_metric:
            await ask(world, "eror_rate")
        assert "request_error_rate" in caught_metric.value.hint and "restarts" in caught_metric.value.hint
        with pytest.raises(UsageError) as caught_stranger:
            await ask(world, "nothing-like-it")
        assert caught_stranger.value.hint.count("restarts") == 1


async def test_who_is_limited_to_services_sees_only_those() -> None:
    async with measured(service("app"), service("other")) as world:
        for name in ("app", "other"):
            await world.deploy(f"{name}:v1", name=name)
            await world.until(Phase.COMPLETED, name=name)
        tools = Tools(world, agent(Scope.READ, services=frozenset({"app"})))
        mine = await tools("metrics_query", metric="request_rate")
        assert [workload.split("-")[0] for workload in mine["workloads"]] == ["app"]
        with pytest.raises(Forbidden):
            await tools("metrics_query", metric="request_rate", labels={"app": "other"})
        strange = next(w.id for w in world.fleet.metrics.workloads if w.service == "other")
        with pytest.raises(Forbidden):
            await tools("metrics_query", metric="request_rate", workloadId=strange)
