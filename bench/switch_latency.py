"""How long a switch takes: from the call of the daemon's API to its answer, and of a group in the router."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shlex
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from examples.system import System, free_port

from bench.fast_service import SECOND, SERVICE, fast_system
from bench.load import Load, LoadReport, load_name, start_load, start_paced_load
from bench.processes import temporary_directory
from bench.table import Row, information, median, percentile, unavailable
from bench.zero_loss import rounds
from bluegreen.domain.model import Color, RouteTarget
from bluegreen.main import make_router
from bluegreen.spec.configuration import Configuration
from bluegreen.spec.loading import load as load_configuration

GROUP_SIZE = 1000
GROUP_SWITCHES = 30
MEDIAN_TARGET_MS, P99_TARGET_MS, GROUP_TARGET_MS = 2.0, 20.0, 10.0
AFTER_THE_SWITCH_SECONDS = (0.1, 0.4)
PACED_PER_SECOND = 1000.0
PARTS = (
    ("rollback call", "from the call on the unix socket to its answer"),
    ("rollback's switch", "in the daemon, decision to the router's acknowledgement"),
    ("deployment's switch", "in the daemon, decision to the router's acknowledgement"),
)
MAX_COMMAND_BYTES = 15_000


def rollback_times(system: System, count: int) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds: of the rollback call as its caller sees it, of the rollback's switch in the daemon, and of
    the deployment's switch in the daemon. The rollback comes at some moment of monitoring: nobody asks for one
    in the very milliseconds of the switch."""
    call, back, there = [], [], []
    for _ in range(count):
        deployment = system.deploy(SECOND, service=SERVICE)
        system.wait(deployment, "monitoring", "retaining")
        time.sleep(random.uniform(*AFTER_THE_SWITCH_SECONDS))
        began = time.perf_counter()
        answer = system.call("rollback", service=SERVICE, requested_by="bench")
        call.append((time.perf_counter() - began) * 1000)
        view = system.wait(deployment, "rolled_back")
        back.append(float(answer["milliseconds"]))
        there.append(float(view["switch_milliseconds"]))
    return call, back, there


def _api_rows(count: int) -> Iterator[Row]:
    with fast_system() as system:
        url = f"http://127.0.0.1:{system.port}/"
        quiet = rollback_times(system, max(5, count // 2))
        paced, paced_report = _under(start_paced_load(url, PACED_PER_SECOND), system, count)
        loaded, report = _under(start_load(url), system, count)
    for kind, times in (
        (f"{paced_report.per_second:,.0f} requests/s", paced),
        (f"{load_name()} at saturation, {report.per_second:,.0f}/s", loaded),
    ):
        for (name, what), values in zip(PARTS, times, strict=True):
            middle, high = median(values), percentile(values, 99)
            measured = f"{what}; {kind}, {count} times"
            yield Row(f"{name}, median", measured, "<= 2 ms", f"{middle:.2f} ms", middle <= MEDIAN_TARGET_MS)
            yield Row(f"{name}, 99th percentile", "as above", "<= 20 ms", f"{high:.2f} ms", high <= P99_TARGET_MS)
    for (name, what), values in zip(PARTS, quiet, strict=True):
        result = f"{median(values):.2f} ms, {percentile(values, 99):.2f} ms"
        yield information(f"{name}, median and p99", f"{what}; no load", result)


def _under(load: Load, system: System, count: int) -> tuple[tuple[list[float], ...], LoadReport]:
    try:
        times = rollback_times(system, count)
    finally:
        report = load.stop()
    return times, report


def many_services(directory: Path, count: int) -> Path:
    """A configuration file with that many services, each with a host and a health check."""
    services = "".join(
        f"""
[services.s{number}]
hosts = ["s{number}.example"]
image = "registry/s{number}:v1"
command = ["server", "--port", "{{port}}"]
[services.s{number}.health]
path = "/health"
"""
        for number in range(count)
    )
    path = directory / "bluegreen.toml"
    path.write_text(f'[router]\nlisten = "127.0.0.1:{free_port()}"\n{services}')
    return path


async def _group_times(configuration: Configuration) -> tuple[list[float], list[float]]:
    """Milliseconds of one switch of all services: by the adapter, and of HAProxy's part of it alone."""
    router = make_router(configuration)
    specs = list(configuration.services.values())
    await router.start(specs)
    try:
        adapter = []
        for turn in range(GROUP_SWITCHES):
            color = list(Color)[turn % 2]
            targets = {spec.name: [RouteTarget(color, f"{spec.name}-{color}")] for spec in specs}
            began = time.perf_counter()
            await router.switch(targets)
            adapter.append((time.perf_counter() - began) * 1000)
        return adapter, _commit_times(configuration.daemon.state_dir / "router")
    finally:
        await router.stop()


def _commit_times(directory: Path) -> list[float]:
    """The same three commands that the adapter sends, sent by hand: prepare, add in chunks, commit."""
    lines = [line for path in sorted(directory.rglob("*.cfg")) for line in path.read_text().splitlines()]
    words = [shlex.split(line) for line in lines if line.split()[:2] == ["stats", "socket"]]
    sockets = [found[2].removeprefix("unix@") for found in words]
    if not sockets:
        return []
    listing = _ask(sockets[0], "show map")
    names = [word.strip("()") for line in listing.splitlines() for word in line.split() if word.endswith("routes.map)")]
    if not names:
        return []
    entries = [" ".join(line.split()[1:]) for line in _ask(sockets[0], f"show map {names[0]}").splitlines() if line]
    times = []
    for _ in range(GROUP_SWITCHES):
        began = time.perf_counter()
        version = _ask(sockets[0], f"prepare map {names[0]}").split()[-1]
        for piece in _pieces(entries):
            _ask(sockets[0], f"add map @{version} {names[0]} <<\n{piece}\n")
        _ask(sockets[0], f"commit map @{version} {names[0]}")
        times.append((time.perf_counter() - began) * 1000)
    return times


def _pieces(lines: Sequence[str]) -> Iterator[str]:
    piece: list[str] = []
    for line in lines:
        if sum(map(len, piece)) + len(piece) + len(line) > MAX_COMMAND_BYTES:
            yield "\n".join(piece)
            piece = []
        piece.append(line)
    yield "\n".join(piece)


def _ask(path: str, command: str) -> str:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.settimeout(5)
        connection.connect(path)
        connection.sendall(command.encode() + b"\n")
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer.decode()


def _group_rows() -> Iterator[Row]:
    with temporary_directory() as directory:
        adapter, commits = asyncio.run(_group_times(load_configuration(many_services(directory, GROUP_SIZE))))
    name, what = f"group of {GROUP_SIZE:,} services", f"{GROUP_SWITCHES} times, no load"
    middle = median(adapter)
    yield Row(
        f"{name}, median", f"the adapter's switch(); {what}", "<= 10 ms", f"{middle:.1f} ms", middle <= GROUP_TARGET_MS
    )
    yield information(f"{name}, slowest", "as above", f"{max(adapter):.1f} ms")
    what = "HAProxy's part alone: prepare, add, commit on its socket"
    if commits:
        middle = median(commits)
        yield Row(f"{name}, in HAProxy", what, "<= 10 ms", f"{middle:.1f} ms", middle <= GROUP_TARGET_MS)
    else:
        yield unavailable(f"{name}, in HAProxy", what, "<= 10 ms", "no routes.map on an admin socket")


def measure() -> Sequence[Row]:
    return [*_api_rows(rounds()), *_group_rows()]
