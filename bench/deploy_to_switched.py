"""What a deployment adds to the time that green needs itself: from `deploy` to switched, minus green's own start.

Green's own start is the same command run alone until its port accepts a connection. Both are measured in turn.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence

from examples.system import SERVER, System, free_port

from bench.processes import running, seconds_until_open, temporary_directory
from bench.table import Row, information, median
from bench.zero_loss import rounds

MAX_ROUNDS = 10
TARGET_SECONDS = 0.5
FIRST, SECOND = "v1.9", "v2.0"
CONFIGURATION = """
[router]
listen = "127.0.0.1:@port@"

[capacity]
gpus = 0
cpus = 64
memory_mb = 65536

[services.inference-model]
hosts = ["*"]
workdir = "@models@/{tag}"
command = ["@python@", "@server@", "--port", "{port}"]

[services.inference-model.health]
path = "/health"
rise = 1
deadline_seconds = 30

[services.inference-model.policy]
monitor_seconds = 0.5
retain_seconds = 60
drain_timeout_seconds = 5
"""


@contextlib.contextmanager
def _system() -> Iterator[System]:
    with temporary_directory() as directory:
        system = System(directory, CONFIGURATION)
        try:
            system.up()
            system.wait(system.deploy(FIRST), "completed")
            yield system
        finally:
            system.close()


def _alone() -> float:
    """Seconds from starting green's command to an accepted connection."""
    port = free_port()
    began = time.monotonic()
    command = [sys.executable, str(SERVER), "--port", str(port)]
    with running(command, cwd=SERVER.parent / SECOND) as process:
        return seconds_until_open(port, process, since=began)


def _deployed(system: System) -> dict[str, float]:
    """Seconds after the deploy call at which each kind of event was first recorded."""
    began = time.time()
    deployment = system.deploy(SECOND)
    system.wait(deployment, "monitoring", "retaining")
    at: dict[str, float] = {}
    for event in system.events(deployment):
        at.setdefault(event["kind"], float(event["at"]) - began)
    system.call("rollback", service="inference-model", requested_by="bench")
    system.wait(deployment, "rolled_back")
    return at


def measure() -> Sequence[Row]:
    alone, deployed = [], []
    count = min(rounds(), MAX_ROUNDS)
    with _system() as system:
        for _ in range(count):
            alone.append(_alone())
            deployed.append(_deployed(system))
    switched = [times["traffic_switched"] for times in deployed]
    added = [whole - own for whole, own in zip(switched, alone, strict=True)]
    middle = median(added)
    rows = [
        Row(
            "deploy to switched",
            f"minus green's own start; rise = 1, no smoke test, median of {count}",
            "<= 0.5 s",
            f"{middle:.3f} s (slowest {max(added):.3f} s)",
            middle <= TARGET_SECONDS,
        ),
        information("green's own start", "the same command alone, until its port is open", f"{median(alone):.3f} s"),
    ]
    for kind in ("deployment_requested", "preflight_passed", "green_started", "health_passed", "traffic_switched"):
        seen = [times[kind] for times in deployed if kind in times]
        if seen:
            rows.append(information(f"{kind}", "after the deploy call, median", f"{median(seen):.3f} s"))
    return rows
