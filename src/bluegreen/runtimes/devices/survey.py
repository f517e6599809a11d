"""Which GPUs there are, how much of their memory is free and which processes compute on them, through NVML."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from bluegreen.domain.gpu_inventory import GpuProcess, GpuReading
from bluegreen.runtimes.devices.nvml import Nvml
from bluegreen.runtimes.devices.patient import ANSWER_SECONDS, PatientDriver

MEGABYTE = 2**20


class SurveyDriver(Protocol):
    def count(self) -> int: ...

    def read(self, index: int) -> GpuReading | None:
        """None when the device does not answer."""
        ...

    def close(self) -> None: ...


class NvmlSurveyDriver(Nvml):
    def count(self) -> int:
        return int(self._nvml.nvmlDeviceGetCount())

    def read(self, index: int) -> GpuReading | None:
        nvml = self._nvml
        try:
            device = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = str(nvml.nvmlDeviceGetUUID(device))
        except nvml.NVMLError:
            return None
        memory = self._value(lambda: nvml.nvmlDeviceGetMemoryInfo(device))
        # What only draws is asked for with another function, and so never counts.
        running = self._value(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(device))
        # Behind a server of CUDA's Multi-Process Service; the server itself is in the first list.
        served = self._value(lambda: nvml.nvmlDeviceGetMPSComputeRunningProcesses(device))
        mig = self._value(lambda: nvml.nvmlDeviceGetMigMode(device)[0] == nvml.NVML_DEVICE_MIG_ENABLE)
        return GpuReading(
            uuid,
            total_mb=None if memory is None else memory.total // MEGABYTE,
            free_mb=None if memory is None else memory.free // MEGABYTE,
            processes=None if running is None else tuple(_process(one) for one in (*running, *(served or ()))),
            mig=bool(mig),
        )


def _process(one: Any) -> GpuProcess:
    """Memory that NVML can't tell is None."""
    return GpuProcess(one.pid, None if one.usedGpuMemory is None else one.usedGpuMemory // MEGABYTE)


class GpuSurvey:
    """Blocks for `answer_seconds` at most, however the driver hangs; one caller at a time."""

    def __init__(
        self,
        open_driver: Callable[[], SurveyDriver] = NvmlSurveyDriver,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._driver = PatientDriver(
            open_driver,
            "nobody looks which GPUs others use and how much memory is free",
            answer_seconds=answer_seconds,
            monotonic=monotonic,
        )

    def detect(self) -> Sequence[int]:
        """Indices of the devices, within our own CUDA_VISIBLE_DEVICES if that is set to indices. () without a driver,
        and when it does not answer in time."""
        found: list[int] = []

        def question(driver: SurveyDriver) -> bool:
            found.extend(range(driver.count()))
            return True

        self._driver.ask(question, quiet=True)
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        if visible and all(part.strip().isdigit() for part in visible.split(",")):
            allowed = {int(part) for part in visible.split(",")}
            return [index for index in list(found) if index in allowed]
        return list(found)

    def read(self, devices: Collection[int]) -> Mapping[int, GpuReading] | None:
        """Those of the devices that answered in time. None when there never was a driver."""
        found: dict[int, GpuReading] = {}

        def question(driver: SurveyDriver) -> bool:
            for index in sorted(devices):
                if (reading := driver.read(index)) is not None:
                    found[index] = reading
            return bool(found)

        if devices:
            self._driver.ask(question)
        return dict(found) if self._driver.was_opened else None
