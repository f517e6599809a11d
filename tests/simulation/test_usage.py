"""What is known of the use of the machine, and for how long it is believed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.usage import GpuUsage, Usage
from bluegreen.runtimes.fake import FakeRuntime
from tests.simulation.world import World
from tests.support.gate import Tools


class FailingRuntime(FakeRuntime):
    """Tells nothing while `problem` is set."""

    problem = ""

    async def usage(self, workload_ids: Collection[str]) -> Mapping[str, Usage]:
        if self.problem:
            raise RuntimeFailure(self.problem)
        return await super().usage(workload_ids)


async def test_the_newest_reading_is_there_until_it_is_too_old_to_be_believed() -> None:
    async with World() as world:
        world.runtime = runtime = FailingRuntime(now=world.clock.now)
        world.fleet = world._fleet()
        await world.start()
        world.fleet.usage.start()
        await world.first_version()
        workload = world.last().green
        assert workload is not None
        runtime.usages[workload.id] = Usage(12.5, 2**30)
        await world.clock.advance(6)
        reading = world.fleet.usage.reading(workload.id)
        assert reading is not None and reading.usage == Usage(12.5, 2**30)
        runtime.problem = "the machine does not say"
        await world.clock.advance(6)
        assert world.fleet.usage.reading(workload.id) == reading
        await world.clock.advance(10)
        assert world.fleet.usage.reading(workload.id) is None
        runtime.problem = ""
        await world.clock.advance(6)
        assert world.fleet.usage.reading(workload.id) is not None


async def test_a_workload_that_was_stopped_has_none() -> None:
    async with World() as world:
        world.fleet.usage.start()
        await world.first_version()
        (status,) = await world.runtime.list()
        await world.clock.advance(6)
        assert world.fleet.usage.reading(status.workload.id) is not None
        await world.runtime.stop(status.workload.id)
        await world.clock.advance(6)
        assert world.fleet.usage.reading(status.workload.id) is None


async def test_a_reading_is_told_once_and_what_was_consumed_from_the_second_on() -> None:
    async with World() as world:
        await world.first_version()
        workload = world.last().green
        assert workload is not None
        usage = world.fleet.usage
        assert usage.news(workload.id) == {}
        world.runtime.usages[workload.id] = Usage(
            12.5, 2**30, (GpuUsage(0, 0.5, 100, 60.0), GpuUsage(1, 1.0, 200, 70.0))
        )
        await usage.look()
        levels = {"memory_bytes": 2**30, "gpu_memory_bytes": 300, "gpu_celsius": 70.0, "gpus": 2, "gpus_busy": 1.5}
        first = usage.news(workload.id)
        assert first.pop("age_seconds") > 0
        assert first == levels
        assert usage.news(workload.id) == {}
        await world.clock.advance(4)
        world.runtime.usages[workload.id] = Usage(18.5, 2**30)
        await usage.look()
        second = usage.news(workload.id)
        assert (second["cpu_milliseconds"], second["usage_milliseconds"]) == (6000, 4000)
        assert "gpus" not in second
        await world.clock.advance(4)
        world.runtime.usages[workload.id] = Usage(0.5, 2**30)
        await usage.look()
        assert "cpu_milliseconds" not in usage.news(workload.id)


async def test_what_a_version_uses_can_be_asked_for() -> None:
    async with World() as world:
        world.fleet.usage.start()
        world.fleet.metrics.start()
        await world.first_version()
        workload = world.last().green
        assert workload is not None
        for turn in range(60):
            gpus = (GpuUsage(0, 0.5, 2**33, 61.0), GpuUsage(1, 1.0, 2**33, 72.0))
            world.runtime.usages[workload.id] = Usage(100 + 1.5 * turn, 3 * 2**30, gpus)
            await world.clock.advance(1)
        expected = {
            "cpu_usage": 1.5,
            "memory_used": 3 * 2**30,
            "gpu_utilization": 0.75,
            "gpu_memory_used": 2**34,
            "gpu_temperature": 72.0,
        }
        for metric, value in expected.items():
            view = await Tools(world)("metrics_query", metric=metric, workloadId=workload.id, startTime="-30s")
            assert view["summary"]["avg"] == pytest.approx(value, rel=0.01), metric
        age = await Tools(world)("metrics_query", metric="workload_duration", workloadId=workload.id, startTime="-10s")
        (status,) = await world.runtime.list()
        assert age["summary"]["latest"] == pytest.approx(world.clock.now() - status.created_at, abs=6)
