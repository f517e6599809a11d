"""Which replica gets which GPU. Devices are whole and shared by nobody."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from bluegreen.domain.errors import RuntimeFailure


def detect_gpus() -> tuple[int, ...]:
    """Indices of the devices that NVML reports, within our own CUDA_VISIBLE_DEVICES if that is set to indices.
    () without the driver or without the `gpu` extra."""
    try:
        import pynvml  # An extra, and slow to import.

        pynvml.nvmlInit()
    except Exception:  # Every kind of "there is none": not installed, no driver, no permission.
        return ()
    try:
        indices = tuple(range(pynvml.nvmlDeviceGetCount()))
    finally:
        pynvml.nvmlShutdown()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if visible and all(part.strip().isdigit() for part in visible.split(",")):
        allowed = {int(part) for part in visible.split(",")}
        return tuple(index for index in indices if index in allowed)
    return indices


def assign_gpus(
    inventory: Sequence[int], taken: Collection[int], *, replicas: int, per_replica: int, workload_id: str
) -> tuple[tuple[int, ...], ...]:
    """Device indices for each replica, none of them in `taken`. Raises RuntimeFailure when too few are free."""
    free = [index for index in inventory if index not in taken]
    wanted = replicas * per_replica
    if wanted > len(free):
        raise RuntimeFailure(
            f"{workload_id} wants {wanted} GPUs ({replicas} replicas with {per_replica} each), "
            f"{len(free)} of {len(inventory)} are free",
            hint="Stop a workload that holds some, or lower `replicas` or `gpus`.",
        )
    return tuple(tuple(free[index * per_replica : (index + 1) * per_replica]) for index in range(replicas))


def gpu_environment(devices: Sequence[int]) -> dict[str, str]:
    """Variables that show a replica exactly its devices. Nothing is set for a replica that asked for none."""
    if not devices:
        return {}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, devices))}
