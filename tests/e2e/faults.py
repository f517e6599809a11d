"""What the tests of faults share: a configuration, traffic in the background, and what "blue was untouched",
"nothing leaked" and "the history is consistent" mean."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import signal
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from examples.system import TERMINAL, System, until
from examples.traffic import SteadyTraffic, TrafficReport, is_success

from bluegreen.domain.deployment import Deployment, replay
from bluegreen.stores.sqlite import SqliteEventStore

SERVICE = "inference-model"
GREEN = Path(__file__).with_name("green.py")
QUICK = {"policy.monitor_seconds": "0.1", "policy.retain_seconds": "0"}
"""Overrides for deployments that only set the scene."""

CONFIGURATION = """
[daemon]
state_dir = ".bluegreen"

[router]
listen = "127.0.0.1:@port@"

[capacity]
gpus = 8
cpus = 64
memory_mb = 65536

[services.inference-model]
hosts = ["*"]
command = ["@python@", "@green@", "{tag}", "{port}", "@directory@"]
gpus = 4
memory_mb = 1024
stop_grace_seconds = 3

[services.inference-model.health]
path = "/health"
interval_seconds = 0.05
timeout_seconds = 1
rise = 2
fall = 3
deadline_seconds = 15

[services.inference-model.policy]
monitor_seconds = 1
retain_seconds = 60
drain_timeout_seconds = 1
min_requests = 5
poll_seconds = 0.05
"""


def image(version: str) -> str:
    return f"registry/{SERVICE}:{version}"


def new_system(configuration: str = CONFIGURATION) -> System:
    """Not started. `close` ends it; its directory is the caller's to remove."""
    directory = Path(tempfile.mkdtemp(prefix="bg-"))
    return System(directory, configuration.replace("@green@", str(GREEN)).replace("@directory@", str(directory)))


def begin(system: System, version: str = "v1") -> System:
    """Up, with this version alone."""
    system.up()
    system.wait(system.deploy(version, overrides=QUICK), "completed")
    return system


def finish(system: System, request: pytest.FixtureRequest) -> None:
    report = getattr(request.node, "rep_call", None)
    if report is None or report.failed:
        print(system.daemon_log())
    system.close()
    for process in own_processes(system):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    shutil.rmtree(system.directory, ignore_errors=True)


# -- processes ------------------------------------------------------------------------------------------------------


def own_processes(system: System, containing: str = "") -> list[psutil.Process]:
    found = []
    for pid in system.processes(containing):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def in_containers(system: System) -> bool:
    return 'kind = "docker"' in system.config.read_text()


def replicas(system: System, version: str) -> list[psutil.Process]:
    return own_processes(system, f"--version\0{version}\0" if in_containers(system) else f"green.py\0{version}\0")


def replica_shims(system: System) -> list[psutil.Process]:
    return own_processes(system, "process/shim.py")


def haproxy_master(system: System) -> psutil.Process:
    everything = own_processes(system, "haproxy.cfg")
    pids = {process.pid for process in everything}
    (master,) = (process for process in everything if process.ppid() not in pids)
    return master


def haproxy_workers(system: System) -> list[psutil.Process]:
    master = haproxy_master(system)
    return [process for process in own_processes(system, "haproxy.cfg") if process.pid != master.pid]


def haproxy_shims(system: System) -> list[psutil.Process]:
    found = []
    for process in own_processes(system, "shim.py"):
        with contextlib.suppress(psutil.NoSuchProcess):
            if not any("process/shim.py" in word for word in process.cmdline()):
                found.append(process)
    return found


def kill_daemon(system: System) -> None:
    """Asks it nothing: a question may take as long as what it is stuck in."""
    (process,) = own_processes(system, "bluegreen.main")
    process.kill()
    ended(process)


def ended(process: psutil.Process) -> None:
    """Returns when the process has ended, reaped or not."""

    def gone() -> bool:
        try:
            return process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    until(gone, f"end of {process}")


@contextlib.contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """The process stands still."""
    os.kill(process.pid, signal.SIGSTOP)
    until(lambda: process.status() == psutil.STATUS_STOPPED, f"SIGSTOP of {process}")
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)


# -- traffic --------------------------------------------------------------------------------------------------------


class Traffic:
    """`report` is there after the end of the `with` block."""

    def __init__(self, load: SteadyTraffic) -> None:
        self.load = load
        self.report: TrafficReport

    def wait_for(self, requests: int) -> None:
        """Until so many more have been answered."""
        wanted = self.load.report().sent + requests
        until(lambda: self.load.report().sent >= wanted, f"{requests} requests", timeout_seconds=60.0)

    def assert_only_bad_answers_of(self, version: str) -> None:
        """Whatever failed, this version answered with 500 itself."""
        report = self.report
        answers = zip(report.statuses, report.versions, strict=True)
        bad = {(status, report.version_names[name]) for status, name in answers if not is_success(status)}
        assert bad <= {(500, version)}, (bad, report.failures)

    def assert_no_request_failed(self) -> None:
        assert self.report.sent > 0
        assert self.report.failed == 0, (self.report.by_status, self.report.failures)


@contextlib.contextmanager
def steady_traffic(system: System, *, rate_per_second: float = 60.0, path: str = "/") -> Iterator[Traffic]:
    """Requests from a thread of its own all the time."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    load = SteadyTraffic("127.0.0.1", system.port, path, concurrency=4, rate_per_second=rate_per_second)
    traffic = Traffic(load)
    asyncio.run_coroutine_threadsafe(load.start(), loop).result()
    try:
        yield traffic
    finally:
        traffic.report = asyncio.run_coroutine_threadsafe(load.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def answered_by(system: System, *, timeout_seconds: float = 5.0) -> str:
    """The version that answers a request through the router; the status when it is not 200."""
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=timeout_seconds)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        return answer.headers.get("X-Version", "?") if answer.status == 200 else f"HTTP {answer.status}"
    finally:
        connection.close()


@contextlib.contextmanager
def open_stream(system: System) -> Iterator[None]:
    """A stream through the router, begun on the side that has the traffic now, and longer than any test."""
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=10)
    connection.request("GET", "/stream?tokens=6000&delay_ms=100")
    answer = connection.getresponse()
    assert answer.status == 200
    answer.read(8)
    try:
        yield
    finally:
        answer.close()
        connection.close()


# -- what must hold -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Blue:
    """What has the traffic before a deployment that must not touch it."""

    system: System
    workload_id: str
    version: str
    pids: Sequence[int]
    generation: int
    weights: dict[str, int]

    @classmethod
    def of(cls, system: System) -> Blue:
        view = system.status()
        slot = view["slots"][view["active"]]
        route = view["route"]
        pids = sorted(process.pid for process in replicas(system, slot["version"]))
        assert pids
        return cls(system, slot["workload_id"], slot["version"], pids, route["generation"], route["weights"])

    def assert_untouched(self) -> None:
        """Same processes, same route, and alone."""
        assert Blue.of(self.system) == self
        assert answered_by(self.system) == self.version
        assert_settled(self.system, self.version)


@contextlib.contextmanager
def blue_untouched(system: System) -> Iterator[Blue]:
    """Whatever happens inside, blue does not notice and no request fails or leaves it."""
    blue = Blue.of(system)
    with steady_traffic(system) as traffic:
        yield blue
    traffic.assert_no_request_failed()
    assert set(traffic.report.by_version) == {blue.version}
    blue.assert_untouched()


def history(system: System) -> list[Deployment]:
    """Every deployment as the log on disk has it, oldest first. Raises IllegalEvent when it can't have happened."""

    async def read() -> list[Deployment]:
        store = SqliteEventStore(system.directory / ".bluegreen" / "events.sqlite", read_only=True)
        await store.open()
        try:
            ids = reversed(await store.deployments(SERVICE, limit=1000))
            return [replay(await store.read(deployment_id)) for deployment_id in ids]
        finally:
            await store.close()

    return asyncio.run(read())


def all_ended(system: System) -> bool:
    with contextlib.closing(sqlite3.connect(system.directory / ".bluegreen" / "events.sqlite")) as database:
        (unfinished,) = database.execute("SELECT COUNT(*) FROM deployments WHERE finished = 0").fetchone()
    return bool(unfinished == 0)


def assert_settled(system: System, version: str) -> None:
    """No deployment is under way, exactly this version runs and has the traffic, and every part is there once."""
    view = system.status()
    assert view["deployment"]["phase"] in TERMINAL
    slot = view["slots"][view["active"]]
    assert slot["version"] == version
    assert [other["workload_id"] for other in view["slots"].values() if other is not slot] == [None]
    assert view["route"]["weights"][view["active"]] == 100
    until(
        lambda: len(replicas(system, version)) == slot["replicas"] and answered_by(system) == version,
        f"{version} answers",
        state=lambda: system.status(),
    )
    expected = _expected(slot["replicas"], 0 if in_containers(system) else slot["replicas"])
    until(lambda: _census(system) == expected, "no process too many", state=lambda: _census(system))
    ended_as = {deployment.id: str(deployment.phase) for deployment in history(system)}
    assert set(ended_as.values()) <= set(TERMINAL)
    shown = system.call("history", service=SERVICE, limit=1000)["deployments"]
    assert {deployment["id"]: deployment["phase"] for deployment in shown} == ended_as


def _census(system: System) -> dict[str, int]:
    return {
        "daemon": len(own_processes(system, "bluegreen.main")),
        "haproxy shim": len(haproxy_shims(system)),
        "haproxy": len(own_processes(system, "haproxy.cfg")),
        "replica shims": len(replica_shims(system)),
        "replicas": len(own_processes(system, "/server\0" if in_containers(system) else "green.py")),
        "all": len(own_processes(system)),
    }


def _expected(replicas: int, shims: int) -> dict[str, int]:
    each = {"daemon": 1, "haproxy shim": 1, "haproxy": 2, "replica shims": shims, "replicas": replicas}
    return {**each, "all": sum(each.values())}


def error_of(done: Any, exit_code: int) -> str:
    """What a failed command told the user on stderr."""
    assert done.returncode == exit_code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr + done.stdout
    assert "defect" not in done.stderr
    return str(done.stderr)


def json_of(done: Any) -> Any:
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)
