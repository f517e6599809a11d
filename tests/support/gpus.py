"""GPUs that are not there: a module in the place of `pynvml`, with as much of it as is asked for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

MEGABYTE = 2**20


class NVMLError(Exception):
    """As the real one: raised for everything that a device or the driver does not do."""


@dataclass
class FakeGpu:
    """`computing` and `served` (behind a Multi-Process Service) are megabytes by pid, None where NVML can't tell.
    `drawing` are graphics processes, which NVML has another function for. None for `mig`: no such mode."""

    uuid: str
    total_mb: int = 8000
    free_mb: int = 8000
    computing: dict[int, int | None] = field(default_factory=dict)
    served: dict[int, int | None] = field(default_factory=dict)
    drawing: dict[int, int | None] = field(default_factory=dict)
    mig: bool | None = None
    lost: bool = False


class FakeNvml:
    """Put it into `sys.modules["pynvml"]`. Without `driver` it can't be opened; `hangs` holds every question about the
    device `hanging`."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0
    NVML_DEVICE_MIG_ENABLE = 1

    def __init__(self, *gpus: FakeGpu, driver: bool = True) -> None:
        self.gpus = list(gpus)
        self.driver = driver
        self.hanging: int | None = None
        self.hangs = threading.Event()

    def nvmlInit(self) -> None:
        if not self.driver:
            raise NVMLError("driver not loaded")

    def nvmlShutdown(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        if index == self.hanging:
            self.hangs.wait(60)
        if index >= len(self.gpus) or self.gpus[index].lost:
            raise NVMLError("GPU is lost")
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, gpu: FakeGpu) -> str:
        return gpu.uuid

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu) -> Any:
        total, free = gpu.total_mb * MEGABYTE, gpu.free_mb * MEGABYTE
        return SimpleNamespace(total=total, free=free, used=total - free)

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: FakeGpu) -> list[Any]:
        return _processes(gpu.computing)

    def nvmlDeviceGetMPSComputeRunningProcesses(self, gpu: FakeGpu) -> list[Any]:
        if not gpu.served:
            raise NVMLError("not supported")
        return _processes(gpu.served)

    def nvmlDeviceGetGraphicsRunningProcesses(self, gpu: FakeGpu) -> list[Any]:
        return _processes(gpu.drawing)

    def nvmlDeviceGetMigMode(self, gpu: FakeGpu) -> list[int]:
        if gpu.mig is None:
            raise NVMLError("not supported")
        return [int(gpu.mig), int(gpu.mig)]

    def nvmlDeviceGetUtilizationRates(self, _gpu: FakeGpu) -> Any:
        return SimpleNamespace(gpu=50)

    def nvmlDeviceGetTemperature(self, _gpu: FakeGpu, _sensor: int) -> int:
        raise NVMLError("not supported")


def _processes(megabytes: dict[int, int | None]) -> list[Any]:
    return [
        SimpleNamespace(pid=pid, usedGpuMemory=None if used is None else used * MEGABYTE)
        for pid, used in megabytes.items()
    ]
