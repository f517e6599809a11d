"""Getting a deployment into each phase and holding it there, until the test lets it go on; and what a daemon that dies
in any of them must not change. The same for processes and containers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from examples.system import TERMINAL, System, until

from tests.e2e.faults import (
    SERVICE,
    all_ended,
    answered_by,
    assert_settled,
    haproxy_master,
    haproxy_workers,
    kill_daemon,
    open_stream,
    replicas,
    steady_traffic,
    stopped,
)

LONG = "60"
SETTLE_SECONDS = 40.0

# Each gets into its phase when it is entered, and lets the deployment go on when it is left.
Hold = Callable[[System, str], contextlib.AbstractContextManager[str]]


def deploy(system: System, version: str, **policy: str) -> str:
    """Short everywhere, except for what the test holds it with."""
    keys = {"monitor_seconds": "0.3", "retain_seconds": "0", **policy}
    return system.deploy(version, overrides={f"policy.{key}": value for key, value in keys.items()})


@contextmanager
def starting(system: System, version: str) -> Iterator[str]:
    """As early as can be; on a quick machine the workload is just being started."""
    yield deploy(system, version)


@contextmanager
def waiting_to_start(system: System, version: str) -> Iterator[str]:
    """Surely starting: the slot is still taken by a retained version that drains a stream. Two deployments at once."""
    with open_stream(system):
        first = deploy(system, "v3", retain_seconds=LONG)
        system.wait(first, "retaining")
        deployment = deploy(system, version)
        system.wait(first, "cleaning_up")
        system.wait(deployment, "starting")
        yield deployment


@contextmanager
def verifying(system: System, version: str) -> Iterator[str]:
    gate = system.directory / f"hold-{version}"
    gate.touch()
    deployment = deploy(system, version)
    system.wait(deployment, "verifying")
    until(lambda: len(replicas(system, version)) == 1, f"{version} runs")
    yield deployment
    gate.unlink()


@contextmanager
def awaiting_approval(system: System, version: str) -> Iterator[str]:
    deployment = deploy(system, version, auto_promote="false")
    system.wait(deployment, "awaiting_approval")
    yield deployment
    promote(system, deployment)


@contextmanager
def switching(system: System, version: str) -> Iterator[str]:
    """HAProxy stands still, so that its answer to the switch can't come; when it goes on it carries it out."""
    deployment = deploy(system, version, auto_promote="false")
    system.wait(deployment, "awaiting_approval")
    (worker,) = haproxy_workers(system)
    with stopped(worker):
        system.call("promote", service=SERVICE, requested_by="test")
        system.wait(deployment, "switching")
        yield deployment


@contextmanager
def monitoring(system: System, version: str) -> Iterator[str]:
    deployment = deploy(system, version, monitor_seconds="1.5")
    system.wait(deployment, "monitoring")
    yield deployment


@contextmanager
def retaining(system: System, version: str) -> Iterator[str]:
    deployment = deploy(system, version, retain_seconds="1.5")
    system.wait(deployment, "retaining")
    yield deployment


@contextmanager
def rolling_back(system: System, version: str) -> Iterator[str]:
    """Held by a stream on green, up to the drain deadline."""
    deployment = deploy(system, version, retain_seconds=LONG, drain_timeout_seconds="1.5")
    system.wait(deployment, "retaining")
    with open_stream(system):
        system.call("rollback", service=SERVICE, requested_by="test")
        system.wait(deployment, "rolling_back")
        yield deployment


@contextmanager
def cleaning_up(system: System, version: str) -> Iterator[str]:
    """Held by a stream on blue, up to the drain deadline."""
    with open_stream(system):
        deployment = deploy(system, version, drain_timeout_seconds="1.5")
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


def promote(system: System, deployment: str) -> None:
    """As a person would: again, as long as green is not healthy (it may be coming back)."""

    def promoted() -> bool:
        if system.call("deployment", deployment=deployment)["phase"] != "awaiting_approval":
            return True
        return system.run("promote", SERVICE).returncode == 0

    until(promoted, f"{deployment} promoted")


def the_daemon_dies_and_nobody_notices(system: System, hold: Hold) -> None:
    """The walk under this system goes on where it was, and no replica is started anew."""
    blue, version = versions(system)
    final = blue if hold is rolling_back else version
    with steady_traffic(system) as traffic, ExitStack() as stack:
        deployment = stack.enter_context(hold(system, version))
        router, services = haproxy_master(system).pid, {process.pid for process in replicas(system, final)}
        kill_daemon(system)
        if hold is switching:
            stack.close()
        system.up()
        assert haproxy_master(system).pid == router
        assert services <= {process.pid for process in replicas(system, final)}, f"{final} was started anew"
        stack.close()
        view = ended(system, deployment)
    traffic.assert_no_request_failed()
    assert view["phase"] == ("rolled_back" if hold is rolling_back else "completed"), view["cause"]
    assert "controller_restarted" in [event["kind"] for event in system.events(deployment)]
    assert_settled(system, final)


def versions(system: System) -> tuple[str, str]:
    """The one that has the traffic, and another."""
    view = system.status()
    current = str(view["slots"][view["active"]]["version"])
    return current, "v1" if current == "v2" else "v2"


def answers(system: System, version: str) -> bool:
    try:
        return answered_by(system) == version
    except OSError:
        return False


def ended(system: System, deployment: str) -> Any:
    """How this deployment ended, once all have. Restarted parts may fail a question."""
    until(lambda: all_ended(system), f"{deployment} and all before it ended", timeout_seconds=SETTLE_SECONDS)
    # The log is written a moment before the daemon knows that it is.
    until(lambda: system.call("deployment", deployment=deployment)["phase"] in TERMINAL, f"{deployment} ended")
    return system.call("deployment", deployment=deployment)
