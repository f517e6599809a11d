"""A running system for each test: the real daemon, HAProxy and processes, gone afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from examples.system import System

CONFIGURATION = """
[router]
listen = "127.0.0.1:@port@"

[capacity]
gpus = 8
cpus = 64
memory_mb = 65536

[services.inference-model]
hosts = ["*"]
image = "registry/inference-model:v1.9"
workdir = "@models@/{tag}"
command = ["@python@", "@server@", "--port", "{port}"]
gpus = 4

[services.inference-model.health]
path = "/health"
interval_seconds = 0.1
timeout_seconds = 1
rise = 1
fall = 3
deadline_seconds = 15

[services.inference-model.policy]
monitor_seconds = 1
retain_seconds = 60
drain_timeout_seconds = 5
min_requests = 20
poll_seconds = 0.1
"""


@pytest.fixture
def make_system(request: pytest.FixtureRequest) -> Iterator[Callable[..., System]]:
    """Systems made with it end with the test, their directories too."""
    made: list[System] = []

    def make(configuration: str = CONFIGURATION, *, directory: Path | None = None) -> System:
        system = System(directory or Path(tempfile.mkdtemp(prefix="bg-")), configuration)
        made.append(system)
        return system

    yield make
    for system in made:
        report = getattr(request.node, "rep_call", None)
        if report is not None and report.failed:
            print(system.daemon_log())
        system.close()
        shutil.rmtree(system.directory, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    setattr(item, f"rep_{report.when}", report)


@pytest.fixture
def system(make_system: Callable[..., System]) -> System:
    """Up, with v1.9 deployed and alone."""
    made = make_system()
    made.up()
    deployed = made.deploy("v1.9")
    made.wait(deployed, "completed")
    return made
