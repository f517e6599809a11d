"""kill -9 of every part of the system in every phase: the deployment ends, the history is one that can have happened,
and exactly the active version runs. When only the daemon dies, no request notices."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import pytest
from examples.system import TERMINAL, System, until

from tests.e2e import faults
from tests.e2e.faults import (
    SERVICE,
    all_ended,
    answered_by,
    assert_settled,
    error_of,
    haproxy_master,
    haproxy_shims,
    haproxy_workers,
    json_of,
    kill_daemon,
    open_stream,
    replicas,
    steady_traffic,
    stopped,
)

pytest_plugins = ["tests.e2e.fault_fixtures"]

LONG = "60"
SETTLE_SECONDS = 40.0
HANGING_ROUTER_SECONDS = 9.0
"""One patience with HAProxy is 5 s."""


# -- getting into a phase and out of it -----------------------------------------------------------------------------

# Each gets into its phase when it is entered, and lets the deployment go on when it is left.
Hold = Callable[[System, str], contextlib.AbstractContextManager[str]]


def _deploy(system: System, version: str, **policy: str) -> str:
    """Short everywhere, except for what the test holds it with."""
    keys = {"monitor_seconds": "0.3", "retain_seconds": "0", **policy}
    return system.deploy(version, overrides={f"policy.{key}": value for key, value in keys.items()})


@contextmanager
def starting(system: System, version: str) -> Iterator[str]:
    """As early as can be; on a quick machine the workload is just being started."""
    yield _deploy(system, version)


@contextmanager
def waiting_to_start(system: System, version: str) -> Iterator[str]:
    """Surely starting: the slot is still taken by a retained version that drains a stream. Two deployments at once."""
    with open_stream(system):
        first = _deploy(system, "v3", retain_seconds=LONG)
        system.wait(first, "retaining")
        deployment = _deploy(system, version)
        system.wait(first, "cleaning_up")
        system.wait(deployment, "starting")
        yield deployment


@contextmanager
def verifying(system: System, version: str) -> Iterator[str]:
    gate = system.directory / f"hold-{version}"
    gate.touch()
    deployment = _deploy(system, version)
    system.wait(deployment, "verifying")
    until(lambda: len(replicas(system, version)) == 1, f"{version} runs")
    yield deployment
    gate.unlink()


@contextmanager
def awaiting_approval(system: System, version: str) -> Iterator[str]:
    deployment = _deploy(system, version, auto_promote="false")
    system.wait(deployment, "awaiting_approval")
    yield deployment
    _promote(system, deployment)


@contextmanager
def switching(system: System, version: str) -> Iterator[str]:
    """HAProxy stands still, so that its answer to the switch can't come; when it goes on it carries it out."""
    deployment = _deploy(system, version, auto_promote="false")
    system.wait(deployment, "awaiting_approval")
    (worker,) = haproxy_workers(system)
    with stopped(worker):
        system.call("promote", service=SERVICE, requested_by="test")
        system.wait(deployment, "switching")
        yield deployment


@contextmanager
def monitoring(system: System, version: str) -> Iterator[str]:
    deployment = _deploy(system, version, monitor_seconds="1.5")
    system.wait(deployment, "monitoring")
    yield deployment


@contextmanager
def retaining(system: System, version: str) -> Iterator[str]:
    deployment = _deploy(system, version, retain_seconds="1.5")
    system.wait(deployment, "retaining")
    yield deployment


@contextmanager
def rolling_back(system: System, version: str) -> Iterator[str]:
    """Held by a stream on green, up to the drain deadline."""
    deployment = _deploy(system, version, retain_seconds=LONG, drain_timeout_seconds="1.5")
    system.wait(deployment, "retaining")
    with open_stream(system):
        system.call("rollback", service=SERVICE, requested_by="test")
        system.wait(deployment, "rolling_back")
        yield deployment


@contextmanager
def cleaning_up(system: System, version: str) -> Iterator[str]:
    """Held by a stream on blue, up to the drain deadline."""
    with open_stream(system):
        deployment = _deploy(system, version, drain_timeout_seconds="1.5")
        system.wait(deployment, "cleaning_up")
        yield deployment


PHASES: list[Hold] = [
    starting,
    waiting_to_start,
    verifying,
    awaiting_approval,
    switching,
    monitoring,
    retaining,
    rolling_back,
    cleaning_up,
]
in_every_phase = pytest.mark.parametrize("hold", PHASES, ids=lambda hold: hold.__name__)


def _promote(system: System, deployment: str) -> None:
    """As a person would: again, as long as green is not healthy (it may be coming back)."""

    def promoted() -> bool:
        if system.call("deployment", deployment=deployment)["phase"] != "awaiting_approval":
            return True
        return system.run("promote", SERVICE).returncode == 0

    until(promoted, f"{deployment} promoted")


# -- victims --------------------------------------------------------------------------------------------------------


def a_haproxy_master(system: System, _: str) -> psutil.Process:
    return haproxy_master(system)


def a_haproxy_worker(system: System, _: str) -> psutil.Process:
    return haproxy_workers(system)[0]


def a_replica(system: System, version: str) -> psutil.Process:
    """Of green, as soon as there is one."""
    return next(iter([*replicas(system, version), *faults.own_processes(system, "green.py")]))


def a_replica_shim(system: System, version: str) -> psutil.Process:
    parent = a_replica(system, version).parent()
    assert parent is not None
    return parent


def _kill(process: psutil.Process) -> None:
    process.kill()
    faults.ended(process)


# -- the tests ------------------------------------------------------------------------------------------------------


@in_every_phase
def test_the_daemon_dies_and_nobody_notices(shared: System, hold: Hold) -> None:
    blue, version = _versions(shared)
    final = blue if hold is rolling_back else version
    with steady_traffic(shared) as traffic, ExitStack() as stack:
        deployment = stack.enter_context(hold(shared, version))
        router, services = haproxy_master(shared).pid, {process.pid for process in replicas(shared, final)}
        kill_daemon(shared)
        if hold is switching:
            stack.close()
        shared.up()
        assert haproxy_master(shared).pid == router
        assert services <= {process.pid for process in replicas(shared, final)}, f"{final} was started anew"
        stack.close()
        view = _ended(shared, deployment)
    traffic.assert_no_request_failed()
    assert view["phase"] == ("rolled_back" if hold is rolling_back else "completed"), view["cause"]
    assert "controller_restarted" in [event["kind"] for event in shared.events(deployment)]
    assert_settled(shared, final)


@in_every_phase
@pytest.mark.parametrize(
    "victim", [a_haproxy_master, a_haproxy_worker, a_replica, a_replica_shim], ids=lambda victim: victim.__name__
)
def test_a_part_dies_and_comes_back(
    shared: System, hold: Hold, victim: Callable[[System, str], psutil.Process]
) -> None:
    """Requests that the dead one was working on are lost; all else must be as after a deployment without faults."""
    blue, version = _versions(shared)
    with steady_traffic(shared):
        with hold(shared, version) as deployment:
            _kill(victim(shared, version))
        view = _ended(shared, deployment)
        expected = version if view["phase"] == "completed" else blue
        until(lambda: _answers(shared, expected), f"{expected} answers", state=lambda: shared.status())
    if hold is rolling_back:
        assert view["phase"] == "rolled_back"
    elif hold is awaiting_approval:
        # The approval comes right after the death: the last look may find it, or the requests after it do.
        assert view["phase"] in ("completed", "failed", "rolled_back"), view["cause"]
    elif hold not in (switching, monitoring):
        # Under way between the versions a fault may be reason enough to go back; elsewhere it is not.
        assert view["phase"] == "completed", view["cause"]
    assert_settled(shared, expected)


@in_every_phase
def test_the_router_shim_dies_and_traffic_goes_on(shared: System, hold: Hold) -> None:
    """HAProxy goes on without it; the next daemon brings the shim back, for the same HAProxy."""
    blue, version = _versions(shared)
    with steady_traffic(shared) as traffic:
        with hold(shared, version) as deployment:
            master = haproxy_master(shared).pid
            (shim,) = haproxy_shims(shared)
            _kill(shim)
        view = _ended(shared, deployment)
        kill_daemon(shared)
        shared.up()
        assert haproxy_master(shared).pid == master
    traffic.assert_no_request_failed()
    assert view["phase"] == ("rolled_back" if hold is rolling_back else "completed"), view["cause"]
    assert_settled(shared, blue if hold is rolling_back else version)
    _kill(haproxy_master(shared))
    until(lambda: shared.call("status")["router_alive"], "the new shim has restarted HAProxy")
    assert haproxy_master(shared).pid != master


@pytest.mark.parametrize("phase", ["monitoring", "retaining"])
def test_rollback_with_a_dead_daemon(shared: System, phase: str) -> None:
    blue, version = _versions(shared)
    monitor = LONG if phase == "monitoring" else "0.3"
    with steady_traffic(shared) as traffic:
        deployment = _deploy(shared, version, monitor_seconds=monitor, retain_seconds=LONG)
        shared.wait(deployment, phase)
        kill_daemon(shared)
        answer = json_of(shared.run("rollback", SERVICE, "--json"))
        assert answered_by(shared) == blue
        assert answer["how"] == "switch"
        assert answer["recorded"] is True
        again = shared.run("rollback", SERVICE)
        assert answered_by(shared) == blue
        shared.up()
        view = _ended(shared, deployment)
    traffic.assert_no_request_failed()
    assert view["phase"] == "rolled_back"
    assert "nothing to switch back to" in error_of(again, 1)
    assert_settled(shared, blue)


def test_rollback_with_a_dead_daemon_and_a_dead_haproxy(shared: System) -> None:
    """HAProxy is being started again just then, by its shim; the rollback waits for it."""
    blue, version = _versions(shared)
    deployment = _deploy(shared, version, monitor_seconds=LONG)
    shared.wait(deployment, "monitoring")
    kill_daemon(shared)
    _kill(haproxy_master(shared))
    assert json_of(shared.run("rollback", SERVICE, "--json"))["recorded"] is True
    assert answered_by(shared) == blue
    shared.up()
    assert _ended(shared, deployment)["phase"] == "rolled_back"
    assert_settled(shared, blue)


def test_rollback_with_a_dead_daemon_and_nothing_to_go_back_to(shared: System) -> None:
    version, _ = _versions(shared)
    kill_daemon(shared)
    told = error_of(shared.run("rollback", SERVICE), 1)
    assert "nothing to switch back to" in told
    assert answered_by(shared) == version
    shared.up()
    assert_settled(shared, version)


def test_rollback_with_a_daemon_that_hangs(shared: System) -> None:
    """SIGSTOP: it holds the log and its socket, and answers nobody. It must not undo or repeat it when it wakes up."""
    blue, version = _versions(shared)
    with steady_traffic(shared) as traffic:
        deployment = _deploy(shared, version, retain_seconds=LONG)
        shared.wait(deployment, "retaining")
        with stopped(psutil.Process(shared.daemon_pid())):
            answer = json_of(shared.run("rollback", SERVICE, "--json"))
            assert answered_by(shared) == blue
            assert answer["how"] == "switch"
            assert answer["recorded"] is False
        view = _ended(shared, deployment)
    traffic.assert_no_request_failed()
    assert view["phase"] == "rolled_back"
    assert [d.id for d in faults.history(shared)][-1] == deployment, "the rollback was carried out twice"
    assert_settled(shared, blue)


def test_everything_dies_at_once(shared: System) -> None:
    """As after a power cut: `up` brings back the version that had the traffic, and ends what was under way."""
    blue, version = _versions(shared)
    with ExitStack() as stack:
        deployment = stack.enter_context(verifying(shared, version))
        for pid in shared.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not shared.processes(), "everything is dead")
        shared.up()
        until(lambda: _answers(shared, blue), f"{blue} is back")
        with steady_traffic(shared) as traffic:
            stack.close()
            view = _ended(shared, deployment)
    traffic.assert_no_request_failed()
    assert view["phase"] == "completed", view["cause"]
    assert_settled(shared, version)


def test_a_router_that_hangs_is_told_of_and_nothing_is_promoted_meanwhile(shared: System) -> None:
    _, version = _versions(shared)
    with monitoring(shared, version) as deployment:
        (worker,) = haproxy_workers(shared)
        with stopped(worker):
            asked_at = time.monotonic()
            view = shared.call("status")
            took = time.monotonic() - asked_at
            reason = shared.call("deployment", deployment=deployment)
    assert view["router_alive"] is False
    assert "did not answer" in view["router"]
    assert took < HANGING_ROUTER_SECONDS
    assert reason["phase"] == "monitoring", "silence is not success"
    with steady_traffic(shared) as traffic:
        assert _ended(shared, deployment)["phase"] == "completed"
    traffic.assert_no_request_failed()
    assert_settled(shared, version)


def test_a_router_whose_shim_died_is_supervised_again_without_a_new_daemon(shared: System) -> None:
    """Also when no deployment is under way: else the next crash of HAProxy would end all traffic for good."""
    version, _ = _versions(shared)
    master = haproxy_master(shared)
    with steady_traffic(shared) as traffic:
        (shim,) = haproxy_shims(shared)
        _kill(shim)
        until(lambda: len(haproxy_shims(shared)) == 1, "a new shim", timeout_seconds=8)
    traffic.assert_no_request_failed()
    assert haproxy_master(shared).pid == master.pid
    _kill(master)
    until(lambda: _answers(shared, version), "HAProxy is back", timeout_seconds=8)
    assert_settled(shared, version)


# -- helpers --------------------------------------------------------------------------------------------------------


def _versions(system: System) -> tuple[str, str]:
    """The one that has the traffic, and another."""
    view = system.status()
    current = str(view["slots"][view["active"]]["version"])
    return current, "v1" if current == "v2" else "v2"


def _answers(system: System, version: str) -> bool:
    try:
        return answered_by(system) == version
    except OSError:
        return False


def _ended(system: System, deployment: str) -> Any:
    """How this deployment ended, once all have. Restarted parts may fail a question."""
    until(lambda: all_ended(system), f"{deployment} and all before it ended", timeout_seconds=SETTLE_SECONDS)
    # The log is written a moment before the daemon knows that it is.
    until(lambda: system.call("deployment", deployment=deployment)["phase"] in TERMINAL, f"{deployment} ended")
    return system.call("deployment", deployment=deployment)
