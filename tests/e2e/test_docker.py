"""The walk on a real Docker Engine: the same promises, kept with containers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from examples.system import System, until
from examples.traffic import SteadyTraffic

from tests.support.docker_engine import DockerEngine, own_address

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PATIENCE_SECONDS = 120.0
CONFIGURATION = """
[router]
listen = "127.0.0.1:@port@"

[runtime]
kind = "docker"
@host@
network = "@network@"

[capacity]
gpus = 4

[services.inference-model]
hosts = ["*"]
image = "registry/inference-model:v1"
stop_grace_seconds = 5
replicas = 2

[services.inference-model.health]
path = "/health"
interval_seconds = 0.2
timeout_seconds = 2
rise = 1
fall = 5
deadline_seconds = 60

[services.inference-model.policy]
monitor_seconds = 1
retain_seconds = 300
drain_timeout_seconds = 10
min_requests = 20
poll_seconds = 0.1
"""


def elsewhere(engine: DockerEngine) -> str:
    """[runtime] for the engine as if it were on another machine."""
    tls = engine.tls_files()
    files = {"tls_ca": tls.authority, "tls_certificate": tls.certificate, "tls_key": tls.key}
    return "\n".join(
        [
            f'host = "{engine.tls_host}"',
            f'address = "{own_address()}"',
            *(f'{key} = "{path}"' for key, path in files.items()),
        ]
    )


@pytest.fixture(params=["here"])
def system(request: pytest.FixtureRequest, make_system: Callable[..., System], docker_engine: DockerEngine) -> System:
    """Up, with v1 deployed and alone."""
    host = elsewhere(docker_engine) if request.param == "elsewhere" else f'host = "{docker_engine.host}"'
    for version in ("v1", "v2"):
        docker_engine.make_server_image(f"registry/inference-model:{version}", 'CMD ["/server", "9000"]', "EXPOSE 9000")
    made = make_system(CONFIGURATION.replace("@host@", host).replace("@network@", docker_engine.network))
    made.up()
    made.wait(made.deploy("v1"), "completed", timeout_seconds=PATIENCE_SECONDS)
    return made


def versions(engine: DockerEngine) -> list[str]:
    """Of the containers that there are."""
    return sorted(container["Labels"]["version"] for container in engine.containers())


def traffic(system: System) -> SteadyTraffic:
    return SteadyTraffic("127.0.0.1", system.port, "/", concurrency=4, rate_per_second=100)


@pytest.mark.parametrize("system", ["here", "elsewhere"], indirect=True)
async def test_there_and_back_loses_no_request(system: System, docker_engine: DockerEngine) -> None:
    load = traffic(system)
    await load.start()
    there = await asyncio.to_thread(system.deploy, "v2")
    await asyncio.to_thread(system.wait, there, "retaining", timeout_seconds=PATIENCE_SECONDS)
    assert versions(docker_engine) == ["v1", "v1", "v2", "v2"]
    back = await asyncio.to_thread(system.call, "rollback", service="inference-model", requested_by="test")
    await asyncio.to_thread(system.wait, there, "rolled_back", timeout_seconds=PATIENCE_SECONDS)
    report = await load.stop()

    assert back["how"] == "switch"
    assert report.failed == 0, report.failures
    assert set(report.by_version) == {"v1", "v2"}
    until(lambda: versions(docker_engine) == ["v1", "v1"], "v2 is gone", timeout_seconds=PATIENCE_SECONDS)


def test_an_image_that_is_nowhere_fails_and_blue_is_untouched(system: System, docker_engine: DockerEngine) -> None:
    before = {container["Id"] for container in docker_engine.containers()}
    deployment = system.deploy("v404")
    view = system.wait(deployment, "failed", timeout_seconds=PATIENCE_SECONDS)
    nothing = "nothing was started; blue is untouched: image registry/inference-model:v404 is not to be had"
    assert view["cause"].startswith(nothing)
    assert {container["Id"] for container in docker_engine.containers()} == before
    assert system.status()["active"] == "blue"


async def test_a_daemon_that_is_killed_finds_its_containers_again(system: System, docker_engine: DockerEngine) -> None:
    before = {container["Id"] for container in docker_engine.containers()}
    load = traffic(system)
    await load.start()
    os.kill(await asyncio.to_thread(system.daemon_pid), signal.SIGKILL)
    await asyncio.to_thread(system.up)
    there = await asyncio.to_thread(system.deploy, "v2")
    await asyncio.to_thread(system.wait, there, "retaining", timeout_seconds=PATIENCE_SECONDS)
    report = await load.stop()
    assert report.failed == 0, report.failures
    assert before < {container["Id"] for container in docker_engine.containers()}
    assert versions(docker_engine) == ["v1", "v1", "v2", "v2"]


def test_an_engine_without_gpus_fails_green_with_what_to_do_and_blue_is_untouched(
    system: System, docker_engine: DockerEngine
) -> None:
    before = {container["Id"] for container in docker_engine.containers()}
    deployment = system.deploy("v2", overrides={"gpus": "1"})
    view = system.wait(deployment, "failed", timeout_seconds=PATIENCE_SECONDS)
    assert "install NVIDIA's container toolkit" in view["cause"]
    assert {container["Id"] for container in docker_engine.containers()} == before
    assert system.status()["active"] == "blue"


async def test_the_six_tools_do_it_with_containers(system: System, docker_engine: DockerEngine) -> None:
    load = traffic(system)
    await load.start()

    async def ask(operation: str, **arguments: Any) -> Any:
        return await asyncio.to_thread(system.call, operation, **arguments)

    labels = {"app": "inference-model", "env": "production"}
    (blue,) = (await ask("workload_list", labels=labels))["items"]
    green = await ask(
        "workload_submit",
        name="inference-model-green",
        image="registry/inference-model:v2",
        labels={**labels, "deployment": "green", "version": "v2"},
    )
    found: dict[str, Any] = {}
    while found.get("state") != "running":
        found = await ask("workload_get", workloadId=green["id"])
        assert found["state"] in ("pending", "scheduled", "running"), found
        await asyncio.sleep(0.05)
    assert found["spec"]["digest"].startswith("sha256:")
    assert len(found["endpoints"]) == 2
    moved = await ask("workload_submit", name="inference-model-service", labels={**labels, "activeDeployment": "green"})
    assert moved["route"]["activeDeployment"] == "green"
    stopped = await ask("workload_stop", workloadId=blue["id"])
    assert stopped["state"] == "draining"
    await asyncio.to_thread(until, lambda: versions(docker_engine) == ["v2", "v2"], "v1 is gone", timeout_seconds=60.0)
    logs = await ask("workload_logs", workloadId=green["id"])
    assert "replica-0 | ready" in logs["lines"]
    report = await load.stop()
    assert report.failed == 0, report.failures
    assert set(report.by_version) == {"v1", "v2"}


async def test_a_row_of_walks_under_saturating_load_loses_no_request(
    system: System, docker_engine: DockerEngine
) -> None:
    """As fast as answers come, on kept and on new connections: there, back, and there for good, twice."""
    loads = [
        SteadyTraffic("127.0.0.1", system.port, "/", concurrency=4, keep_alive=keep_alive)
        for keep_alive in (True, False)
    ]
    for load in loads:
        await load.start()
    await asyncio.to_thread(walks, system)
    reports = [await load.stop() for load in loads]
    assert [report.failed for report in reports] == [0, 0], [report.failures for report in reports]
    assert all(set(report.by_version) == {"v1", "v2"} for report in reports)
    until(lambda: versions(docker_engine) == ["v1", "v1"], "v1 alone", timeout_seconds=PATIENCE_SECONDS)


def walks(system: System) -> None:
    for version in ("v2", "v1"):
        there = system.deploy(version)
        system.wait(there, "retaining", timeout_seconds=PATIENCE_SECONDS)
        system.call("rollback", service="inference-model", requested_by="test")
        system.wait(there, "rolled_back", timeout_seconds=PATIENCE_SECONDS)
        again = system.deploy(version, overrides={"policy.retain_seconds": "0"})
        system.wait(again, "completed", timeout_seconds=PATIENCE_SECONDS)
