"""How long it takes to be there, and what being there costs with many services."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from examples.system import System

from bench.deploy_to_switched import CONFIGURATION
from bench.processes import belonging_to, cpu_seconds, resident_mb, temporary_directory
from bench.switch_latency import many_services
from bench.table import Row, information, median

COMMAND_RUNS = 10
UP_RUNS = 5
SERVICES = 1000
SETTLE_SECONDS = 10.0
IDLE_SECONDS = 20.0


def _version_seconds() -> list[float]:
    """The first run, which may have to compile, is not counted."""
    beside = Path(sys.executable).with_name("bluegreen")
    command = [str(beside), "version"] if beside.exists() else [sys.executable, "-m", "bluegreen", "version"]
    times = []
    for _ in range(COMMAND_RUNS + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return times[1:]


def _up_seconds(system: System) -> float:
    began = time.perf_counter()
    system.up()
    return time.perf_counter() - began


def _starts() -> Iterator[Row]:
    times = _version_seconds()
    middle = median(times)
    what = f"wall clock, median of {COMMAND_RUNS}"
    yield Row("bluegreen version", what, "<= 0.2 s", f"{middle:.3f} s (slowest {max(times):.3f} s)", middle <= 0.2)
    with temporary_directory() as directory:
        system = System(directory, CONFIGURATION)
        try:
            times = []
            for turn in range(UP_RUNS + 1):
                took = _up_seconds(system)
                times += [took] if turn else []
                system.run("down", "--force")
                shutil.rmtree(directory / ".bluegreen", ignore_errors=True)
        finally:
            system.close()
    middle = median(times)
    what = f"the command until it says that it is up, empty state directory, median of {UP_RUNS}"
    yield Row("bluegreen up", what, "<= 2 s", f"{middle:.2f} s (slowest {max(times):.2f} s)", middle <= 2.0)


def _share_of_a_core(roots: Sequence[int], before: float, seconds: float) -> float:
    return (cpu_seconds(roots) - before) / seconds * 100


def _many() -> Iterator[Row]:
    with temporary_directory() as directory:
        text = many_services(directory, SERVICES).read_text()
        system = System(directory, text)
        try:
            took = _up_seconds(system)
            daemon = system.daemon_pid()
            router = [pid for pid in belonging_to(directory) if pid != daemon]
            time.sleep(SETTLE_SECONDS)
            daemon_before, router_before, began = cpu_seconds([daemon]), cpu_seconds(router), time.monotonic()
            time.sleep(IDLE_SECONDS)
            seconds = time.monotonic() - began
            daemon_share = _share_of_a_core([daemon], daemon_before, seconds)
            router_share = _share_of_a_core(router, router_before, seconds)
            daemon_mb, router_mb = resident_mb([daemon]), resident_mb(router)
            began = time.perf_counter()
            system.call("status")
            status_seconds = time.perf_counter() - began
        finally:
            system.close()
    name = f"with {SERVICES:,} services"
    idle = f"share of a core over {seconds:.0f} s without requests"
    yield Row(f"daemon's memory, {name}", "resident set", "<= 300 MB", f"{daemon_mb:.0f} MB", daemon_mb <= 300)
    yield Row(f"daemon's CPU, {name}", idle, "<= 5 %", f"{daemon_share:.2f} %", daemon_share <= 5)
    yield information(f"router's memory, {name}", "resident set, all its processes", f"{router_mb:.0f} MB")
    yield information(f"router's CPU, {name}", idle, f"{router_share:.2f} %")
    yield information(f"bluegreen up, {name}", "the command until it says that it is up", f"{took:.2f} s")
    yield information(f"status, {name}", "one call for all services", f"{status_seconds:.2f} s")


def measure() -> Sequence[Row]:
    return [*_starts(), *_many()]
