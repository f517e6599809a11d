"""A machine that does not play along: no router, no port, no directory, no space, a log that can't be trusted."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from examples.system import OperationFailed, System

from tests.e2e import faults
from tests.e2e.faults import (
    CONFIGURATION,
    SERVICE,
    answered_by,
    assert_settled,
    blue_untouched,
    error_of,
    image,
    json_of,
    kill_daemon,
    steady_traffic,
)
from tests.e2e.full_disk import NOTHING_AT_ALL, full_disk, the_walk_holds_and_goes_on

pytest_plugins = ["tests.e2e.fault_fixtures"]


# -- starting -------------------------------------------------------------------------------------------------------


def test_without_the_router_binary_nothing_is_started(new: System) -> None:
    _replace(new, 'listen = "', 'haproxy = "/no/such/haproxy"\nlisten = "')
    told = error_of(new.run("up"), 1)
    assert "/no/such/haproxy" in told
    assert "router.haproxy" in told
    assert new.processes() == []


def test_a_router_binary_that_is_none_is_refused(new: System) -> None:
    _replace(new, 'listen = "', 'haproxy = "/bin/false"\nlisten = "')
    told = error_of(new.run("up"), 1)
    assert "/bin/false" in told
    assert new.processes() == []


def test_a_listen_port_that_is_taken_is_named_with_its_owner(new: System) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", new.port))
        squatter.listen()
        told = error_of(new.run("up"), 1)
    assert "router.listen" in told
    assert f"127.0.0.1:{new.port}" in told
    assert f"{psutil.Process().pid}" in told, "who has the port is missing"
    assert new.processes() == []
    new.up()


def test_a_port_of_the_api_that_is_taken_leaves_no_router_behind(new: System) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        _replace(new, "[router]", f'[api]\nlisten = "127.0.0.1:{squatter.getsockname()[1]}"\n[router]')
        assert "api.listen" in error_of(new.run("up"), 1)
    assert new.processes() == []
    new.up()


@pytest.mark.parametrize("where", ["@directory@/bluegreen.toml/state", "/proc/bluegreen"])
def test_a_state_directory_that_cannot_be_written_is_refused(new: System, where: str) -> None:
    """Also for root, whom permissions don't stop: below a file, and where no directories can be made."""
    _replace(new, 'state_dir = ".bluegreen"', f'state_dir = "{where}"'.replace("@directory@", str(new.directory)))
    told = error_of(new.run("up"), 2)
    assert "daemon.state_dir" in told
    assert where.rpartition("/")[2] in told
    assert new.processes() == []


def test_a_second_daemon_for_the_same_state_is_refused(own: System) -> None:
    with blue_untouched(own):
        assert f"up already: daemon pid {own.daemon_pid()}" in own.run("up").stdout
        assert f"up already: daemon pid {own.daemon_pid()}" in own.run("up", "--foreground").stdout
        second = [sys.executable, "-m", "bluegreen.main", str(own.config)]
        done = subprocess.run(second, capture_output=True, text=True, timeout=30, check=False, cwd=own.directory)
        told = error_of(done, 1)
        assert str(own.daemon_pid()) in told
        assert "events.sqlite" in told


# -- a full disk ----------------------------------------------------------------------------------------------------


SMALL_FILES = 2048
"""The routes still fit, the log doesn't."""


@pytest.mark.parametrize("limit", [NOTHING_AT_ALL, SMALL_FILES], ids=["nothing can be written", "small files can"])
def test_with_a_full_disk_a_rollback_still_moves_the_traffic_first(own: System, limit: int) -> None:
    deployment = own.deploy("v2", overrides={"policy.monitor_seconds": "60"})
    own.wait(deployment, "monitoring")
    assert answered_by(own) == "v2"
    with steady_traffic(own) as traffic:
        with full_disk(own, limit):
            answer = json_of(own.run("rollback", SERVICE, "--json"))
            assert answered_by(own) == "v1"
            assert answer["how"] == "switch"
            assert answer["recorded"] is False
            assert "recorded as soon as it can" in answer["message"]
            assert own.status()["deployment"]["phase"] == "monitoring", "only what is on disk is applied"
            assert "not yet recorded" in own.status()["deployment"]["reason"]
        own.wait(deployment, "rolled_back")
    traffic.assert_no_request_failed()
    assert_settled(own, "v1")


def test_a_rollback_that_was_never_recorded_is_found_after_a_crash(own: System) -> None:
    deployment = own.deploy("v2", overrides={"policy.monitor_seconds": "60"})
    own.wait(deployment, "monitoring")
    with steady_traffic(own) as traffic:
        with full_disk(own, NOTHING_AT_ALL):
            assert json_of(own.run("rollback", SERVICE, "--json"))["recorded"] is False
            kill_daemon(own)
        assert answered_by(own) == "v1"
        own.up()
        view = own.wait(deployment, "rolled_back")
    traffic.assert_no_request_failed()
    assert "was found on" in view["cause"]
    assert_settled(own, "v1")


def test_with_a_full_disk_no_deployment_begins(own: System) -> None:
    with blue_untouched(own):
        with full_disk(own, NOTHING_AT_ALL):
            told = error_of(own.run("deploy", SERVICE, "--image", image("v2"), "--yes"), 1)
            assert "events.sqlite" in told
            assert "nothing was written" in told
            assert own.run("status").returncode == 0, "reading needs no space"
        assert len(faults.history(own)) == 1
    own.wait(own.deploy("v2"), "monitoring")


@pytest.mark.parametrize("phase", ["verifying", "monitoring"])
def test_with_a_full_disk_the_walk_holds_and_goes_on_when_there_is_space(own: System, phase: str) -> None:
    the_walk_holds_and_goes_on(own, phase)


# -- a log that can't be trusted ------------------------------------------------------------------------------------


def _damage(log: Path) -> None:
    log.write_bytes(b"this was a disk once" * 1000)


def _cut(log: Path) -> None:
    log.write_bytes(log.read_bytes()[:5000])


def _newer(log: Path) -> None:
    with contextlib.closing(sqlite3.connect(log)) as database:
        database.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(
    ("change", "words"),
    [(_damage, "damaged"), (_cut, "damaged"), (_newer, "newer bluegreen")],
    ids=["overwritten", "cut", "newer"],
)
def test_a_log_that_cannot_be_trusted_is_left_alone_and_a_rollback_works_all_the_same(
    own: System, change: object, words: str
) -> None:
    assert callable(change)
    deployment = own.deploy("v2", overrides={"policy.monitor_seconds": "60"})
    own.wait(deployment, "monitoring")
    _terminate_daemon(own)
    log = own.directory / ".bluegreen" / "events.sqlite"
    change(log)
    before = log.read_bytes()
    with steady_traffic(own) as traffic:
        told = error_of(own.run("up"), 1)
        assert words in told
        assert str(log) in told
        assert "nothing was changed" in told
        assert answered_by(own) == "v2"
        assert own.processes("bluegreen.main") == []
        answer = json_of(own.run("rollback", SERVICE, "--json"))
        assert answer["how"] == "switch"
        assert answer["recorded"] is False
        assert answered_by(own) == "v1"
        error_of(own.run("up"), 1)
        assert answered_by(own) == "v1"
    traffic.assert_no_request_failed()
    assert log.read_bytes() == before


def test_after_the_log_was_lost_what_has_the_traffic_is_blue(own: System) -> None:
    """As the advice for a damaged log says: move it away and begin an empty one."""
    _terminate_daemon(own)
    for file in (own.directory / ".bluegreen").glob("events.sqlite*"):
        file.unlink()
    with steady_traffic(own) as traffic:
        own.up()
        planned = own.run("plan", SERVICE, "--image", image("v2"))
        deployment = own.deploy("v2", overrides={"policy.monitor_seconds": "60"})
        own.wait(deployment, "monitoring")
        assert answered_by(own) == "v2"
        assert json_of(own.run("rollback", SERVICE, "--json"))["how"] == "switch"
        assert answered_by(own) == "v1"
        own.wait(deployment, "rolled_back")
        again = own.deploy("v2", overrides={**faults.QUICK, "policy.monitor_seconds": "0.3"})
        own.wait(again, "completed")
    traffic.assert_no_request_failed()
    assert image("v1") in planned.stdout, "blue was not found"
    assert_settled(own, "v2")


def test_a_router_that_lost_its_binary_goes_on_with_the_traffic(own: System) -> None:
    """An upgrade gone wrong: the daemon died, and the configuration names a binary that is not there."""
    kill_daemon(own)
    good = own.config.read_text()
    with steady_traffic(own) as traffic:
        _replace(own, 'listen = "', 'haproxy = "/no/such/haproxy"\nlisten = "')
        own.run("up")
        assert answered_by(own) == "v1"
        own.config.write_text(good)
        own.up()
    traffic.assert_no_request_failed()
    assert_settled(own, "v1")


def _replace(system: System, old: str, new: str) -> None:
    text = system.config.read_text()
    assert old in CONFIGURATION or old in text
    system.config.write_text(text.replace(old, new, 1))


def _terminate_daemon(system: System) -> None:
    process = psutil.Process(system.daemon_pid())
    process.terminate()
    faults.ended(process)
    with contextlib.suppress(OSError, OperationFailed):
        system.call("status")
        raise AssertionError("the daemon answers after its end")
