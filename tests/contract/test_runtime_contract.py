"""What every runtime must do, real and fake alike."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bluegreen.control.ports import LaunchRequest, PullProgress, WorkloadRuntime
from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.model import Resources, WorkloadState
from bluegreen.runtimes.docker.connecting import Connection
from bluegreen.runtimes.docker.keeper import Backoff
from bluegreen.runtimes.docker.runtime import DockerRuntime
from bluegreen.runtimes.fake import Behavior, FakeRuntime
from bluegreen.runtimes.process.launch_plan import ShimSettings
from bluegreen.runtimes.process.runtime import ProcessRuntime
from bluegreen.runtimes.several import SeveralRuntimes
from tests.support.docker_engine import DockerEngine, own_address
from tests.support.ssh_server import SshServer
from tests.support_runtime import (
    eventually,
    make_request,
    processes_with,
    status_when,
    tiny_server,
    until_listening,
)

CAPACITY = Resources(gpus=4, cpus=8.0, memory_mb=1024)
GOOD, NOISY, MISSING = "registry/model:v1.0", "registry/model:noisy", "registry/model:missing"


async def no_close() -> None:
    """For a runtime that holds nothing open."""


async def nobody(_: PullProgress) -> None:
    """For whom progress is nothing."""


@dataclass
class World:
    """A runtime, the commands for it, and what a test does behind its back."""

    runtime: WorkloadRuntime
    command_of: Callable[[str], tuple[str, ...]]
    restart_controller: Callable[[], WorkloadRuntime]
    crash: Callable[[str, int], None]
    left_over: Callable[[str], list[int]]
    close: Callable[[], Awaitable[None]] = no_close

    def request(
        self, image: str = GOOD, *, replicas: int = 1, resources: Resources | None = None, workload_id: str = ""
    ) -> LaunchRequest:
        return make_request(
            self.command_of(image), image=image, replicas=replicas, resources=resources, workload_id=workload_id
        )


def fake_world(_directory: Path) -> World:
    runtime = FakeRuntime(
        capacity=CAPACITY,
        behaviors={
            GOOD: Behavior(listens_after_inspects=2),
            NOISY: Behavior(output=tuple(f"line {number}" for number in range(300))),
            MISSING: Behavior(replica_error="command not found: 'no-such-program'"),
        },
    )
    return World(
        runtime,
        command_of=lambda _image: ("serve",),
        restart_controller=lambda: runtime,
        crash=lambda workload_id, _pid: runtime.crash(workload_id, 0),
        left_over=lambda _workload_id: [],
    )


def process_world(directory: Path) -> World:
    def build() -> ProcessRuntime:
        return ProcessRuntime(
            directory / "state",
            base_directory=directory,
            capacity=CAPACITY,
            shim=ShimSettings(backoff_first_seconds=0.05),
        )

    commands = {
        GOOD: tiny_server(directory),
        NOISY: tiny_server(directory, "--lines", "300"),
        MISSING: ("no-such-program",),
    }
    return World(
        build(),
        command_of=commands.__getitem__,
        restart_controller=build,
        crash=lambda _workload_id, pid: os.kill(pid, signal.SIGKILL),
        left_over=processes_with,
    )


def several_world(directory: Path) -> World:
    """Processes beside a runtime that has nothing: one answer must come of two."""
    world = process_world(directory)
    build = world.restart_controller

    def both() -> SeveralRuntimes:
        return SeveralRuntimes({"docker": FakeRuntime(capacity=CAPACITY), "process": build()})

    return replace(world, runtime=both(), restart_controller=both)


def docker_world(directory: Path, engine: DockerEngine, connect: Callable[[], str | Connection]) -> World:
    built: list[DockerRuntime] = []
    for image in (GOOD, NOISY, MISSING):
        engine.make_server_image(image)

    def build() -> DockerRuntime:
        runtime = DockerRuntime(
            directory / "state",
            host=connect(),
            base_directory=directory,
            capacity=CAPACITY,
            network=engine.network,
            backoff=Backoff(first_seconds=0.05),
            gpu_requests=lambda _devices: [],  # There are none here that an engine could hand out.
        )
        built.append(runtime)
        return runtime

    async def close() -> None:
        for runtime in built:
            await runtime.aclose()

    commands: dict[str, tuple[str, ...]] = {
        GOOD: ("/server", "{port}"),
        NOISY: ("/server", "{port}", "--lines", "300"),
        MISSING: ("no-such-program",),
    }
    return World(
        build(),
        command_of=commands.__getitem__,
        restart_controller=build,
        crash=lambda _workload_id, pid: os.kill(pid, signal.SIGKILL),
        left_over=processes_with,
        close=close,
    )


def docker_over_tls(directory: Path, engine: DockerEngine) -> World:
    """As if it were on another machine: everything goes through the network."""
    tls, address = engine.tls_files(), own_address()
    return docker_world(directory, engine, lambda: Connection(engine.tls_host, address=address, tls=tls))


def docker_through_ssh(directory: Path, engine: DockerEngine, server: SshServer) -> World:
    host, address = f"{server.host}{engine.socket}", own_address()
    return docker_world(directory, engine, lambda: Connection(host, address=address, directory=directory))


@pytest.fixture(
    params=["fake", "process", "several", "docker", "docker-tls", "docker-ssh"],
)
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    match request.param:
        case "fake":
            built = fake_world(tmp_path)
        case "process":
            built = process_world(tmp_path)
        case "several":
            built = several_world(tmp_path)
        case "docker":
            engine: DockerEngine = request.getfixturevalue("docker_engine")
            built = docker_world(tmp_path, engine, lambda: engine.host)
        case "docker-tls":
            built = docker_over_tls(tmp_path, request.getfixturevalue("docker_engine"))
        case _:
            engine, server = (request.getfixturevalue(name) for name in ("docker_engine", "ssh_server"))
            monkeypatch.setenv("PATH", f"{server.programs}{os.pathsep}{os.environ['PATH']}")
            built = docker_through_ssh(tmp_path, engine, server)
    yield built
    for status in await built.runtime.list():
        await built.runtime.stop(status.workload.id)
    await built.close()


async def test_started_replicas_come_to_listen_each_on_its_own_port(world: World) -> None:
    request = world.request(replicas=2)
    started = await world.runtime.start(request)
    assert started.workload == request.workload
    status = await until_listening(world.runtime, request.workload.id)
    assert status.state is WorkloadState.RUNNING
    assert len({endpoint.port for endpoint in status.endpoints}) == 2
    assert all(replica.pid for replica in status.replicas)


async def test_preparing_starts_nothing_and_can_be_done_again(world: World) -> None:
    request = world.request()
    first = await world.runtime.prepare(request, nobody)
    assert await world.runtime.prepare(request, nobody) == first
    assert await world.runtime.list() == []
    pinned = replace(request, workload=replace(request.workload, digest=first.digest))
    await world.runtime.start(pinned)
    await until_listening(world.runtime, request.workload.id)


async def test_asked_for_more_replicas_it_grows_and_what_runs_is_not_touched(world: World) -> None:
    small = world.request(replicas=1, resources=Resources(gpus=1))
    await world.runtime.start(small)
    before = await until_listening(world.runtime, small.workload.id)
    more = replace(small, workload=replace(small.workload, replicas=3))
    started = await world.runtime.start(more)
    assert started.workload == more.workload
    grown = await until_listening(world.runtime, small.workload.id)
    assert grown.replicas[0] == before.replicas[0]
    assert grown.created_at == before.created_at
    assert len({endpoint.port for endpoint in grown.endpoints}) == 3
    assert (await world.runtime.capacity()).used.gpus == 3
    assert await world.runtime.start(small) == grown, "it never shrinks"


async def test_without_room_to_grow_what_runs_goes_on(world: World) -> None:
    small = world.request(replicas=1, resources=Resources(gpus=2))
    await world.runtime.start(small)
    before = await until_listening(world.runtime, small.workload.id)
    with pytest.raises(RuntimeFailure, match="GPUs"):
        await world.runtime.start(replace(small, workload=replace(small.workload, replicas=3)))
    assert await world.runtime.inspect(small.workload.id) == before


async def test_starting_twice_starts_once(world: World) -> None:
    request = world.request()
    await world.runtime.start(request)
    before = await until_listening(world.runtime, request.workload.id)
    await world.runtime.start(request)
    after = await until_listening(world.runtime, request.workload.id)
    assert after.replicas == before.replicas
    assert len(await world.runtime.list()) == 1


async def test_stop_leaves_nothing_and_may_be_repeated(world: World) -> None:
    request = world.request(replicas=2)
    await world.runtime.start(request)
    await until_listening(world.runtime, request.workload.id)
    await world.runtime.stop(request.workload.id)
    assert world.left_over(request.workload.id) == []
    assert await world.runtime.inspect(request.workload.id) is None
    assert await world.runtime.list() == []
    await world.runtime.stop(request.workload.id)
    await world.runtime.stop("never-was")


async def test_a_stopped_workload_can_be_started_again(world: World) -> None:
    request = world.request()
    await world.runtime.start(request)
    await world.runtime.stop(request.workload.id)
    await world.runtime.start(request)
    status = await until_listening(world.runtime, request.workload.id)
    assert status.state is WorkloadState.RUNNING


async def test_unknown_workloads_are_none(world: World) -> None:
    assert await world.runtime.inspect("never-was") is None
    assert await world.runtime.inspect("../never-was") is None
    assert list(await world.runtime.logs("never-was")) == []
    await world.runtime.heal("never-was")


async def test_a_command_that_does_not_exist_is_said_and_not_retried(world: World) -> None:
    request = world.request(MISSING)
    await world.runtime.start(request)
    status = await status_when(
        world.runtime, request.workload.id, lambda status: status.state is WorkloadState.FAILED, "failed"
    )
    assert "command not found: 'no-such-program'" in status.replicas[0].error
    assert status.restarts == 0
    await world.runtime.heal(request.workload.id)
    healed = await world.runtime.inspect(request.workload.id)
    assert healed is not None
    assert healed.replicas == status.replicas


async def test_a_crashed_replica_is_started_again_and_counted(world: World) -> None:
    request = world.request()
    await world.runtime.start(request)
    before = await until_listening(world.runtime, request.workload.id)
    world.crash(request.workload.id, before.replicas[0].pid or 0)
    after = await status_when(
        world.runtime,
        request.workload.id,
        lambda status: status.restarts == 1 and status.replicas[0].listening,
        "listening again",
    )
    assert after.replicas[0].exit_code
    assert after.endpoints == before.endpoints


async def test_logs_have_the_last_lines_of_each_replica_and_outlive_it(world: World) -> None:
    request = world.request(NOISY, replicas=2)
    await world.runtime.start(request)
    await until_listening(world.runtime, request.workload.id)

    async def last_lines_are_there() -> bool:
        lines = await world.runtime.logs(request.workload.id, lines=1000)
        return {"replica-0 | line 299", "replica-1 | line 299"} <= set(lines)

    await eventually(last_lines_are_there, "300 lines of both replicas")
    assert len(await world.runtime.logs(request.workload.id, lines=10)) == 10
    await world.runtime.stop(request.workload.id)
    assert await last_lines_are_there()


async def test_capacity_counts_what_exists(world: World) -> None:
    request = world.request(replicas=2, resources=Resources(gpus=1, cpus=0.5, memory_mb=100))
    assert (await world.runtime.capacity()).used == Resources()
    await world.runtime.start(request)
    capacity = await world.runtime.capacity()
    assert capacity.total == CAPACITY
    assert capacity.used == Resources(gpus=2, cpus=1.0, memory_mb=200)
    await world.runtime.stop(request.workload.id)
    assert (await world.runtime.capacity()).used == Resources()


async def test_gpus_that_are_not_free_are_refused_and_nothing_starts(world: World) -> None:
    first = world.request(resources=Resources(gpus=3))
    await world.runtime.start(first)
    second = world.request(replicas=2, resources=Resources(gpus=1))
    with pytest.raises(RuntimeFailure, match=r"wants 2 GPUs.* 1 of 4 are free"):
        await world.runtime.start(second)
    assert await world.runtime.inspect(second.workload.id) is None
    assert world.left_over(second.workload.id) == []


async def test_another_controller_finds_what_runs(world: World) -> None:
    request = world.request(replicas=2)
    await world.runtime.start(request)
    before = await until_listening(world.runtime, request.workload.id)
    successor = world.restart_controller()
    assert await successor.inspect(request.workload.id) == before
    assert list(await successor.list()) == [before]
    assert (await successor.start(request)).endpoints == before.endpoints
    await successor.stop(request.workload.id)
    assert world.left_over(request.workload.id) == []
    assert await world.runtime.inspect(request.workload.id) is None


async def test_what_a_workload_uses_is_told_while_it_runs_and_only_for_those_asked_for(world: World) -> None:
    first, second = world.request(replicas=2), world.request()
    for request in (first, second):
        await world.runtime.start(request)
        await until_listening(world.runtime, request.workload.id)
    usages = await world.runtime.usage([first.workload.id, "never-was", "../never-was"])
    assert list(usages) == [first.workload.id]
    assert usages[first.workload.id].memory_bytes > 2**20
    assert usages[first.workload.id].cpu_seconds >= 0
    await world.runtime.stop(first.workload.id)
    assert list(await world.runtime.usage([first.workload.id, second.workload.id])) == [second.workload.id]
    assert await world.runtime.usage([]) == {}


async def test_nothing_is_told_of_what_a_workload_without_a_process_uses(world: World) -> None:
    request = world.request(MISSING)
    await world.runtime.start(request)
    await status_when(world.runtime, request.workload.id, lambda status: status.state is WorkloadState.FAILED, "failed")
    assert await world.runtime.usage([request.workload.id]) == {}


async def test_what_was_consumed_does_not_shrink_when_a_replica_begins_anew(world: World) -> None:
    request = world.request()
    await world.runtime.start(request)
    status = await until_listening(world.runtime, request.workload.id)
    before = (await world.runtime.usage([request.workload.id]))[request.workload.id]
    world.crash(request.workload.id, status.replicas[0].pid or 0)
    await status_when(
        world.runtime,
        request.workload.id,
        lambda status: status.restarts == 1 and status.replicas[0].listening,
        "listening again",
    )
    after = (await world.runtime.usage([request.workload.id]))[request.workload.id]
    assert after.cpu_seconds >= before.cpu_seconds
