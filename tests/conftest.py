"""What holds for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.docker_engine import DockerEngine, running_engine
from tests.support.ssh_server import SshServer, running_ssh_server

# A slow machine is no failed property; times are measured in bench/.
settings.register_profile("bluegreen", deadline=None)
settings.load_profile("bluegreen")


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    """One for all tests on containers, which run one after the other."""
    with running_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def ssh_server() -> Iterator[SshServer]:
    with running_ssh_server() as server:
        yield server
