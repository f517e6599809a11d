"""The Docker runtime where it is more than the contract: labels, crashes, strangers, and an engine that goes away."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from bluegreen.control.ports import LaunchRequest
from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.model import Resources, WorkloadState, WorkloadStatus
from bluegreen.runtimes.docker.container import container_name
from bluegreen.runtimes.docker.keeper import Backoff
from bluegreen.runtimes.docker.runtime import DockerRuntime
from tests.support.docker_engine import DockerEngine
from tests.support_runtime import eventually, make_request, until_listening

SERVER = ("/server", "{port}")
PATIENCE_SECONDS = 60.0
Build = Callable[..., DockerRuntime]


@pytest.fixture
async def build(docker_engine: DockerEngine, tmp_path: Path) -> AsyncIterator[Build]:
    """Makes runtimes; they and what they started are gone with the test."""
    docker_engine.make_server_image("registry/inference-model:v1.0")
    built: list[DockerRuntime] = []

    def make(directory: str = "state", *, host: str = "", **more: Any) -> DockerRuntime:
        runtime = DockerRuntime(
            tmp_path / directory,
            host=host or docker_engine.host,
            base_directory=tmp_path,
            capacity=Resources(cpus=8.0, memory_mb=4096),
            network=docker_engine.network,
            backoff=Backoff(first_seconds=0.05, max_seconds=0.2),
            **more,
        )
        built.append(runtime)
        return runtime

    yield make
    for runtime in built:
        with suppress(RuntimeFailure):
            for status in await runtime.list():
                await runtime.stop(status.workload.id)
        await runtime.aclose()


def request(*options: str, replicas: int = 1, **more: Any) -> LaunchRequest:
    return make_request((*SERVER, *options), replicas=replicas, **more)


async def status_when(
    runtime: DockerRuntime, workload_id: str, holds: Callable[[WorkloadStatus], bool], what: str
) -> WorkloadStatus:
    """As `tests.support_runtime` has it, for what takes an engine its time."""
    found: list[WorkloadStatus] = []

    async def look() -> bool:
        status = await runtime.inspect(workload_id)
        if status is not None and holds(status):
            found.append(status)
        return bool(found)

    await eventually(look, f"{what} of {workload_id}", seconds=PATIENCE_SECONDS)
    return found[0]


def came_back(status: WorkloadStatus) -> bool:
    return all(replica.restarts >= 1 and replica.listening for replica in status.replicas)


def has_ended(status: WorkloadStatus) -> bool:
    return all(replica.pid is None for replica in status.replicas)


async def test_containers_say_whose_they_are_and_no_secret(build: Build, docker_engine: DockerEngine) -> None:
    wanted = request(env={"API_KEY": "hush-hush"})
    labels = {"app": "inference-model", "env": "staging", "deployment": "green", "team": "vision"}
    wanted = replace(wanted, workload=replace(wanted.workload, labels=labels))
    await build().start(wanted)
    (container,) = docker_engine.containers()
    expected = labels | {
        "managed-by": "bluegreen",
        "version": "v1.0",
        "image": "registry/inference-model:v1.0",
        "bluegreen.workload": wanted.workload.id,
        "bluegreen.replica": "0",
    }
    assert expected.items() <= container["Labels"].items()
    assert "hush-hush" not in str(container["Labels"])
    described = docker_engine.ask("GET", f"/containers/{container['Id']}/json").json()
    assert "API_KEY=hush-hush" in described["Config"]["Env"]
    assert described["HostConfig"]["RestartPolicy"]["Name"] == "no"


async def test_without_its_directory_it_finds_everything_by_labels(build: Build, tmp_path: Path) -> None:
    wanted = request(replicas=2, env={"MODEL": "{tag}"})
    first = build()
    await first.start(wanted)
    before = await until_listening(first, wanted.workload.id)
    await first.aclose()
    shutil.rmtree(tmp_path / "state")

    second = build()
    assert await second.inspect(wanted.workload.id) == before
    assert await second.list() == [before]
    assert await second.start(wanted) == before
    os.kill(before.replicas[1].pid or 0, signal.SIGKILL)
    after = await status_when(second, wanted.workload.id, lambda status: status.restarts == 1, "restarted")
    assert after.replicas[0] == before.replicas[0]
    await second.stop(wanted.workload.id)
    assert await second.list() == []


async def test_a_start_that_was_cut_short_is_completed_and_nothing_is_made_twice(
    build: Build, docker_engine: DockerEngine
) -> None:
    wanted = request(replicas=3)
    first = build()
    await first.start(wanted)
    before = await until_listening(first, wanted.workload.id)
    await first.aclose()
    name = container_name(str(first.directory), wanted.workload.id, 2)
    docker_engine.ask("DELETE", f"/containers/{name}", params={"force": "1"})

    second = build()
    await second.start(wanted)
    after = await until_listening(second, wanted.workload.id)
    assert after.replicas[:2] == before.replicas[:2]
    assert len(docker_engine.containers()) == 3


async def test_two_controllers_that_start_at_once_make_one_container(build: Build, docker_engine: DockerEngine) -> None:
    wanted = request()
    first, second = build(), build()
    await asyncio.gather(first.start(wanted), second.start(wanted))
    seen = await until_listening(first, wanted.workload.id)
    assert (await until_listening(second, wanted.workload.id)).endpoints == seen.endpoints
    assert len(docker_engine.containers()) == 1
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://{seen.endpoints[0]}/")).status_code == 200


async def test_two_installations_on_one_engine_do_not_meet(build: Build) -> None:
    wanted = request()
    mine, theirs = build("mine"), build("theirs")
    await mine.start(wanted)
    assert await theirs.list() == []
    await theirs.start(wanted)
    await theirs.stop(wanted.workload.id)
    await until_listening(mine, wanted.workload.id)


async def test_the_container_of_a_stranger_is_named_and_left_alone(build: Build, docker_engine: DockerEngine) -> None:
    wanted = request()
    runtime = build()
    name = container_name(str(runtime.directory), wanted.workload.id, 0)
    body = {"Image": "registry/inference-model:v1.0", "Cmd": ["/server", "8080"]}
    assert docker_engine.ask("POST", "/containers/create", params={"name": name}, json=body).status_code == 201
    try:
        with pytest.raises(RuntimeFailure, match=f"the name {name} belongs to a container that is not bluegreen's"):
            await runtime.start(wanted)
        assert await runtime.inspect(wanted.workload.id) is None
        assert docker_engine.ask("GET", f"/containers/{name}/json").status_code == 200
    finally:
        docker_engine.ask("DELETE", f"/containers/{name}", params={"force": "1"})


async def test_an_image_that_is_nowhere_is_said_before_anything_starts(build: Build) -> None:
    runtime = build()
    wanted = make_request(SERVER, image="localhost:9/nobody/nothing:v9")
    with pytest.raises(
        RuntimeFailure, match=r"image localhost:9/nobody/nothing:v9 is not to be had .without a login.: Get"
    ):
        await runtime.start(wanted)
    assert await runtime.inspect(wanted.workload.id) is None


async def test_the_image_decides_command_and_port_when_nothing_is_asked_for(
    build: Build, docker_engine: DockerEngine
) -> None:
    image = "registry/inference-model:own"
    docker_engine.make_server_image(image, 'CMD ["/server", "9000"]', "EXPOSE 9000")
    runtime = build()
    wanted = make_request((), image=image)
    await runtime.start(wanted)
    status = await until_listening(runtime, wanted.workload.id)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://{status.endpoints[0]}/")
    assert answer.headers["x-version"] == "v1.0"


async def test_a_published_port_alone_is_not_listening(build: Build) -> None:
    """The engine accepts connections as soon as the container exists."""
    runtime = build()
    wanted = request("--delay", "600")
    await runtime.start(wanted)
    status = await status_when(runtime, wanted.workload.id, lambda status: not has_ended(status), "running")
    with suppress(ConnectionRefusedError):  # Podman has no such proxy.
        _, writer = await asyncio.open_connection(status.endpoints[0].host, status.endpoints[0].port)
        writer.close()
    again = await runtime.inspect(wanted.workload.id)
    assert again is not None
    assert (again.state, again.replicas[0].listening) == (WorkloadState.RUNNING, False)


async def test_one_that_ignores_sigterm_is_killed_after_its_grace(build: Build, docker_engine: DockerEngine) -> None:
    runtime = build()
    wanted = request("--ignore-term", stop_grace_seconds=1.0)
    await runtime.start(wanted)
    await until_listening(runtime, wanted.workload.id)
    await runtime.stop(wanted.workload.id)
    assert docker_engine.containers() == []
    assert await runtime.logs(wanted.workload.id) == ["replica-0 | ready"]


async def test_exit_codes_are_seen_and_each_end_is_in_the_log(build: Build) -> None:
    runtime = build()
    wanted = request("--exit", "3")
    await runtime.start(wanted)
    status = await status_when(runtime, wanted.workload.id, lambda status: status.restarts >= 2, "restarted twice")
    assert status.replicas[0].exit_code == 3
    assert "replica-0 | bluegreen: ended with exit code 3; it is started again" in await runtime.logs(
        wanted.workload.id
    )


async def test_the_kernel_killing_it_for_its_memory_is_said(build: Build) -> None:
    runtime = build()
    wanted = request("--eat", resources=Resources(memory_mb=16))
    await runtime.start(wanted)
    status = await status_when(runtime, wanted.workload.id, lambda status: status.restarts >= 1, "restarted")
    assert status.replicas[0].exit_code == 137
    assert any("its memory of 16 MiB was used up" in line for line in await runtime.logs(wanted.workload.id))


async def test_output_of_every_run_is_kept_once_and_in_order(build: Build) -> None:
    runtime = build()
    wanted = request("--lines", "3")
    await runtime.start(wanted)
    first = await until_listening(runtime, wanted.workload.id)
    os.kill(first.replicas[0].pid or 0, signal.SIGKILL)
    await status_when(runtime, wanted.workload.id, came_back, "listening again")
    run = [f"replica-0 | {line}" for line in ("line 0", "line 1", "line 2", "ready")]
    end = "replica-0 | bluegreen: ended with exit code 137; it is started again"

    async def both_runs_are_there() -> bool:
        return list(await runtime.logs(wanted.workload.id)) == [*run, end, *run]

    await eventually(both_runs_are_there, "the output of both runs", seconds=PATIENCE_SECONDS)
    await runtime.stop(wanted.workload.id)
    assert await both_runs_are_there()


async def test_a_removed_container_comes_back(build: Build, docker_engine: DockerEngine) -> None:
    runtime = build()
    wanted = request()
    await runtime.start(wanted)
    await until_listening(runtime, wanted.workload.id)
    (container,) = docker_engine.containers()
    docker_engine.ask("DELETE", f"/containers/{container['Id']}", params={"force": "1"})
    await status_when(runtime, wanted.workload.id, came_back, "made again")


async def test_what_ended_while_nobody_looked_is_failed_and_heals_on_another_port(build: Build) -> None:
    first = build()
    wanted = request()
    await first.start(wanted)
    before = await until_listening(first, wanted.workload.id)
    await first.aclose()
    os.kill(before.replicas[0].pid or 0, signal.SIGKILL)

    second = build()
    ended = await status_when(second, wanted.workload.id, has_ended, "ended")
    assert (ended.state, ended.replicas[0].error) == (WorkloadState.FAILED, "")
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", before.endpoints[0].port))
        stranger.listen()
        await second.heal(wanted.workload.id)
        after = await status_when(second, wanted.workload.id, came_back, "listening again")
    assert after.endpoints != before.endpoints
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://{after.endpoints[0]}/")).status_code == 200


async def test_without_an_engine_every_question_is_an_error_that_says_so(build: Build, tmp_path: Path) -> None:
    runtime = build(host=f"unix://{tmp_path}/nobody.sock")
    questions = (
        lambda: runtime.start(request()),
        lambda: runtime.inspect("some"),
        lambda: runtime.stop("some"),
        lambda: runtime.heal("some"),
        runtime.list,
        runtime.capacity,
        lambda: runtime.usage(["some"]),
    )
    for ask in questions:
        with pytest.raises(RuntimeFailure, match=r"the Docker Engine at unix://.*/nobody\.sock does not answer"):
            await ask()


async def test_after_the_engine_was_away_everything_runs_again(build: Build, docker_engine: DockerEngine) -> None:
    runtime = build()
    wanted = request(replicas=2)
    await runtime.start(wanted)
    before = await until_listening(runtime, wanted.workload.id)
    await asyncio.to_thread(docker_engine.stop)
    try:
        with pytest.raises(RuntimeFailure, match="does not answer"):
            await runtime.inspect(wanted.workload.id)
    finally:
        await asyncio.to_thread(docker_engine.start)
    after = await status_when(runtime, wanted.workload.id, came_back, "listening again")
    assert after.endpoints == before.endpoints
