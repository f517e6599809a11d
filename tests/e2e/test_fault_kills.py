"""kill -9 of every part of the system in every phase: the deployment ends, the history is one that can have happened,
and exactly the active version runs. When only the daemon dies, no request notices."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack

import psutil
import pytest
from examples.system import System, until

from tests.e2e import faults
from tests.e2e.faults import (
    SERVICE,
    answered_by,
    assert_settled,
    error_of,
    haproxy_master,
    haproxy_shims,
    haproxy_workers,
    json_of,
    kill_daemon,
    replicas,
    steady_traffic,
    stopped,
)
from tests.e2e.phases import (
    LONG,
    Hold,
    answers,
    awaiting_approval,
    deploy,
    ended,
    in_every_phase,
    monitoring,
    rolling_back,
    switching,
    the_daemon_dies_and_nobody_notices,
    verifying,
    versions,
)

pytest_plugins = ["tests.e2e.fault_fixtures"]

HANGING_ROUTER_SECONDS = 9.0
"""One patience with HAProxy is 5 s."""


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
    the_daemon_dies_and_nobody_notices(shared, hold)


@in_every_phase
@pytest.mark.parametrize(
    "victim", [a_haproxy_master, a_haproxy_worker, a_replica, a_replica_shim], ids=lambda victim: victim.__name__
)
def test_a_part_dies_and_comes_back(
    shared: System, hold: Hold, victim: Callable[[System, str], psutil.Process]
) -> None:
    """Requests that the dead one was working on are lost; all else must be as after a deployment without faults."""
    blue, version = versions(shared)
    with steady_traffic(shared):
        with hold(shared, version) as deployment:
            _kill(victim(shared, version))
        view = ended(shared, deployment)
        expected = version if view["phase"] == "completed" else blue
        until(lambda: answers(shared, expected), f"{expected} answers", state=lambda: shared.status())
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
    blue, version = versions(shared)
    with steady_traffic(shared) as traffic:
        with hold(shared, version) as deployment:
            master = haproxy_master(shared).pid
            (shim,) = haproxy_shims(shared)
            _kill(shim)
        view = ended(shared, deployment)
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
    blue, version = versions(shared)
    monitor = LONG if phase == "monitoring" else "0.3"
    with steady_traffic(shared) as traffic:
        deployment = deploy(shared, version, monitor_seconds=monitor, retain_seconds=LONG)
        shared.wait(deployment, phase)
        kill_daemon(shared)
        answer = json_of(shared.run("rollback", SERVICE, "--json"))
        assert answered_by(shared) == blue
        assert answer["how"] == "switch"
        assert answer["recorded"] is True
        again = shared.run("rollback", SERVICE)
        assert answered_by(shared) == blue
        shared.up()
        view = ended(shared, deployment)
    traffic.assert_no_request_failed()
    assert view["phase"] == "rolled_back"
    assert "nothing to switch back to" in error_of(again, 1)
    assert_settled(shared, blue)


def test_rollback_with_a_dead_daemon_and_a_dead_haproxy(shared: System) -> None:
    """HAProxy is being started again just then, by its shim; the rollback waits for it."""
    blue, version = versions(shared)
    deployment = deploy(shared, version, monitor_seconds=LONG)
    shared.wait(deployment, "monitoring")
    kill_daemon(shared)
    _kill(haproxy_master(shared))
    assert json_of(shared.run("rollback", SERVICE, "--json"))["recorded"] is True
    assert answered_by(shared) == blue
    shared.up()
    assert ended(shared, deployment)["phase"] == "rolled_back"
    assert_settled(shared, blue)


def test_rollback_with_a_dead_daemon_and_nothing_to_go_back_to(shared: System) -> None:
    version, _ = versions(shared)
    kill_daemon(shared)
    told = error_of(shared.run("rollback", SERVICE), 1)
    assert "nothing to switch back to" in told
    assert answered_by(shared) == version
    shared.up()
    assert_settled(shared, version)


def test_rollback_with_a_daemon_that_hangs(shared: System) -> None:
    """SIGSTOP: it holds the log and its socket, and answers nobody. It must not undo or repeat it when it wakes up."""
    blue, version = versions(shared)
    with steady_traffic(shared) as traffic:
        deployment = deploy(shared, version, retain_seconds=LONG)
        shared.wait(deployment, "retaining")
        with stopped(psutil.Process(shared.daemon_pid())):
            answer = json_of(shared.run("rollback", SERVICE, "--json"))
            assert answered_by(shared) == blue
            assert answer["how"] == "switch"
            assert answer["recorded"] is False
        view = ended(shared, deployment)
    traffic.assert_no_request_failed()
    assert view["phase"] == "rolled_back"
    assert [d.id for d in faults.history(shared)][-1] == deployment, "the rollback was carried out twice"
    assert_settled(shared, blue)


def test_everything_dies_at_once(shared: System) -> None:
    """As after a power cut: `up` brings back the version that had the traffic, and ends what was under way."""
    blue, version = versions(shared)
    with ExitStack() as stack:
        deployment = stack.enter_context(verifying(shared, version))
        for pid in shared.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not shared.processes(), "everything is dead")
        shared.up()
        until(lambda: answers(shared, blue), f"{blue} is back")
        with steady_traffic(shared) as traffic:
            stack.close()
            view = ended(shared, deployment)
    traffic.assert_no_request_failed()
    assert view["phase"] == "completed", view["cause"]
    assert_settled(shared, version)


def test_a_router_that_hangs_is_told_of_and_nothing_is_promoted_meanwhile(shared: System) -> None:
    _, version = versions(shared)
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
        assert ended(shared, deployment)["phase"] == "completed"
    traffic.assert_no_request_failed()
    assert_settled(shared, version)


def test_a_router_whose_shim_died_is_supervised_again_without_a_new_daemon(shared: System) -> None:
    """Also when no deployment is under way: else the next crash of HAProxy would end all traffic for good."""
    version, _ = versions(shared)
    master = haproxy_master(shared)
    with steady_traffic(shared) as traffic:
        (shim,) = haproxy_shims(shared)
        _kill(shim)
        until(lambda: len(haproxy_shims(shared)) == 1, "a new shim", timeout_seconds=8)
    traffic.assert_no_request_failed()
    assert haproxy_master(shared).pid == master.pid
    _kill(master)
    until(lambda: answers(shared, version), "HAProxy is back", timeout_seconds=8)
    assert_settled(shared, version)
