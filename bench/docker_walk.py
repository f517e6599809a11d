"""The walk in containers: requests that fail under saturating load, and what a deployment adds to the time that a
container needs itself."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator, Sequence

from examples.system import System, free_port
from tests.support.docker_engine import DockerEngine, running_engine

from bench.fast_service import FIRST, SECOND, SERVICE
from bench.processes import temporary_directory
from bench.table import Row, information, median
from bench.zero_loss import rounds, under_load

WALKS = 10
"""Each is two deployments and a rollback."""
DEPLOYMENTS = 20
TARGET_SECONDS = 1.0
POLL_SECONDS = 0.001
CONFIGURATION = """
[router]
listen = "127.0.0.1:@port@"

[runtime]
kind = "docker"
host = "@engine@"
network = "@network@"

[capacity]
gpus = 0
cpus = 1000
memory_mb = 1048576
"""
ONE_SERVICE = """
[services.@name@]
hosts = ["@host@"]
stop_grace_seconds = 5

[services.@name@.health]
path = "/health"
rise = 1
deadline_seconds = 60

[services.@name@.policy]
monitor_seconds = 0.5
retain_seconds = 60
drain_timeout_seconds = 5
"""


def image(version: str) -> str:
    return f"registry/{SERVICE}:{version}"


def service_table(name: str, host: str) -> str:
    return ONE_SERVICE.replace("@name@", name).replace("@host@", host)


@contextlib.contextmanager
def docker_system(engine: DockerEngine, services: str) -> Iterator[System]:
    """Up, with nothing deployed; gone afterwards. Its images are there."""
    for version in (FIRST, SECOND):
        engine.make_server_image(image(version), 'CMD ["/server", "9000"]', "EXPOSE 9000")
    with temporary_directory() as directory:
        text = CONFIGURATION.replace("@engine@", engine.host).replace("@network@", engine.network)
        system = System(directory, text + services)
        try:
            system.up()
            yield system
        finally:
            system.close()
            engine.remove_containers()


def measure() -> Sequence[Row]:
    with running_engine() as engine, docker_system(engine, service_table(SERVICE, "*")) as system:
        system.wait(system.deploy(FIRST, service=SERVICE), "completed")
        return [*under_load(system, min(rounds(), WALKS)), *_deploy_to_switched(engine, system)]


def _deploy_to_switched(engine: DockerEngine, system: System) -> Sequence[Row]:
    alone, switched = [], []
    for _ in range(DEPLOYMENTS):
        alone.append(_alone(engine))
        switched.append(_deployed(system))
    added = [whole - own for whole, own in zip(switched, alone, strict=True)]
    middle = median(added)
    return [
        Row(
            "deploy to switched",
            f"minus the container's own start, image there; rise = 1, no smoke test, median of {DEPLOYMENTS}",
            "<= 1.0 s",
            f"{middle:.3f} s (slowest {max(added):.3f} s)",
            middle <= TARGET_SECONDS,
        ),
        information("the whole of it", "median, slowest", f"{median(switched):.3f} s, {max(switched):.3f} s"),
        information(
            "the container's own start",
            "made and started by hand, until /health answers 200: median, slowest",
            f"{median(alone):.3f} s, {max(alone):.3f} s",
        ),
    ]


def _alone(engine: DockerEngine) -> float:
    """Seconds from asking the engine for a container to its first good health check."""
    port, began = free_port(), time.monotonic()
    body = {
        "Image": image(SECOND),
        "HostConfig": {
            "NetworkMode": engine.network,
            "PortBindings": {"9000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]},
        },
    }
    container = engine.ask("POST", "/containers/create", json=body).json()["Id"]
    try:
        engine.ask("POST", f"/containers/{container}/start").raise_for_status()
        while not _is_healthy(port):
            time.sleep(POLL_SECONDS)
        return time.monotonic() - began
    finally:
        engine.ask("DELETE", f"/containers/{container}", params={"force": "1"})


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _deployed(system: System) -> float:
    """Seconds from the deploy call until the switch was acknowledged; the way back follows, until green is gone."""
    view = system.status(SERVICE)
    version = SECOND if view["slots"][view["active"]]["version"] == FIRST else FIRST
    began = time.monotonic()
    deployment = system.deploy(version, service=SERVICE)
    system.wait(deployment, "monitoring", "retaining")
    seconds = system.switched_at(deployment) - began
    system.call("rollback", service=SERVICE, requested_by="bench")
    system.wait(deployment, "rolled_back")
    return seconds
