"""What GPUs say of themselves, through NVML (the extra `gpu`). No driver, no library, a hanging device: no numbers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Protocol

from bluegreen.domain.usage import GpuUsage

log = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0
"""A device that has fallen off its bus keeps the driver busy for minutes; the others' numbers don't wait for it."""
RETRY_SECONDS = 60.0
"""How long a driver that could not be opened, or knows none of the devices any more, is left alone."""


class GpuDriver(Protocol):
    def read(self, index: int) -> GpuUsage | None:
        """None when the device can't be read at all."""
        ...

    def close(self) -> None: ...


class NvmlDriver:
    """Raises ImportError or pynvml.NVMLError when there is none."""

    def __init__(self) -> None:
        import pynvml  # An extra, and slow to import.

        self._nvml: Any = pynvml
        pynvml.nvmlInit()

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

    def _value(self, ask: Callable[[], Any]) -> Any:
        """Not every device knows everything: a vGPU has no temperature, for one."""
        try:
            return ask()
        except self._nvml.NVMLError:
            return None

    def close(self) -> None:
        with suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()


class GpuReadings:
    """Asks from a thread of its own, which neither the caller nor the end of the process waits for when it hangs."""

    def __init__(
        self,
        open_driver: Callable[[], GpuDriver] = NvmlDriver,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_driver = open_driver
        self._answer_seconds = answer_seconds
        self._monotonic = monotonic
        self._driver: GpuDriver | None = None
        self._retry_at = 0.0
        self._asking: threading.Thread | None = None

    def read(self, devices: Collection[int]) -> Mapping[int, GpuUsage]:
        """Those of the devices that answered in time. Blocks for `answer_seconds` at most; one caller at a time."""
        if not devices or (self._asking is not None and self._asking.is_alive()):
            return {}
        found: dict[int, GpuUsage] = {}
        self._asking = threading.Thread(target=self._ask, args=(sorted(devices), found), name="gpus", daemon=True)
        self._asking.start()
        self._asking.join(self._answer_seconds)
        if self._asking.is_alive():
            log.warning("the GPU driver did not answer within %g s; GPUs are not measured", self._answer_seconds)
        return dict(found)

    def _ask(self, devices: list[int], found: dict[int, GpuUsage]) -> None:
        driver = self._driver or self._opened()
        if driver is None:
            return
        for index in devices:
            if (reading := driver.read(index)) is not None:
                found[index] = reading
        if not found:
            # A driver that was updated or restarted knows its devices again only after a new beginning.
            driver.close()
            self._driver, self._retry_at = None, self._monotonic() + RETRY_SECONDS

    def _opened(self) -> GpuDriver | None:
        if self._monotonic() < self._retry_at:
            return None
        try:
            self._driver = self._open_driver()
        except Exception as problem:  # Every kind of "there is none": not installed, no driver, no permission.
            log.warning("GPUs are not measured: %s", problem)
            self._retry_at = self._monotonic() + RETRY_SECONDS
        return self._driver
