"""GPUs and limits where containers run: who else has what, and an engine that has no GPUs to hand out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.model import Reservation, Resources, WorkloadState
from bluegreen.runtimes.devices.allocator import DeviceAllocator
from bluegreen.runtimes.devices.survey import GpuSurvey
from bluegreen.runtimes.docker.container import GpuRequests, nvidia_requests
from bluegreen.runtimes.docker.runtime import DockerRuntime
from bluegreen.runtimes.process.runtime import ProcessRuntime
from bluegreen.runtimes.several import SeveralRuntimes
from tests.support.docker_engine import DockerEngine
from tests.support.gpus import FakeGpu, FakeNvml
from tests.support_runtime import make_request, until_listening

IMAGE = "registry/inference-model:v1.0"
CAPACITY = Resources(gpus=3, cpus=8.0, memory_mb=4096)


def no_requests(_devices: object) -> list[dict[str, Any]]:
    """There are none here that an engine could hand out."""
    return []


class Machine:
    """Runtimes over one engine and one machine; they and what they started are gone with the test."""

    def __init__(self, engine: DockerEngine, directory: Path) -> None:
        self.engine = engine
        self.directory = directory
        self.devices = DeviceAllocator(range(3), GpuSurvey())
        self.runtimes: list[DockerRuntime | ProcessRuntime] = []

    def containers(
        self, name: str = "docker", gpu_requests: GpuRequests = no_requests, devices: DeviceAllocator | None = None
    ) -> DockerRuntime:
        runtime = DockerRuntime(
            self.directory / name,
            host=self.engine.host,
            base_directory=self.directory,
            capacity=CAPACITY,
            network=self.engine.network,
            gpu_requests=gpu_requests,
            devices=devices or self.devices,
        )
        self.runtimes.append(runtime)
        return runtime

    def processes(self) -> ProcessRuntime:
        runtime = ProcessRuntime(
            self.directory / "runtime", base_directory=self.directory, capacity=CAPACITY, devices=self.devices
        )
        self.runtimes.append(runtime)
        return runtime

    def run_stranger(self, name: str, **host: Any) -> str:
        """Its id; it runs."""
        body = {"Image": IMAGE, "Cmd": ["/server", "9000"], "HostConfig": host}
        made = self.engine.ask("POST", "/containers/create", params={"name": name}, json=body)
        assert made.status_code == 201, made.text
        started = self.engine.ask("POST", f"/containers/{made.json()['Id']}/start")
        assert started.status_code == 204, started.text
        return str(made.json()["Id"])

    async def close(self) -> None:
        for runtime in self.runtimes:
            with suppress(RuntimeFailure):
                for status in await runtime.list():
                    await runtime.stop(status.workload.id)
            await runtime.aclose()
        self.engine.remove_containers()


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml(FakeGpu("GPU-a"), FakeGpu("GPU-b"), FakeGpu("GPU-c"))
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@pytest.fixture
async def machine(docker_engine: DockerEngine, nvml: FakeNvml, tmp_path: Path) -> AsyncIterator[Machine]:
    docker_engine.make_server_image(IMAGE)
    made = Machine(docker_engine, tmp_path)
    yield made
    await made.close()


async def test_limits_of_containers_that_are_not_ours_are_used_up(machine: Machine) -> None:
    runtime = machine.containers()
    machine.run_stranger("trainer", NetworkMode="none", NanoCpus=1_500_000_000, Memory=64 * 2**20)
    machine.run_stranger("unlimited", NetworkMode="none")
    stopped = machine.run_stranger("stopped", NetworkMode="none", Memory=64 * 2**20)
    machine.engine.ask("POST", f"/containers/{stopped}/kill")
    await runtime.start(make_request(("/server", "{port}"), resources=Resources(cpus=0.5, memory_mb=32), image=IMAGE))
    capacity = await runtime.capacity()
    assert capacity.used == Resources(cpus=2.0, memory_mb=96)
    assert capacity.strangers == (Reservation("container `trainer`", Resources(cpus=1.5, memory_mb=64)),)


async def test_containers_and_processes_on_one_machine_share_no_gpu(machine: Machine, nvml: FakeNvml) -> None:
    containers, processes = machine.containers(), machine.processes()
    runtime = SeveralRuntimes({"docker": containers, "process": processes})
    one = make_request(("/server", "{port}"), resources=Resources(gpus=1), image=IMAGE)
    two = make_request(("/server", "{port}"), resources=Resources(gpus=1), image=IMAGE)
    three = make_request(("sleep", "600"), resources=Resources(gpus=1))
    await asyncio.gather(containers.start(one), containers.start(two), processes.start(three))
    capacity = await runtime.capacity()
    assert capacity.used.gpus == 3
    names = [[holder.name for holder in gpu.holders] for gpu in capacity.gpus or ()]
    assert sorted(names) == sorted([[one.workload.id], [two.workload.id], [three.workload.id]])
    with pytest.raises(RuntimeFailure, match="0 of 3 are free"):
        await processes.start(make_request(("sleep", "600"), resources=Resources(gpus=1)))


async def test_a_process_in_a_container_is_its_containers(machine: Machine, nvml: FakeNvml) -> None:
    ours, theirs = machine.containers(), machine.containers("elsewhere", devices=DeviceAllocator(range(3)))
    request = make_request(("/server", "{port}"), image=IMAGE)
    await ours.start(request)
    status = await until_listening(ours, request.workload.id)
    other = make_request(("/server", "{port}"), image=IMAGE)
    await theirs.start(other)
    others = await until_listening(theirs, other.workload.id)
    stranger = machine.run_stranger("trainer", NetworkMode="none")
    described = machine.engine.ask("GET", f"/containers/{stranger}/json").json()
    for gpu, pid in zip(
        nvml.gpus, (status.replicas[0].pid, others.replicas[0].pid, described["State"]["Pid"]), strict=True
    ):
        assert pid
        gpu.computing = {pid: 100}
    inventory = (await ours.capacity()).gpus or ()
    names = [gpu.holders[0].name for gpu in inventory]
    assert names[0] == request.workload.id
    assert "(another bluegreen's)" in names[1]
    assert names[2] == "container `trainer` (not bluegreen's)"


async def test_an_engine_without_gpus_says_so_and_what_to_do(machine: Machine) -> None:
    runtime = machine.containers(gpu_requests=nvidia_requests)
    request = make_request(("/server", "{port}"), resources=Resources(gpus=1), image=IMAGE)
    status = await runtime.start(request)
    assert status.state is WorkloadState.FAILED
    assert "the Docker Engine hands out no GPUs; install NVIDIA's container toolkit" in status.replicas[0].error
    (container,) = machine.engine.containers()
    described = machine.engine.ask("GET", f"/containers/{container['Id']}/json").json()
    (given,) = described["HostConfig"]["DeviceRequests"]
    assert (given["Driver"], given["DeviceIDs"]) == ("nvidia", ["0"])
    await runtime.stop(request.workload.id)
    assert (await runtime.capacity()).used == Resources()
