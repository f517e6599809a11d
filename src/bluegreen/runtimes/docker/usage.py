"""What containers use: their first process and everything below it, which nothing in a container leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bluegreen.domain.usage import Usage
from bluegreen.runtimes.docker.observation import Containers
from bluegreen.runtimes.docker.records import WorkloadRecord
from bluegreen.runtimes.process.gpu_readings import GpuReadings
from bluegreen.runtimes.process.identity import ProcessIdentity
from bluegreen.runtimes.process.proc import boot_id
from bluegreen.runtimes.process.process_table import (
    PAGE_BYTES,
    TICKS_PER_SECOND,
    ProcessTable,
    TreeUsage,
    read_process_table,
)
from bluegreen.runtimes.process.usage import CpuTally


class UsageMeter:
    """Blocks for about 20 µs for every process of the machine: call it from a thread, one call at a time."""

    def __init__(
        self, gpus: GpuReadings | None = None, *, table: Callable[[], ProcessTable] = read_process_table
    ) -> None:
        self._gpus = gpus or GpuReadings()
        self._table = table
        self._tallies: dict[tuple[str, float, int], CpuTally] = {}

    def read(self, workloads: Sequence[tuple[WorkloadRecord, Containers]]) -> dict[str, Usage]:
        """Those of the workloads of which a replica runs. What is not asked for is forgotten."""
        table, boot = self._table(), boot_id()
        devices = {device for record, _ in workloads for replica in record.replicas for device in replica.gpus}
        readings = self._gpus.read(devices)
        before, self._tallies = self._tallies, {}
        found = {}
        for record, containers in workloads:
            trees = []
            for index in range(len(record.replicas)):
                key = (record.workload.id, record.created_at, index)
                tally = self._tallies[key] = before.get(key, CpuTally())
                pid = containers[index]["State"]["Pid"] if index in containers else 0
                if (tree := _of(table, pid)) is not None:
                    tally.add(ProcessIdentity(pid, table.rows[pid].start_ticks, boot), tree.cpu_seconds)
                    trees.append(tree)
            if trees:
                keys = ((record.workload.id, record.created_at, index) for index in range(len(record.replicas)))
                own = [readings[gpu] for replica in record.replicas for gpu in replica.gpus if gpu in readings]
                found[record.workload.id] = Usage(
                    cpu_seconds=sum(self._tallies[key].total_seconds for key in keys),
                    memory_bytes=sum(tree.memory_bytes for tree in trees),
                    gpus=tuple(own),
                )
        return found


def _of(table: ProcessTable, pid: int) -> TreeUsage | None:
    """The process and everything below it; None when it is gone. The engine says 0 when none runs."""
    root = table.rows.get(pid)
    below = table.below(pid, root.start_ticks) if root else None
    if root is None or below is None:
        return None
    return TreeUsage(
        below.cpu_seconds + root.own_ticks / TICKS_PER_SECOND,
        below.memory_bytes + root.resident_pages * PAGE_BYTES,
    )
