"""The metrics store on its worst days: a daemon that is killed while it writes, and a file that is garbage."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from examples.system import System, until

from bluegreen.control.sample_writer import WRITE_SECONDS
from tests.e2e.faults import SERVICE, answered_by, assert_settled, json_of, kill_daemon, steady_traffic

pytest_plugins = ["tests.e2e.fault_fixtures"]

GARBAGE = b"this is no database " * 20_000


def store(system: System) -> Path:
    return system.directory / ".bluegreen" / "metrics.sqlite"


def damaged(system: System) -> list[Path]:
    return sorted(store(system).parent.glob("metrics.sqlite.damaged-*"))


def log_of(system: System) -> str:
    return (system.directory / ".bluegreen" / "daemon.log").read_text()


def measured(system: System) -> dict[float, float]:
    """Requests per second to the service in each of the last seconds that is known, by its end."""
    asked = system.run("metrics", "request_rate", "--service", SERVICE, "--since", "-2m", "--step", "1s", "--json")
    found: dict[float, float] = {}
    for series in json_of(asked)["series"]:
        for point in series["points"]:
            if point["value"] is not None:
                found[point["at"]] = found.get(point["at"], 0.0) + point["value"]
    return found


def written(system: System) -> None:
    """Returns when measurements have reached the disk."""
    files = [store(system), store(system).with_name("metrics.sqlite-wal")]
    until(lambda: sum(file.stat().st_size for file in files if file.exists()) > 30_000, "measurements on disk")


def overwrite(system: System) -> None:
    """In place, as a disk does that lies: the store and what is not yet in it."""
    for file in [store(system), store(system).with_name("metrics.sqlite-wal")]:
        if file.exists():
            with file.open("r+b") as opened:
                opened.write(GARBAGE)


def test_a_killed_daemon_loses_the_last_seconds_of_measurements_at_most(own: System) -> None:
    with steady_traffic(own, rate_per_second=50) as traffic:
        traffic.wait_for(700)
        before = measured(own)
        kill_daemon(own)
        killed_at = time.time()
        own.up()
        traffic.wait_for(50)
        after = measured(own)
    traffic.assert_no_request_failed()
    # It writes every WRITE_SECONDS, and on a busy machine somewhat later.
    kept = [at for at in before if at < killed_at - 2 * WRITE_SECONDS]
    assert kept
    assert set(kept) <= set(after)
    assert sum(after[at] for at in kept) == pytest.approx(sum(before[at] for at in kept), rel=0.05)
    assert max(after) > killed_at, "it goes on measuring"
    assert damaged(own) == []


@pytest.mark.parametrize("daemon", ["stopped", "killed", "running"])
def test_a_store_that_is_garbage_is_moved_aside_and_said_and_deployments_go_on(own: System, daemon: str) -> None:
    written(own)
    with steady_traffic(own) as traffic:
        if daemon == "killed":
            kill_daemon(own)
        elif daemon == "stopped":
            assert own.run("down", "--daemon-only").returncode == 0
        overwrite(own)
        if daemon != "running":
            own.up()
        own.wait(own.deploy("v2", overrides={"policy.retain_seconds": "0"}), "completed")
        if daemon == "running" and not damaged(own):
            # All of it was at hand in memory; the next daemon finds out.
            kill_daemon(own)
            own.up()
        until(lambda: damaged(own) != [], "the damaged file is moved aside")
        (moved,) = damaged(own)
        until(lambda: "was damaged" in log_of(own) and f"moved to {moved.name}" in log_of(own), "it is said")
        until(lambda: "alert metrics-store-damaged" in log_of(own), "people are told")
        assert str(moved) in own.run("doctor").stdout.replace("\n", "")
        until(lambda: measured(own) != {}, "it measures again")

        after_that = own.deploy("v3", overrides={"policy.monitor_seconds": "60"})
        own.wait(after_that, "monitoring")
        assert json_of(own.run("rollback", SERVICE, "--json"))["how"] == "switch"
        assert answered_by(own) == "v2"
        own.wait(after_that, "rolled_back")
    traffic.assert_no_request_failed()
    assert_settled(own, "v2")
    assert len(damaged(own)) == 1
