"""What the tests of faults have in containers: the configuration, images that misbehave on demand, and what must be
left on the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from examples.system import System, until

from tests.e2e.faults import image
from tests.support.docker_engine import DockerEngine

PATIENCE_SECONDS = 60.0
CONFIGURATION = """
[daemon]
state_dir = ".bluegreen"

[router]
listen = "127.0.0.1:@port@"

[runtime]
kind = "docker"
host = "@engine@"
network = "@network@"

[capacity]
gpus = 0
cpus = 64
memory_mb = 65536

[services.inference-model]
hosts = ["*"]
stop_grace_seconds = 3
env = {DIRECTORY = "@directory@"}

[services.inference-model.container]
mounts = [{source = "@directory@", target = "/orders", read_only = true}]

[services.inference-model.health]
path = "/health"
interval_seconds = 0.1
timeout_seconds = 2
rise = 1
fall = 3
deadline_seconds = 30

[services.inference-model.policy]
monitor_seconds = 1
retain_seconds = 60
drain_timeout_seconds = 1
min_requests = 5
poll_seconds = 0.05
"""
"""The environment has the directory so that the processes in the containers are known to be this system's."""

BEHAVIOURS: Mapping[str, tuple[str, ...]] = {
    "v1": (),
    "v2": (),
    "v3": (),
    "sick": ("--sick", "/health"),
    "smokes": ("--sick", "/smoke"),
    "fails": ("--fail-every", "2"),
    "eats": ("--eat-after", "20"),
    "checked": (),
}
"""Options of tiny_server.c, by version."""
UNHEALTHY = 'HEALTHCHECK --interval=1s --retries=1 CMD ["/server", "0", "--exists", "/orders/never"]'


def server_changes(version: str, *options: str) -> tuple[str, ...]:
    """Lines of a Dockerfile."""
    words = ["/server", "9000", "--directory", "/orders", *options, "--version", version]
    command = ", ".join(f'"{word}"' for word in words)
    return (f"CMD [{command}]", "EXPOSE 9000", *((UNHEALTHY,) if version == "checked" else ()))


def make_images(engine: DockerEngine, *versions: str) -> None:
    for version in versions or BEHAVIOURS:
        engine.make_server_image(image(version), *server_changes(version, *BEHAVIOURS[version]))


def configuration_for(engine: DockerEngine) -> str:
    return CONFIGURATION.replace("@engine@", engine.host).replace("@network@", engine.network)


@pytest.fixture(scope="module")
def configuration(docker_engine: DockerEngine) -> str:
    make_images(docker_engine)
    return configuration_for(docker_engine)


def containers(engine: DockerEngine, system: System) -> list[dict[str, Any]]:
    owner = str(system.directory)
    return [one for one in engine.containers() if one["Labels"].get("bluegreen.owner", "").startswith(owner)]


def assert_only(engine: DockerEngine, system: System, version: str, count: int = 1) -> None:
    """Nothing is left over and nothing is there twice."""

    def seen() -> list[tuple[str, str]]:
        return [(one["Labels"]["version"], one["State"]) for one in containers(engine, system)]

    until(
        lambda: seen() == [(version, "running")] * count,
        f"{count} containers of {version} alone",
        timeout_seconds=PATIENCE_SECONDS,
        state=seen,
    )


def override(**settings: str) -> dict[str, str]:
    """Of the policy."""
    return {f"policy.{name}": value for name, value in settings.items()}
