"""What it costs to know what a thousand workloads use."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from bench.processes import temporary_directory
from bench.table import Row, information, median
from bluegreen.control.usage_watch import USAGE_SECONDS
from bluegreen.domain.model import Color, Resources, Workload
from bluegreen.runtimes.process.identity import ProcessIdentity
from bluegreen.runtimes.process.records import Records, WorkloadRecord
from bluegreen.runtimes.process.usage import UsageMeter

WORKLOADS = 1000
PSUTIL_WORKLOADS = 20
ROUNDS = 20
MOST_CORES = 0.03


def measure() -> Sequence[Row]:
    with temporary_directory() as directory, _workloads(directory) as (records, ids):
        meter = UsageMeter(records)
        assert len(meter.read(ids)) == WORKLOADS
        ours = [_cpu_seconds(lambda: meter.read(ids)) for _ in range(ROUNDS)]
        few = ids[:PSUTIL_WORKLOADS]
        with_psutil = _cpu_seconds(lambda: _by_psutil(few, records)) * WORKLOADS / PSUTIL_WORKLOADS
        processes = len(psutil.pids())
    share = median(ours) / USAGE_SECONDS
    how = f"CPU time of one look, median of {ROUNDS}, every {USAGE_SECONDS:g} s"
    return [
        Row(f"usage of {WORKLOADS} workloads", how, f"<= {MOST_CORES:.0%} of a core", f"{share:.1%}",
            share <= MOST_CORES),
        information("one look", f"among {processes} processes",
                    f"{median(ours) * 1000:.0f} ms of CPU"),
        information("the same with psutil", f"children, cpu_times, memory_info; of {PSUTIL_WORKLOADS}, scaled up",
                    f"{with_psutil / median(ours):.0f} x as much"),
    ]  # fmt: skip


def _cpu_seconds(look: Callable[[], object]) -> float:
    began = time.process_time()
    look()
    return time.process_time() - began


def _by_psutil(ids: Sequence[str], records: Records) -> None:
    """As one would write it first."""
    for workload_id in ids:
        report = records.report(workload_id, 0)
        assert report is not None
        for process in psutil.Process(report.shim.pid).children(recursive=True):
            process.cpu_times()
            process.memory_info()


@contextmanager
def _workloads(directory: Path) -> Iterator[tuple[Records, list[str]]]:
    """Records as the runtime writes them. A shell with a child stands for each shim: a thousand Pythons need 8 GB."""
    records, ids = Records(directory / "runtime"), []
    shells = []
    try:
        for number in range(WORKLOADS):
            shells.append(subprocess.Popen(["/bin/sh", "-c", "sleep 600 & wait"], start_new_session=True))
            ids.append(f"service-{number}-blue")
            _record(records, ids[-1], shells[-1].pid)
        yield records, ids
    finally:
        for shell in shells:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()


def _record(records: Records, workload_id: str, pid: int) -> None:
    workload = Workload(workload_id, "service", Color.BLUE, "service:v1", "v1", 1, Resources())
    identity = ProcessIdentity.of(pid)
    assert identity is not None
    records.begin(workload_id)
    records.write_launch(workload_id, 0, {})
    status = {"shim_pid": pid, "shim_start_ticks": identity.start_ticks, "boot_id": identity.boot_id}
    status |= {"state": "running", "final": False, "child_pid": None, "port": None, "restarts": 0}
    status |= {"exit_code": None, "error": ""}
    (records.replica(workload_id, 0) / "status.json").write_text(json.dumps(status))
    records.commit(WorkloadRecord(workload, time.time(), secrets.token_hex(16), 1.0, ((),)))
