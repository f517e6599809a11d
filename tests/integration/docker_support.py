"""A runtime on the tests' engine, for those that need no more than one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bluegreen.control.ports import PullProgress
from bluegreen.domain.model import Resources
from bluegreen.runtimes.docker.runtime import DockerRuntime
from tests.support.docker_engine import DockerEngine

IMAGE = "registry/inference-model:v1.0"


@pytest.fixture
async def runtime(docker_engine: DockerEngine, tmp_path: Path) -> AsyncIterator[DockerRuntime]:
    """It has IMAGE; what it started is gone with the test."""
    docker_engine.make_server_image(IMAGE)
    made = DockerRuntime(
        tmp_path / "state",
        host=docker_engine.host,
        base_directory=tmp_path,
        capacity=Resources(cpus=8.0, memory_mb=4096),
        network=docker_engine.network,
    )
    yield made
    for status in await made.list():
        await made.stop(status.workload.id)
    await made.aclose()


async def nobody(_: PullProgress) -> None:
    """For whom progress is nothing."""
