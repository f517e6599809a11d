"""What is declared of containers, seen from inside of real ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bluegreen.control.ports import LaunchRequest
from bluegreen.domain.container import ContainerSettings, Mount
from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.model import WorkloadStatus
from bluegreen.runtimes.docker.runtime import DockerRuntime
from tests.integration.docker_support import nobody
from tests.integration.docker_support import runtime as runtime
from tests.support.docker_engine import DockerEngine
from tests.support_runtime import eventually, make_request, until_listening

PATIENCE_SECONDS = 60.0


def request(settings: ContainerSettings, image: str = "registry/inference-model:v1.0") -> LaunchRequest:
    return replace(make_request(("/server", "{port}"), image=image), container=settings)


async def started(runtime: DockerRuntime, wanted: LaunchRequest) -> WorkloadStatus:
    await runtime.start(wanted)
    return await until_listening(runtime, wanted.workload.id)


def inside(status: WorkloadStatus) -> Path:
    """The container's first process, as this machine's kernel shows it."""
    return Path(f"/proc/{status.replicas[0].pid}")


def mounts(status: WorkloadStatus) -> dict[str, tuple[str, str]]:
    """Where → options of the mount and of what is mounted."""
    lines = [line.split() for line in (inside(status) / "mountinfo").read_text().splitlines()]
    return {fields[4]: (fields[5], fields[-1]) for fields in lines}


async def test_it_is_confined_as_declared(runtime: DockerRuntime, docker_engine: DockerEngine) -> None:
    settings = ContainerSettings(
        shm_mb=48, pids=64, read_only=True, cap_drop=("ALL",), user="1234:5678", tmpfs=("/scratch",)
    )
    status = await started(runtime, request(settings))
    facts = dict(line.split(":\t", 1) for line in (inside(status) / "status").read_text().splitlines() if ":\t" in line)
    assert facts["Uid"].split()[0] == "1234"
    assert facts["Gid"].split()[0] == "5678"
    assert int(facts["CapBnd"], 16) == 0
    seen = mounts(status)
    assert seen["/"][0].split(",")[0] == "ro"
    assert seen["/scratch"][0].split(",")[0] == "rw"
    assert "size=49152k" in seen["/dev/shm"][1]
    (container,) = docker_engine.containers()
    described = docker_engine.ask("GET", f"/containers/{container['Id']}/json").json()
    assert described["HostConfig"]["PidsLimit"] == 64


async def test_without_a_word_the_engine_decides(runtime: DockerRuntime) -> None:
    status = await started(runtime, request(ContainerSettings()))
    assert mounts(status)["/"][0].split(",")[0] == "rw"
    assert "size=65536k" in mounts(status)["/dev/shm"][1]


async def test_it_sees_its_mounts_and_its_secrets(
    runtime: DockerRuntime, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "weights").write_text("42")
    (tmp_path / "token").write_text("hush-hush")
    settings = ContainerSettings(
        mounts=(Mount(str(tmp_path / "models"), "/models", read_only=True), Mount("bluegreen-tests", "/cache")),
        secrets={"api_token": str(tmp_path / "token")},
    )
    wanted = request(settings)
    await runtime.prepare(wanted, nobody)
    status = await started(runtime, wanted)
    root = inside(status) / "root"
    assert (root / "models" / "weights").read_text() == "42"
    assert (root / "run" / "secrets" / "api_token").read_text() == "hush-hush"
    seen = mounts(status)
    assert [seen[path][0].split(",")[0] for path in ("/models", "/cache", "/run/secrets/api_token")] == [
        "ro",
        "rw",
        "ro",
    ]
    (container,) = docker_engine.containers()
    described = docker_engine.ask("GET", f"/containers/{container['Id']}/json").text
    assert "hush-hush" not in described
    await runtime.stop(wanted.workload.id)
    assert docker_engine.ask("GET", "/volumes/bluegreen-tests").status_code == 200, (
        "a named volume outlives its container"
    )


async def test_what_is_not_there_is_said_before_anything_starts(runtime: DockerRuntime, tmp_path: Path) -> None:
    settings = ContainerSettings(
        mounts=(Mount(str(tmp_path / "nowhere"), "/data"),), secrets={"key": str(tmp_path / "lost")}
    )
    with pytest.raises(RuntimeFailure) as caught:
        await runtime.prepare(request(settings), nobody)
    assert caught.value.message == f"mount /data: there is no {tmp_path / 'nowhere'}"
    assert caught.value.hint == f"secret key: there is no {tmp_path / 'lost'}"
    with pytest.raises(RuntimeFailure, match="the Docker Engine has no network nowhere"):
        await runtime.prepare(request(ContainerSettings(network="nowhere")), nobody)


async def test_a_declared_port_needs_no_word_of_the_image(runtime: DockerRuntime) -> None:
    status = await started(runtime, request(ContainerSettings(port=9123)))
    (endpoint,) = status.endpoints
    assert httpx.get(f"http://{endpoint}/").status_code == 200
    assert endpoint.port != 9123


async def test_by_its_own_address_nothing_is_published(runtime: DockerRuntime, docker_engine: DockerEngine) -> None:
    wanted = request(ContainerSettings(publish=False, port=9123))
    status = await started(runtime, wanted)
    (endpoint,) = status.endpoints
    assert (endpoint.host != "127.0.0.1", endpoint.port) == (True, 9123)
    assert httpx.get(f"http://{endpoint}/").status_code == 200
    (container,) = docker_engine.containers()
    assert [port for port in container["Ports"] if "PublicPort" in port] == []


def with_healthcheck(engine: DockerEngine) -> str:
    """An image that calls itself healthy as long as the file /tmp/well is there, asked every second."""
    image = "registry/checked:v1"
    engine.make_server_image(
        image, 'HEALTHCHECK --interval=1s --retries=2 CMD ["/server", "0", "--exists", "/tmp/well"]'
    )
    return image


async def health_is(runtime: DockerRuntime, wanted: LaunchRequest, health: str) -> None:
    async def look() -> bool:
        status = await runtime.inspect(wanted.workload.id)
        return status is not None and status.replicas[0].health == health

    await eventually(look, f"{wanted.workload.id} is {health}", seconds=PATIENCE_SECONDS)


async def test_what_the_image_says_of_its_health_is_seen_as_it_changes(
    runtime: DockerRuntime, docker_engine: DockerEngine
) -> None:
    wanted = request(ContainerSettings(tmpfs=("/tmp",)), with_healthcheck(docker_engine))
    status = await started(runtime, wanted)
    assert status.replicas[0].health == "starting"
    well = inside(status) / "root" / "tmp" / "well"
    well.touch()
    await health_is(runtime, wanted, "healthy")
    well.unlink()
    await health_is(runtime, wanted, "unhealthy")


async def test_it_can_be_told_not_to_ask(runtime: DockerRuntime, docker_engine: DockerEngine) -> None:
    wanted = request(ContainerSettings(healthcheck=False), with_healthcheck(docker_engine))
    assert (await started(runtime, wanted)).replicas[0].health == ""
