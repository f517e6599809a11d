"""What containers hold of the machine, ours and others: GPUs, and the limits of those that are not ours. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bluegreen.domain.gpu_inventory import ALL, Holding
from bluegreen.domain.gpus import GpuHolder
from bluegreen.domain.model import Reservation, Resources
from bluegreen.runtimes.docker.container import MANAGED_BY
from bluegreen.runtimes.docker.observation import Containers
from bluegreen.runtimes.docker.records import WorkloadRecord

DEFAULT_CPU_PERIOD = 100_000
"""Microseconds, of a CPU quota that comes without one."""
CDI_NAME = "nvidia.com/gpu="


def holding_of(record: WorkloadRecord, containers: Containers) -> Holding:
    """From the moment on at which the record is on disk, whether or not a container was made yet."""
    workload = record.workload
    return Holding(
        GpuHolder(workload.id, workload.service, record.request.gpu_sharing),
        devices=tuple(str(device) for replica in record.replicas for device in replica.gpus),
        roots=frozenset(each["State"]["Pid"] for each in containers.values() if each["State"]["Pid"]),
        containers=frozenset(each["Id"] for each in containers.values()),
    )


def holding_of_stranger(container: Mapping[str, Any]) -> Holding:
    """Of one that runs and is not ours."""
    labels = container["Config"].get("Labels") or {}
    whose = "another bluegreen's" if MANAGED_BY.items() <= labels.items() else "not bluegreen's"
    return Holding(
        GpuHolder(f"{_name(container)} ({whose})"),
        devices=tuple(dict.fromkeys(_requested_devices(container))),
        roots=frozenset({container["State"]["Pid"]}),
        containers=frozenset({container["Id"]}),
    )


def strangers_of(containers: Iterable[Mapping[str, Any]]) -> tuple[Reservation, ...]:
    """Those that have a limit; one without reserves nothing, as a workload of ours that asks for nothing."""
    found = (Reservation(_name(container), _limits(container["HostConfig"])) for container in containers)
    return tuple(sorted((one for one in found if one.resources != Resources()), key=lambda one: one.name))


def _name(container: Mapping[str, Any]) -> str:
    return f"container `{str(container['Name']).lstrip('/')}`"


def _limits(host: Mapping[str, Any]) -> Resources:
    cpus = (host.get("NanoCpus") or 0) / 1e9
    quota = host.get("CpuQuota") or 0
    if not cpus and quota > 0:
        cpus = quota / (host.get("CpuPeriod") or DEFAULT_CPU_PERIOD)
    return Resources(cpus=cpus, memory_mb=max(0, host.get("Memory") or 0) // 2**20)


def _requested_devices(container: Mapping[str, Any]) -> Iterator[str]:
    """By `--gpus`, by CDI, and by the variable that NVIDIA's own container runtime reads."""
    host = container["HostConfig"]
    for request in host.get("DeviceRequests") or ():
        capabilities = {name for names in request.get("Capabilities") or () for name in names}
        if request.get("Driver") not in ("nvidia", "cdi") and "gpu" not in capabilities:
            continue
        named = request.get("DeviceIDs") or ()
        yield from (name.removeprefix(CDI_NAME) for name in named if "=" not in name or name.startswith(CDI_NAME))
        count = 0 if named else request.get("Count") or 0
        # The toolkit takes the first ones for a number, and all for -1.
        yield from (ALL,) if count < 0 else map(str, range(count))
    if host.get("Runtime") == "nvidia":
        for line in container["Config"].get("Env") or ():
            name, _, text = line.partition("=")
            if name == "NVIDIA_VISIBLE_DEVICES" and text not in ("", "none", "void"):
                yield from (part.strip() for part in text.split(",") if part.strip())
