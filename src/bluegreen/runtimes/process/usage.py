"""What workloads use: everything below their shims. A shim is a subreaper, so nothing of a replica leaves its tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.usage import Usage
from bluegreen.runtimes.process.gpu_readings import GpuReadings
from bluegreen.runtimes.process.identity import ProcessIdentity
from bluegreen.runtimes.process.proc import boot_id
from bluegreen.runtimes.process.process_table import ProcessTable, TreeUsage, read_process_table
from bluegreen.runtimes.process.records import Records, ReplicaReport, WorkloadRecord

Content = TypeVar("Content")


class CpuTally:
    """The CPU seconds of a replica, over all its lives.

    A tree can seem to have used less than before. Once, because a process ended while the table was read: then it is
    back the next time. For good, because its parent waits for nobody, and what it used is lost: then it is counted on
    from there.
    """

    __slots__ = ("_before", "_dipped", "_identity", "total_seconds")

    def __init__(self) -> None:
        self.total_seconds = 0.0
        self._before = 0.0
        self._dipped = False
        self._identity: ProcessIdentity | None = None

    def add(self, identity: ProcessIdentity, seconds: float) -> None:
        if identity != self._identity:
            self._identity, self._before = identity, 0.0
        dipped = seconds < self._before
        if dipped and not self._dipped:
            self._dipped = True
            return
        self.total_seconds += max(0.0, seconds - self._before)
        self._before, self._dipped = seconds, False


class Remembered(Generic[Content]):
    """What files said, read again only when they changed: a thousand records are not parsed every few seconds."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], Content | None]] = {}

    def read(self, path: Path, parse: Callable[[], Content | None]) -> Content | None:
        try:
            found = os.stat(path)  # noqa: PTH116 - a third of what Path.stat takes
        except OSError:
            self._known.pop(path, None)
            return None
        signature = (found.st_mtime_ns, found.st_ino)
        known = self._known.get(path)
        if known is None or known[0] != signature:
            known = self._known[path] = (signature, parse())
        return known[1]

    def forget_all_but(self, paths: Collection[Path]) -> None:
        for path in [known for known in self._known if known not in paths]:
            del self._known[path]


@dataclass
class _Metered:
    """A workload, and what is known of it from before. `launch_token` tells one launch from the next."""

    launch_token: str
    replicas: list[CpuTally] = field(default_factory=list)


class UsageMeter:
    """Blocks for about 20 µs for every process of the machine: call it from a thread, one call at a time."""

    def __init__(
        self,
        records: Records,
        gpus: GpuReadings | None = None,
        *,
        table: Callable[[], ProcessTable] = read_process_table,
    ) -> None:
        self._records = records
        self._gpus = gpus or GpuReadings()
        self._table = table
        self._launches: Remembered[WorkloadRecord] = Remembered()
        self._reports: Remembered[ReplicaReport] = Remembered()
        self._metered: dict[str, _Metered] = {}

    def read(self, workload_ids: Collection[str]) -> dict[str, Usage]:
        """Those of the workloads of which a replica runs. What is not asked for is forgotten."""
        records = [record for workload_id in workload_ids if (record := self._record(workload_id))]
        table, boot = self._table(), boot_id()
        devices = {device for record in records for replica in record.gpus for device in replica}
        readings = self._gpus.read(devices)
        found = {}
        for record in records:
            trees = self._trees(record, table, boot)
            if not trees:
                continue
            own = [readings[device] for replica in record.gpus for device in replica if device in readings]
            metered = self._metered[record.workload.id]
            found[record.workload.id] = Usage(
                cpu_seconds=sum(replica.total_seconds for replica in metered.replicas),
                memory_bytes=sum(tree.memory_bytes for tree in trees),
                gpus=tuple(own),
            )
        self._forget(workload_ids)
        return found

    def _trees(self, record: WorkloadRecord, table: ProcessTable, boot: str) -> list[TreeUsage]:
        """Of the replicas that run now; counted too."""
        metered = self._metered.get(record.workload.id)
        if metered is None or metered.launch_token != record.launch_token:
            tallies = [CpuTally() for _ in range(record.workload.replicas)]
            metered = self._metered[record.workload.id] = _Metered(record.launch_token, tallies)
        trees = []
        for index, tally in enumerate(metered.replicas):
            report = self._report(record.workload.id, index)
            if report is None or report.final or report.shim.boot_id != boot:
                continue
            tree = table.below(report.shim.pid, report.shim.start_ticks)
            if tree is not None:
                tally.add(report.shim, tree.cpu_seconds)
                trees.append(tree)
        return trees

    def _record(self, workload_id: str) -> WorkloadRecord | None:
        def parse() -> WorkloadRecord | None:
            try:
                return self._records.load(workload_id)
            except RuntimeFailure:  # Whoever inspects it says so.
                return None

        return self._launches.read(self._records.running / workload_id / "workload.json", parse)

    def _report(self, workload_id: str, index: int) -> ReplicaReport | None:
        path = self._records.replica(workload_id, index) / "status.json"
        return self._reports.read(path, lambda: self._records.report(workload_id, index))

    def _forget(self, workload_ids: Collection[str]) -> None:
        kept = set(workload_ids)
        self._metered = {known: metered for known, metered in self._metered.items() if known in kept}
        self._launches.forget_all_but({self._records.running / known / "workload.json" for known in kept})
        self._reports.forget_all_but(
            {
                self._records.replica(known, index) / "status.json"
                for known, metered in self._metered.items()
                for index in range(len(metered.replicas))
            }
        )
