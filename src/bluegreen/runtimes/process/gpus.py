"""The GPUs of processes: what their records say of them, and how a replica is shown exactly its own."""

from __future__ import annotations

from collections.abc import Sequence

from bluegreen.domain.gpu_inventory import Holding
from bluegreen.domain.gpus import GpuHolder
from bluegreen.runtimes.process.records import Records, WorkloadRecord


def gpu_environment(devices: Sequence[int]) -> dict[str, str]:
    """Variables that show a replica exactly its devices. Nothing is set for a replica that asked for none."""
    if not devices:
        return {}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, devices))}


def holding_of(records: Records, record: WorkloadRecord) -> Holding:
    """From the moment on at which the record is on disk, whether or not anything was started yet."""
    workload = record.workload
    reports = [records.report(workload.id, index) for index in range(workload.replicas)]
    return Holding(
        GpuHolder(workload.id, workload.service, record.gpu_sharing),
        devices=tuple(str(device) for replica in record.gpus for device in replica),
        roots=frozenset(report.shim.pid for report in reports if report is not None and report.shim.alive()),
    )
