"""`python -m bench [NAME …]`: measures, and prints one table per figure."""

from __future__ import annotations

import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence

import psutil

from bench import (
    counting_cpu,
    counting_read,
    deploy_to_switched,
    detection,
    docker_walk,
    docker_watch,
    doors,
    false_rollbacks,
    metrics_store,
    proxy_cpu,
    start_up,
    switch_latency,
    usage_cost,
    usual_rules,
    zero_loss,
)
from bench.load import load_name, wrk_is_there
from bench.table import Row, render

FIGURES: dict[str, Callable[[], Sequence[Row]]] = {
    "zero_loss": zero_loss.measure,
    "switch_latency": switch_latency.measure,
    "proxy_cpu": proxy_cpu.measure,
    "counting_cpu": counting_cpu.measure,
    "counting_read": counting_read.measure,
    "deploy_to_switched": deploy_to_switched.measure,
    "start_up": start_up.measure,
    "doors": doors.measure,
    "false_rollbacks": false_rollbacks.measure,
    "detection": detection.measure,
    "usual_rules": usual_rules.measure,
    "usage_cost": usage_cost.measure,
    "metrics_store": metrics_store.measure,
    "docker_walk": docker_walk.measure,
    "docker_watch": docker_watch.measure,
}


def main(names: Sequence[str]) -> int:
    """Exit code 0 when everything was measured, whatever came out; 1 when a figure broke down; 2 for a wrong name."""
    if unknown := [name for name in names if name not in FIGURES]:
        print(f"there is no figure {', '.join(unknown)}; there are: {', '.join(FIGURES)}", file=sys.stderr)
        return 2
    # Ended from outside, everything that was started ends too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    # As on a user's machine: the second start does not compile.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    memory = psutil.virtual_memory().total / 2**30
    print(
        f"{os.cpu_count()} cores, {memory:.0f} GiB, load before: {load}; Python {platform.python_version()}, "
        f"Linux {platform.release()}; load generator: {load_name()}"
        f"{'' if wrk_is_there() else ' (wrk is not installed: apt-get install wrk)'}\n",
        flush=True,
    )
    broken = 0
    for name in names or FIGURES:
        began = time.monotonic()
        try:
            rows = FIGURES[name]()
        except Exception:
            broken += 1
            print(f"{name} could not be measured:", file=sys.stderr)
            traceback.print_exc()
            continue
        print(render(f"{name} ({time.monotonic() - began:.0f} s)", rows) + "\n", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
