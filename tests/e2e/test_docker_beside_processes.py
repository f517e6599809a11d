"""One daemon, one service of processes and one of containers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from examples.system import System
from examples.traffic import SteadyTraffic

from tests.support.docker_engine import DockerEngine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CONFIGURATION = """
[router]
listen = "127.0.0.1:@port@"

[runtime]
host = "@engine@"
network = "@network@"

[capacity]
gpus = 0
cpus = 64
memory_mb = 65536

[services.inference-model]
hosts = ["processes.example"]
image = "registry/inference-model:v1.9"
workdir = "@models@/{tag}"
command = ["@python@", "@server@", "--port", "{port}"]
health = { path = "/health", interval_seconds = 0.1, rise = 1 }
policy = { monitor_seconds = 1, retain_seconds = 60, min_requests = 5 }

[services.api]
hosts = ["containers.example"]
runtime = "docker"
image = "registry/api:v1"
health = { path = "/health", interval_seconds = 0.1, rise = 1 }
policy = { monitor_seconds = 1, retain_seconds = 60, min_requests = 5 }
"""


@pytest.fixture
def system(make_system: Callable[..., System], docker_engine: DockerEngine) -> System:
    for version in ("v1", "v2"):
        docker_engine.make_server_image(f"registry/api:{version}", 'CMD ["/server", "9000"]', "EXPOSE 9000")
    text = CONFIGURATION.replace("@engine@", docker_engine.host).replace("@network@", docker_engine.network)
    made = make_system(text)
    made.up("--deploy")
    return made


def traffic(system: System, host: str) -> SteadyTraffic:
    return SteadyTraffic("127.0.0.1", system.port, "/health", headers={"Host": host}, concurrency=2, rate_per_second=50)


async def test_each_is_deployed_where_it_runs_and_the_other_does_not_notice(
    system: System, docker_engine: DockerEngine
) -> None:
    loads = {
        "inference-model": traffic(system, "processes.example"),
        "api": traffic(system, "containers.example"),
    }
    for load in loads.values():
        await load.start()
    for service, version in (("inference-model", "v2.0"), ("api", "v2")):
        # The first deployments may still be watched.
        before = await asyncio.to_thread(system.status, service)
        await asyncio.to_thread(system.wait, before["deployment"]["id"], "completed")
        deployment = await asyncio.to_thread(system.deploy, version, service=service)
        await asyncio.to_thread(system.wait, deployment, "retaining")
    reports = {service: await load.stop() for service, load in loads.items()}
    assert {service: report.failed for service, report in reports.items()} == {"inference-model": 0, "api": 0}
    assert set(reports["inference-model"].by_version) == {"v1.9", "v2.0"}
    assert set(reports["api"].by_version) == {"v1", "v2"}
    assert {container["Labels"]["app"] for container in docker_engine.containers()} == {"api"}
    workloads = await asyncio.to_thread(system.call, "workload_list")
    assert len(workloads["items"]) == 4
