"""What it costs the daemon to watch two hundred containers in which nothing happens."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import psutil
from examples.system import System, until
from tests.support.docker_engine import DockerEngine, running_engine

from bench.docker_walk import docker_system, image, service_table
from bench.fast_service import FIRST
from bench.table import Row, information

DEFAULT_CONTAINERS = 200
AT_ONCE = 8
WATCH_SECONDS = 60.0
SETTLE_SECONDS = 20.0
MOST_CORES = 0.05


def containers() -> int:
    return int(os.environ.get("BENCH_CONTAINERS", str(DEFAULT_CONTAINERS)))


def measure() -> Sequence[Row]:
    names = [f"service-{number}" for number in range(containers())]
    services = "".join(service_table(name, f"{name}.example") for name in names)
    with running_engine() as engine, docker_system(engine, services) as system:
        _deploy_all(system, names)
        time.sleep(SETTLE_SECONDS)
        daemon, dockerd = psutil.Process(system.daemon_pid()), _dockerd(engine)
        before = [_cpu_seconds(process) for process in (daemon, dockerd)]
        began = time.monotonic()
        time.sleep(WATCH_SECONDS)
        seconds = time.monotonic() - began
        ours, theirs = (
            (_cpu_seconds(process) - used) / seconds for process, used in zip((daemon, dockerd), before, strict=True)
        )
        running = sum(container["State"] == "running" for container in engine.containers())
        memory = daemon.memory_info().rss / 1e6
    return [
        Row(
            f"watching {running} containers",
            f"CPU time of the daemon in {seconds:.0f} s, each a service of its own, checked every 5 s",
            f"<= {MOST_CORES:.0%} of a core",
            f"{ours:.1%}",
            ours <= MOST_CORES and running == len(names),
        ),
        information("the engine meanwhile", "CPU time of dockerd", f"{theirs:.1%} of a core"),
        information("the daemon's memory", "resident", f"{memory:.0f} MB"),
    ]


def _deploy_all(system: System, names: Sequence[str]) -> None:
    """A few at a time: the engine makes containers one after the other anyway."""
    for start in range(0, len(names), AT_ONCE):
        asked = [
            system.call("deploy", service=name, image=image(FIRST), requested_by="bench")["id"]
            for name in names[start : start + AT_ONCE]
        ]
        for deployment in asked:
            system.wait(deployment, "completed", timeout_seconds=300.0)
    until(lambda: len(system.call("status")["services"]) == len(names), "all are there")


def _dockerd(engine: DockerEngine) -> psutil.Process:
    return psutil.Process(int((engine.directory / "pid").read_text()))


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
