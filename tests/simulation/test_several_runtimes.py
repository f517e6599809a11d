"""Two runtimes as one: each service's workloads are where it says, and one that is away hides nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bluegreen.control.ports import LaunchRequest
from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.model import Resources
from bluegreen.domain.usage import Usage
from bluegreen.runtimes.fake import FakeRuntime
from bluegreen.runtimes.several import SeveralRuntimes
from tests.support_runtime import make_request

TOTAL = Resources(gpus=4, cpus=8.0, memory_mb=1024)


class Machine:
    def __init__(self) -> None:
        self.processes, self.containers = FakeRuntime(capacity=TOTAL), FakeRuntime(capacity=TOTAL)
        self.both = self.restarted()

    def restarted(self) -> SeveralRuntimes:
        return SeveralRuntimes({"process": self.processes, "docker": self.containers})


def process(name: str = "api-blue-1", resources: Resources = Resources(cpus=2)) -> LaunchRequest:
    return make_request(("serve",), workload_id=name, resources=resources)


def container(name: str = "model-blue-1", resources: Resources = Resources(gpus=1)) -> LaunchRequest:
    return replace(make_request((), workload_id=name, resources=resources), runtime="docker")


async def test_each_is_where_its_service_says_and_found_from_everywhere() -> None:
    machine = Machine()
    await machine.both.start(process())
    await machine.both.start(container())
    assert [status.workload.id for status in await machine.processes.list()] == ["api-blue-1"]
    assert [status.workload.id for status in await machine.containers.list()] == ["model-blue-1"]
    for runtime in (machine.both, machine.restarted()):
        assert [status.workload.id for status in await runtime.list()] == ["api-blue-1", "model-blue-1"]
        assert await runtime.inspect("model-blue-1") == await machine.containers.inspect("model-blue-1")
    await machine.restarted().stop("model-blue-1")
    assert await machine.containers.list() == []


async def test_what_both_use_is_used_of_one_machine() -> None:
    machine = Machine()
    await machine.both.start(process())
    await machine.both.start(container())
    capacity = await machine.both.capacity()
    assert (capacity.total, capacity.used) == (TOTAL, Resources(gpus=1, cpus=2))


async def test_one_that_is_away_hides_what_it_has_and_nothing_of_the_other() -> None:
    machine = Machine()
    await machine.both.start(process())
    await machine.both.start(container())
    machine.containers.away = True
    assert await machine.both.inspect("api-blue-1") is not None
    assert (await machine.both.start(process("api-green-2"))).workload.id == "api-green-2"
    await machine.both.stop("api-green-2")
    for runtime in (machine.both, machine.restarted()):
        with pytest.raises(RuntimeFailure):
            await runtime.inspect("model-blue-1")
        with pytest.raises(RuntimeFailure):
            await runtime.list()
        with pytest.raises(RuntimeFailure):
            await runtime.stop("model-blue-1")
    machine.containers.away = False
    assert await machine.both.inspect("model-blue-1") is not None


async def test_a_service_that_moved_keeps_its_old_version_where_it_is() -> None:
    machine = Machine()
    await machine.both.start(process())
    moved = replace(process(), runtime="docker")
    await machine.restarted().start(moved)
    assert await machine.containers.list() == []


async def test_a_runtime_that_was_not_opened_is_said() -> None:
    alone = SeveralRuntimes({"process": FakeRuntime()})
    with pytest.raises(RuntimeFailure, match="model-blue-1 is to run on docker, which this daemon has not opened"):
        await alone.start(container())


async def test_use_is_measured_where_it_can_be() -> None:
    machine = Machine()
    await machine.both.start(process())
    await machine.both.start(container())
    machine.processes.usages["api-blue-1"] = Usage(3.0, 5)
    found = await machine.both.usage({"api-blue-1", "model-blue-1"})
    assert found["api-blue-1"] == Usage(3.0, 5)
    assert found.keys() == {"api-blue-1", "model-blue-1"}


async def test_an_engine_elsewhere_has_a_capacity_of_its_own() -> None:
    processes = FakeRuntime(capacity=TOTAL)
    containers = FakeRuntime(capacity=Resources(gpus=8, cpus=64))
    both = SeveralRuntimes({"process": processes, "docker": containers}, elsewhere={"docker"})
    await both.start(process())
    await both.start(container())
    here, there = await both.capacity("process"), await both.capacity("docker")
    assert (here.total, here.used) == (TOTAL, Resources(cpus=2))
    assert (there.total, there.used) == (Resources(gpus=8, cpus=64), Resources(gpus=1))
    containers.away = True
    assert (await both.capacity("process")).used == Resources(cpus=2), "what is away elsewhere holds nothing here"
