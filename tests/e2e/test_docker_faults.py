"""A machine and an engine that don't play along, under a deployment in containers and traffic."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples.system import System, until

from bluegreen.runtimes.docker.container import container_name
from tests.e2e import faults
from tests.e2e.docker_system import (
    PATIENCE_SECONDS,
    assert_only,
    configuration_for,
    containers,
    make_images,
    override,
)
from tests.e2e.docker_system import configuration as configuration
from tests.e2e.faults import answered_by, blue_untouched, image, kill_daemon, replicas, steady_traffic
from tests.e2e.full_disk import the_walk_holds_and_goes_on
from tests.e2e.phases import answers, ended, versions, waiting_to_start
from tests.support.docker_engine import DockerEngine, running_engine

pytest_plugins = ["tests.e2e.fault_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DISK_MB = 48


def test_an_image_that_is_removed_before_the_start_fails_the_deployment_alone(
    shared: System, docker_engine: DockerEngine
) -> None:
    with steady_traffic(shared) as traffic:
        with waiting_to_start(shared, "v2") as deployment:
            docker_engine.remove_image(image("v2"))
        view = ended(shared, deployment)
        make_images(docker_engine, "v2")
    traffic.assert_no_request_failed()
    assert view["phase"] == "failed"
    assert f"image {image('v2')} " in view["cause"]
    assert "was removed from the engine, and no registry has it" in view["cause"]
    assert "green is untouched" in view["cause"]
    current, _ = versions(shared)
    assert current == "v3"
    assert_only(docker_engine, shared, "v3")


def test_an_image_that_is_removed_from_under_its_container_is_not_missed(
    shared: System, docker_engine: DockerEngine
) -> None:
    current, _ = versions(shared)
    docker_engine.remove_image(image(current))
    try:
        (container,) = containers(docker_engine, shared)
        docker_engine.ask("DELETE", f"/containers/{container['Id']}", params={"force": "1"})
        until(lambda: answers(shared, current), f"{current} is back", timeout_seconds=PATIENCE_SECONDS)
        (again,) = containers(docker_engine, shared)
        assert again["Id"] != container["Id"]
    finally:
        make_images(docker_engine, current)
    assert_only(docker_engine, shared, current)


def test_a_container_of_a_stranger_with_our_name_fails_the_deployment_and_is_left_alone(
    own: System, docker_engine: DockerEngine
) -> None:
    with steady_traffic(own) as traffic:
        with waiting_to_start(own, "v2") as deployment:
            green = own.call("deployment", deployment=deployment)["green"]
            name = container_name(_owner(docker_engine, own), green, 0)
            body = {"Image": image("v1"), "Cmd": ["/server", "9000"]}
            made = docker_engine.ask("POST", "/containers/create", params={"name": name}, json=body)
            assert made.status_code == 201, made.text
        try:
            view = ended(own, deployment)
            assert docker_engine.ask("GET", f"/containers/{name}/json").status_code == 200
        finally:
            docker_engine.ask("DELETE", f"/containers/{name}", params={"force": "1"})
    traffic.assert_no_request_failed()
    assert view["phase"] == "failed"
    assert f"the name {name} belongs to a container that is not bluegreen's" in view["cause"]
    assert_only(docker_engine, own, "v3")


def test_a_port_that_a_stranger_took_meanwhile_is_left_to_it(shared: System, docker_engine: DockerEngine) -> None:
    """The container ends while no daemon starts it again, and so does what held its port."""
    current, _ = versions(shared)
    ((_, port),) = [endpoint.split(":") for endpoint in shared.status()["slots"][_active(shared)]["endpoints"]]
    (replica,) = replicas(shared, current)
    kill_daemon(shared)
    os.kill(replica.pid, signal.SIGKILL)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        until(lambda: _bound(stranger, int(port)), "the port is free")
        stranger.listen()
        shared.up()
        until(lambda: answers(shared, current), f"{current} is back", timeout_seconds=PATIENCE_SECONDS)
        assert shared.status()["slots"][_active(shared)]["endpoints"] != [f"127.0.0.1:{port}"]
        with steady_traffic(shared) as traffic:
            traffic.wait_for(50)
    traffic.assert_no_request_failed()
    assert_only(docker_engine, shared, current)


@pytest.fixture
def small_engine() -> Iterator[DockerEngine]:
    with running_engine(data_mb=DISK_MB) as engine:
        make_images(engine, "v1", "v2")
        yield engine


def test_an_engine_whose_disk_is_full_fails_the_deployment_and_nothing_else(
    small_engine: DockerEngine, request: pytest.FixtureRequest
) -> None:
    system = faults.new_system(configuration_for(small_engine))
    try:
        faults.begin(system)
        with blue_untouched(system):
            ballast = _fill(small_engine.directory / "data")
            view = system.wait(system.deploy("v2"), "failed", timeout_seconds=PATIENCE_SECONDS)
            ballast.unlink()
        assert "no space left on device" in view["cause"]
        assert "nothing of it is left running" in view["cause"]
        assert "blue is untouched" in view["cause"]
        assert_only(small_engine, system, "v1")
        with steady_traffic(system) as traffic:
            system.wait(system.deploy("v2", overrides=override(retain_seconds="0")), "completed")
        traffic.assert_no_request_failed()
        assert answered_by(system) == "v2"
    finally:
        faults.finish(system, request)


@pytest.mark.parametrize("phase", ["verifying", "monitoring"])
def test_with_a_full_disk_of_the_daemon_the_walk_holds_and_goes_on_when_there_is_space(
    own: System, docker_engine: DockerEngine, phase: str
) -> None:
    the_walk_holds_and_goes_on(own, phase)
    assert_only(docker_engine, own, "v2")


def _active(system: System) -> str:
    return str(system.status()["active"])


def _owner(engine: DockerEngine, system: System) -> str:
    return str(containers(engine, system)[0]["Labels"]["bluegreen.owner"])


def _bound(stranger: socket.socket, port: int) -> bool:
    try:
        stranger.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def _fill(directory: Path) -> Path:
    """Until the file system has not a byte left."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(2**16))
        except OSError:
            return ballast
