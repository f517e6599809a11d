"""GPUs given to real processes, with a driver that is made up: who computes on a device, and who may have it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bluegreen.control.ports import LaunchRequest
from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.gpus import Gpu
from bluegreen.domain.model import Color, Resources, Workload
from bluegreen.runtimes.devices.allocator import DeviceAllocator, demand_of
from bluegreen.runtimes.devices.survey import GpuSurvey
from bluegreen.runtimes.docker.runtime import DockerRuntime
from bluegreen.runtimes.process.proc import descendants_of
from bluegreen.runtimes.process.records import Records, WorkloadRecord
from bluegreen.runtimes.process.runtime import ProcessRuntime
from tests.support.gpus import FakeGpu, FakeNvml
from tests.support_runtime import make_request

SLEEP = ("sleep", "600")


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml(FakeGpu("GPU-a"), FakeGpu("GPU-b"), FakeGpu("GPU-c"))
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@pytest.fixture
def allocator(nvml: FakeNvml) -> DeviceAllocator:
    return DeviceAllocator(range(3), GpuSurvey(answer_seconds=1.0))


@pytest.fixture
async def runtime(tmp_path: Path, allocator: DeviceAllocator) -> AsyncIterator[ProcessRuntime]:
    built = build(tmp_path / "state", allocator)
    yield built
    for status in await built.list():
        await built.stop(status.workload.id)


@pytest.fixture
def stranger() -> Iterator[int]:
    """The pid of a process that is nobody's."""
    process = subprocess.Popen(SLEEP)
    yield process.pid
    process.kill()
    process.wait()


def build(directory: Path, allocator: DeviceAllocator) -> ProcessRuntime:
    return ProcessRuntime(directory, base_directory=directory.parent, capacity=Resources(gpus=3), devices=allocator)


def request(*, gpus: int = 1, replicas: int = 1, service: str = "model", **more: object) -> LaunchRequest:
    return make_request(
        SLEEP,
        service=service,
        replicas=replicas,
        resources=Resources(gpus=gpus),
        stop_grace_seconds=0,
        **more,  # type: ignore[arg-type]
    )


def devices_of(directory: Path, wanted: LaunchRequest) -> list[int]:
    record = json.loads((directory / "workloads" / wanted.workload.id / "workload.json").read_text())
    return [device for replica in record["gpus"] for device in replica]


def holders(inventory: tuple[Gpu, ...]) -> list[list[str]]:
    return [[holder.name for holder in gpu.holders] for gpu in inventory]


async def replica_pid(runtime: ProcessRuntime, wanted: LaunchRequest) -> int:
    status = await runtime.inspect(wanted.workload.id)
    assert status is not None and status.replicas[0].pid
    return status.replicas[0].pid


async def test_a_device_on_which_a_stranger_computes_is_passed_by(
    runtime: ProcessRuntime, nvml: FakeNvml, stranger: int, tmp_path: Path
) -> None:
    nvml.gpus[0].computing = {stranger: 500}
    nvml.gpus[1].drawing = {stranger: 20}  # As a display server does.
    wanted = request(gpus=2)
    await runtime.start(wanted)
    assert devices_of(tmp_path / "state", wanted) == [1, 2]
    capacity = await runtime.capacity()
    assert (capacity.total.gpus, capacity.used.gpus) == (3, 3)
    with pytest.raises(RuntimeFailure, match=rf"0 of 3 are free: GPU 0 is held by process {stranger} \(sleep, not"):
        await runtime.start(request())


async def test_what_our_own_processes_compute_is_theirs(
    runtime: ProcessRuntime, allocator: DeviceAllocator, nvml: FakeNvml
) -> None:
    """Also on a device that they were not given: who asks for none is shown all of them."""
    wanted, greedy = request(), request(gpus=0)
    await runtime.start(wanted)
    await runtime.start(greedy)
    nvml.gpus[0].computing = {await replica_pid(runtime, wanted): 500}
    nvml.gpus[1].computing = {await replica_pid(runtime, greedy): None}
    inventory = await allocator.inventory()
    assert holders(inventory) == [[wanted.workload.id], [greedy.workload.id], []]
    assert [holder.memory_mb for gpu in inventory for holder in gpu.holders] == [500, None]


async def test_a_child_of_a_replica_is_no_stranger(
    runtime: ProcessRuntime, allocator: DeviceAllocator, nvml: FakeNvml
) -> None:
    wanted = make_request(("sh", "-c", "sleep 600; true"), resources=Resources(gpus=1), stop_grace_seconds=0)
    await runtime.start(wanted)
    shell, deadline = await replica_pid(runtime, wanted), time.monotonic() + 10
    while not (children := descendants_of(shell)):
        assert time.monotonic() < deadline, "the shell starts nothing"
        await asyncio.sleep(0.01)
    nvml.gpus[0].computing = {children[0]: 500}
    assert holders(await allocator.inventory())[0] == [wanted.workload.id]


async def test_the_two_slots_share_when_both_say_so_and_nobody_else_does(
    runtime: ProcessRuntime, nvml: FakeNvml, tmp_path: Path
) -> None:
    nvml.gpus[0].free_mb, nvml.gpus[1].free_mb, nvml.gpus[2].free_mb = 1000, 3000, 2000
    blue = request(gpus=3, gpu_sharing=True)
    await runtime.start(blue)
    green = request(gpus=2, gpu_sharing=True, gpu_memory_mb=1500)
    await runtime.start(green)
    assert devices_of(tmp_path / "state", green) == [1, 2], "those with the most free memory"
    for refused in (
        request(gpu_sharing=False),
        request(gpu_sharing=True, service="other"),
        request(gpu_sharing=True, gpu_memory_mb=1500),
    ):
        with pytest.raises(RuntimeFailure, match="0 of 3 are free"):
            await runtime.start(refused)
        assert await runtime.inspect(refused.workload.id) is None


async def test_memory_that_is_not_free_is_not_promised(runtime: ProcessRuntime, nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.gpus[0].free_mb = 100
    wanted = request(gpu_memory_mb=4000)
    await runtime.start(wanted)
    assert devices_of(tmp_path / "state", wanted) == [1]
    nvml.gpus[2].free_mb = 200
    with pytest.raises(RuntimeFailure, match=r"GPU 0 has 100 of 4000 MB free.*GPU 2 has 200 of 4000 MB free"):
        await runtime.start(request(gpu_memory_mb=4000))


async def test_a_driver_that_hangs_blocks_gpus_and_nothing_else(tmp_path: Path, nvml: FakeNvml) -> None:
    runtime = build(tmp_path / "state", DeviceAllocator(range(3), GpuSurvey(answer_seconds=0.05)))
    await runtime.capacity()
    nvml.hanging = 1
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(RuntimeFailure, match="GPUs 1, 2 do not answer the driver"):
        await runtime.start(request(gpus=2))
    ticking.cancel()
    assert ticks > 10, "the event loop went on"
    plain = request(gpus=0)
    await runtime.start(plain)
    await runtime.stop(plain.workload.id)
    nvml.hangs.set()


async def test_two_runtimes_over_one_machine_give_nothing_out_twice(tmp_path: Path, allocator: DeviceAllocator) -> None:
    first, second = build(tmp_path / "one", allocator), build(tmp_path / "two", allocator)
    wanted = [(first, request()), (second, request()), (second, request()), (first, request())]
    outcomes = await asyncio.gather(*(runtime.start(each) for runtime, each in wanted), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(refused) == 1 and "0 of 3 are free" in str(refused[0])
    given = [
        device
        for directory, (_, each), outcome in zip(("one", "two", "two", "one"), wanted, outcomes, strict=True)
        if not isinstance(outcome, BaseException)
        for device in devices_of(tmp_path / directory, each)
    ]
    assert sorted(given) == [0, 1, 2]
    for runtime, each in wanted:
        await runtime.stop(each.workload.id)


async def test_what_a_killed_controller_had_assigned_is_not_assigned_again(
    tmp_path: Path, allocator: DeviceAllocator
) -> None:
    """It was killed after the record was on disk and before anything was started."""
    workload = Workload("model-blue-1", "model", Color.BLUE, "model:v1", "v1", 1, Resources(gpus=2))
    records = Records(tmp_path / "state")
    records.begin(workload.id)
    records.commit(WorkloadRecord(workload, 1.0, "token", 1.0, ((0, 2),)))
    runtime = build(tmp_path / "state", allocator)
    async with allocator.assigned(demand_of(request(), 1)) as assigned:
        assert assigned == ((1,),)
    assert (await runtime.capacity()).used.gpus == 2


async def test_while_a_runtime_can_not_tell_who_holds_what_no_gpu_is_given_out(
    tmp_path: Path, allocator: DeviceAllocator
) -> None:
    runtime = build(tmp_path / "state", allocator)
    away = DockerRuntime(
        tmp_path / "docker",
        host=f"unix://{tmp_path}/nobody.sock",
        base_directory=tmp_path,
        capacity=Resources(gpus=3),
        devices=allocator,
    )
    with pytest.raises(RuntimeFailure, match=r"may be held by somebody: the Docker Engine at .* does not answer"):
        await runtime.start(request())
    plain = request(gpus=0)
    await runtime.start(plain)
    await runtime.stop(plain.workload.id)
    await away.aclose()


async def test_without_a_driver_the_stated_devices_are_given_out(tmp_path: Path, nvml: FakeNvml) -> None:
    nvml.driver = False
    runtime = build(tmp_path / "state", DeviceAllocator(range(3), GpuSurvey()))
    wanted = request(gpus=3, gpu_memory_mb=4000)
    await runtime.start(wanted)
    launch = json.loads(
        (tmp_path / "state" / "workloads" / wanted.workload.id / "replica-0" / "launch.json").read_text()
    )
    assert launch["env"]["CUDA_VISIBLE_DEVICES"] == "0,1,2"
    assert launch["env"]["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    await runtime.stop(wanted.workload.id)
