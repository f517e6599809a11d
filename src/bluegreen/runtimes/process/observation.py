"""What is to be seen of a workload: its record, what its shims said, and whether that still holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bluegreen.domain.model import Endpoint, ReplicaStatus, WorkloadState, WorkloadStatus
from bluegreen.runtimes.process.listening import replica_listens
from bluegreen.runtimes.process.logs import fair_shares, last_lines
from bluegreen.runtimes.process.records import Records, WorkloadRecord

HOST = "127.0.0.1"


def observe(records: Records, record: WorkloadRecord, listeners: Mapping[int, frozenset[int]]) -> WorkloadStatus:
    """Reads only. `listeners` are those of `listening.local_listeners`."""
    replicas = tuple(_observe_replica(records, record, index, listeners) for index in range(record.workload.replicas))
    return WorkloadStatus(
        workload=record.workload,
        state=combined_state([replica.state for replica in replicas]),
        replicas=replicas,
        created_at=record.created_at,
    )


def _observe_replica(
    records: Records, record: WorkloadRecord, index: int, listeners: Mapping[int, frozenset[int]]
) -> ReplicaStatus:
    """A replica whose shim died is failed without an `error`: it can be healed."""
    report = records.report(record.workload.id, index)
    if report is None:
        return ReplicaStatus(index=index, state=WorkloadState.SCHEDULED)
    alive = not report.final and report.shim.alive()
    running = alive and report.state is WorkloadState.RUNNING
    port = None if report.final else report.port
    return ReplicaStatus(
        index=index,
        state=report.state if alive or report.final else WorkloadState.FAILED,
        endpoint=Endpoint(HOST, port) if port is not None else None,
        pid=report.child_pid if running else None,
        listening=running and port is not None and replica_listens(report.shim.pid, port, listeners),
        restarts=report.restarts,
        exit_code=report.exit_code,
        error=report.error,
    )


def combined_state(states: Sequence[WorkloadState]) -> WorkloadState:
    """Of a workload, from those of its replicas: the worst of them."""
    order = (
        WorkloadState.FAILED,
        WorkloadState.CANCELLED,
        WorkloadState.SCHEDULED,
        WorkloadState.PENDING,
        WorkloadState.SUCCEEDED,
        WorkloadState.RUNNING,
    )
    return next((state for state in order if state in states), WorkloadState.PENDING)


def replica_directories(path: Path) -> list[Path]:
    """Those of a workload's directory, by index."""
    return sorted(path.glob("replica-*"), key=lambda replica: int(replica.name.partition("-")[2]))


def read_logs(path: Path, lines: int) -> list[str]:
    """Of all replicas together at most `lines`, each `replica-0 | ...`, replica after replica."""
    replicas = replica_directories(path)
    tails = [last_lines(replica / "output.log", lines) for replica in replicas]
    shares = fair_shares([len(tail) for tail in tails], lines)
    return [
        f"{replica.name} | {line}"
        for replica, tail, share in zip(replicas, tails, shares, strict=True)
        for line in (tail[-share:] if share else [])
    ]
