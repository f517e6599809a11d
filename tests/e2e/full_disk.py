"""A daemon whose disk is full, and what must go on all the same: for processes and containers."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator

import psutil
from examples.system import System, until

from tests.e2e.faults import answered_by, assert_settled, steady_traffic

NOTHING_AT_ALL = 0


@contextlib.contextmanager
def full_disk(system: System, bytes_per_file: int = NOTHING_AT_ALL) -> Iterator[None]:
    """The daemon can't make any file longer than this: what it appends to is longer already."""
    daemon = psutil.Process(system.daemon_pid())
    _, hard = daemon.rlimit(resource.RLIMIT_FSIZE)
    daemon.rlimit(resource.RLIMIT_FSIZE, (bytes_per_file, hard))
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            daemon.rlimit(resource.RLIMIT_FSIZE, (hard, hard))


def the_walk_holds_and_goes_on(system: System, phase: str) -> None:
    """With a full disk in this phase, when there is space again."""
    (system.directory / "hold-v2").touch()
    with steady_traffic(system) as traffic:
        deployment = system.deploy("v2", overrides={"policy.monitor_seconds": "0.5", "policy.retain_seconds": "0"})
        system.wait(deployment, "verifying")
        if phase == "monitoring":
            (system.directory / "hold-v2").unlink()
            system.wait(deployment, "monitoring")
        with full_disk(system):
            (system.directory / "hold-v2").unlink(missing_ok=True)
            until(
                lambda: "holding" in system.status()["deployment"]["reason"],
                "a reason that tells of the full disk",
                state=lambda: system.status()["deployment"],
            )
            assert system.status()["deployment"]["phase"] == phase
            assert answered_by(system) == ("v1" if phase == "verifying" else "v2")
        system.wait(deployment, "completed")
    traffic.assert_no_request_failed()
    assert_settled(system, "v2")
