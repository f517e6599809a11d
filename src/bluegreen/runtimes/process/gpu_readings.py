"""What GPUs say of themselves, through NVML (the extra `gpu`). No driver, no library, a hanging device: no numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from bluegreen.domain.usage import GpuUsage
from bluegreen.runtimes.devices.nvml import Nvml
from bluegreen.runtimes.devices.patient import ANSWER_SECONDS, PatientDriver


class GpuDriver(Protocol):
    def read(self, index: int) -> GpuUsage | None:
        """None when the device can't be read at all."""
        ...

    def close(self) -> None: ...


class NvmlDriver(Nvml):
    def read(self, index: int) -> GpuUsage | None:
        nvml = self._nvml
        try:
            device = nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError:
            return None
        percent = self._value(lambda: nvml.nvmlDeviceGetUtilizationRates(device).gpu)
        used = self._value(lambda: nvml.nvmlDeviceGetMemoryInfo(device).used)
        celsius = self._value(lambda: nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU))
        if percent is None and used is None and celsius is None:
            return None
        return GpuUsage(index, None if percent is None else percent / 100, used, celsius)


class GpuReadings:
    def __init__(
        self,
        open_driver: Callable[[], GpuDriver] = NvmlDriver,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._driver = PatientDriver(
            open_driver, "GPUs are not measured", answer_seconds=answer_seconds, monotonic=monotonic
        )

    def read(self, devices: Collection[int]) -> Mapping[int, GpuUsage]:
        """Those of the devices that answered in time. Blocks for `answer_seconds` at most; one caller at a time."""
        found: dict[int, GpuUsage] = {}

        def question(driver: GpuDriver) -> bool:
            for index in sorted(devices):
                if (reading := driver.read(index)) is not None:
                    found[index] = reading
            return bool(found)

        if devices:
            self._driver.ask(question)
        return dict(found)
