"""Images with a real registry: pulled by policy and with Docker's own logins, pinned, and told on the way."""

from __future__ import annotations

import base64
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from bluegreen.control.ports import LaunchRequest, PullProgress
from bluegreen.domain.container import ContainerSettings
from bluegreen.domain.errors import RuntimeFailure
from bluegreen.runtimes.docker.runtime import DockerRuntime
from tests.integration.docker_support import nobody
from tests.integration.docker_support import runtime as runtime
from tests.support.docker_engine import DockerEngine
from tests.support.registry import PASSWORD, USER, Registry
from tests.support.registry import registry as registry
from tests.support_runtime import eventually, make_request, until_listening

LOGIN = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture(autouse=True)
def docker_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Docker's own client would keep its logins."""
    directory = tmp_path / "docker-client"
    directory.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(directory))
    return directory


def log_in(directory: Path, registry: Registry, **entry: str) -> None:
    configuration = {"auths": {registry.host: entry or {"auth": LOGIN}}}
    (directory / "config.json").write_text(json.dumps(configuration))


def request(image: str, pull: str = "missing") -> LaunchRequest:
    return replace(make_request(("/server", "{port}"), image=image), container=ContainerSettings(pull=pull))


async def test_a_missing_image_is_pulled_told_and_pinned(
    runtime: DockerRuntime, docker_engine: DockerEngine, registry: Registry, docker_directory: Path
) -> None:
    log_in(docker_directory, registry)
    image = registry.offer(docker_engine, "app/model:v1", ballast_bytes=8_000_000)
    told: list[PullProgress] = []

    async def tell(progress: PullProgress) -> None:
        told.append(progress)

    prepared = await runtime.prepare(request(image), tell)
    name = image.removesuffix(":v1")
    assert prepared.digest.startswith(f"{name}@sha256:")
    assert ", pulled 8 MB in " in prepared.detail
    assert told[-1].total_bytes > 8_000_000
    assert told[-1].received_bytes == told[-1].total_bytes
    assert "has nothing newer" in (await runtime.prepare(request(image, "always"), nobody)).detail
    again = await runtime.prepare(request(image), tell)
    assert again.digest == prepared.digest
    assert "was here already" in again.detail


@pytest.mark.parametrize("login", ["none", "wrong"])
async def test_without_a_login_the_registry_says_no_and_no_secret_is_told(
    runtime: DockerRuntime, docker_engine: DockerEngine, registry: Registry, docker_directory: Path, login: str
) -> None:
    if login == "wrong":
        log_in(docker_directory, registry, username=USER, password="hash-hash")
    image = registry.offer(docker_engine, "app/model:v1")
    with pytest.raises(RuntimeFailure) as caught:
        await runtime.prepare(request(image), nobody)
    assert f"image {image} is not to be had" in caught.value.message
    assert ("as ada" if login == "wrong" else "without a login") in caught.value.message
    assert "hash-hash" not in str(caught.value)


async def test_a_credential_helper_is_asked(
    runtime: DockerRuntime,
    docker_engine: DockerEngine,
    registry: Registry,
    docker_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = json.dumps({"ServerURL": registry.host, "Username": USER, "Secret": PASSWORD})
    helper = docker_directory / "docker-credential-vault"
    helper.write_text(f"#!/bin/sh\nread registry\ntest \"$1 $registry\" = 'get {registry.host}' && echo '{answer}'\n")
    helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{docker_directory}:/usr/bin:/bin")
    (docker_directory / "config.json").write_text(json.dumps({"credHelpers": {registry.host: "vault"}}))
    prepared = await runtime.prepare(request(registry.offer(docker_engine, "app/model:v1")), nobody)
    assert prepared.digest


async def test_never_pulls_nothing(
    runtime: DockerRuntime, docker_engine: DockerEngine, registry: Registry, docker_directory: Path
) -> None:
    log_in(docker_directory, registry)
    image = registry.offer(docker_engine, "app/model:v1")
    with pytest.raises(RuntimeFailure, match='is not on the Docker Engine, and pull = "never"'):
        await runtime.prepare(request(image, "never"), nobody)


async def test_always_finds_what_a_tag_means_by_now_and_missing_does_not(
    runtime: DockerRuntime, docker_engine: DockerEngine, registry: Registry, docker_directory: Path
) -> None:
    log_in(docker_directory, registry)
    image = registry.offer(docker_engine, "app/model:latest")
    old = await runtime.prepare(request(image), nobody)
    # Somebody pushes another image under the same tag from elsewhere; here the tag still means the old one.
    docker_engine.remove_image(image)
    registry.offer(docker_engine, "app/model:latest", "LABEL build=2")
    await runtime.prepare(replace(request(image), workload=replace(request(image).workload, image=old.digest)), nobody)
    docker_engine.tag(old.digest, image)
    assert (await runtime.prepare(request(image, "missing"), nobody)).digest == old.digest
    assert (await runtime.prepare(request(image, "always"), nobody)).digest != old.digest


async def test_a_tag_that_moves_after_preparing_changes_nothing(
    runtime: DockerRuntime, docker_engine: DockerEngine, registry: Registry, docker_directory: Path
) -> None:
    log_in(docker_directory, registry)
    image = registry.offer(docker_engine, "app/model:v1", "LABEL build=1", kept=True)
    prepared = await runtime.prepare(request(image), nobody)
    docker_engine.remove_image(image)
    docker_engine.make_server_image(image, "LABEL build=2")
    wanted = request(image)
    wanted = replace(wanted, workload=replace(wanted.workload, digest=prepared.digest))
    await runtime.start(wanted)
    await until_listening(runtime, wanted.workload.id)
    (container,) = docker_engine.containers()
    assert container["Labels"]["build"] == "1"


async def test_an_image_that_is_deleted_meanwhile_is_got_again(
    runtime: DockerRuntime, docker_engine: DockerEngine, registry: Registry, docker_directory: Path
) -> None:
    log_in(docker_directory, registry)
    image = registry.offer(docker_engine, "app/model:v1")
    prepared = await runtime.prepare(request(image), nobody)
    docker_engine.remove_image(prepared.digest)
    docker_engine.remove_image(image)
    wanted = request(image)
    wanted = replace(wanted, workload=replace(wanted.workload, digest=prepared.digest))
    await runtime.start(wanted)
    await until_listening(runtime, wanted.workload.id)

    # And once more, with its container, under a running workload.
    docker_engine.remove_containers()
    docker_engine.remove_image(prepared.digest)

    async def is_back() -> bool:
        status = await runtime.inspect(wanted.workload.id)
        return status is not None and all(replica.listening for replica in status.replicas)

    await eventually(is_back, "the replica is back with its image", seconds=60.0)


async def test_an_image_that_nobody_has_any_more_is_said(runtime: DockerRuntime, docker_engine: DockerEngine) -> None:
    docker_engine.make_server_image("localhost/app:built-here")
    prepared = await runtime.prepare(request("localhost/app:built-here"), nobody)
    assert prepared.digest.startswith("sha256:")
    docker_engine.remove_image("localhost/app:built-here")
    wanted = request("localhost/app:built-here")
    wanted = replace(wanted, workload=replace(wanted.workload, digest=prepared.digest))
    with pytest.raises(RuntimeFailure, match="was removed from the engine, and no registry has it"):
        await runtime.start(wanted)
    assert await runtime.list() == []


async def test_what_is_pinned_is_got_by_its_digest_however_the_tag_moved(
    runtime: DockerRuntime, docker_engine: DockerEngine, registry: Registry, docker_directory: Path
) -> None:
    log_in(docker_directory, registry)
    image = registry.offer(docker_engine, "app/model:stable", "LABEL build=1")
    before = await runtime.prepare(request(image), nobody)
    docker_engine.remove_image(image)
    docker_engine.remove_image(before.digest)
    registry.offer(docker_engine, "app/model:stable", "LABEL build=2")
    wanted = request(image, "always")
    wanted = replace(wanted, workload=replace(wanted.workload, digest=before.digest))
    assert (await runtime.prepare(wanted, nobody)).digest == before.digest
    await runtime.start(wanted)
    (container,) = docker_engine.containers()
    assert container["Labels"]["build"] == "1"
