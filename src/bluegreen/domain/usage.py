"""What the processes of a workload use of the machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuUsage:
    """One device. None is what the driver did not tell."""

    index: int
    utilization: float | None = None
    """Share of the time in which something was computed, 0 to 1."""
    memory_bytes: int | None = None
    temperature_celsius: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Of all processes of all replicas, those that they started included."""

    cpu_seconds: float
    """Consumed so far. Never shrinks while one controller looks at it; its growth per second are cores."""
    memory_bytes: int
    """Resident: pages that several processes share count for each of them."""
    gpus: tuple[GpuUsage, ...] = ()
    """The devices that it was given. With `gpu_sharing` the numbers are of both slots together."""

    @property
    def gpu_utilization(self) -> float | None:
        """The mean of the devices: 1 when all of them are busy."""
        known = _known(gpu.utilization for gpu in self.gpus)
        return sum(known) / len(known) if known else None

    @property
    def gpu_memory_bytes(self) -> int | None:
        known = _known(gpu.memory_bytes for gpu in self.gpus)
        return int(sum(known)) if known else None

    @property
    def gpu_temperature_celsius(self) -> float | None:
        """Of the hottest device."""
        return max(_known(gpu.temperature_celsius for gpu in self.gpus), default=None)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
