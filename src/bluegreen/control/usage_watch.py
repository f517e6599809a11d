"""What workloads use of the machine, asked for all of them at once every few seconds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from bluegreen.control.observer import Observer
from bluegreen.control.ports import Clock, WorkloadRuntime
from bluegreen.domain.errors import BluegreenError
from bluegreen.domain.usage import Usage

log = logging.getLogger(__name__)

USAGE_SECONDS = 5.0
FRESH_SECONDS = 3 * USAGE_SECONDS
"""What was read longer ago says nothing about now."""


@dataclass(frozen=True, slots=True)
class UsageReading:
    at: float
    """Monotonic."""
    usage: Usage
    age_seconds: float
    """Since the workload was started."""


class UsageWatch:
    """`observers` are the fleet's, by service: what they monitor is what is measured."""

    def __init__(self, observers: Mapping[str, Observer], runtime: WorkloadRuntime, clock: Clock) -> None:
        self._observers = observers
        self._runtime = runtime
        self._clock = clock
        self._readings: dict[str, UsageReading] = {}
        self._told: dict[str, UsageReading] = {}
        """What `news` last told of each workload."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="usage")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def reading(self, workload_id: str) -> UsageReading | None:
        """The newest; None when there is none that is fresh."""
        reading = self._readings.get(workload_id)
        return reading if reading is not None and self._clock.monotonic() - reading.at < FRESH_SECONDS else None

    async def look(self) -> None:
        """Asks now. Raises what the runtime raises."""
        watched = {
            workload_id: monitor.status.created_at
            for observer in self._observers.values()
            for workload_id, monitor in observer.monitors.items()
            if monitor.status is not None
        }
        asked_at, now = self._clock.monotonic(), self._clock.now()
        usages = await self._runtime.usage(watched) if watched else {}
        self._readings = {
            known: UsageReading(asked_at, usage, max(0.0, now - watched[known])) for known, usage in usages.items()
        }
        self._told = {known: told for known, told in self._told.items() if known in self._readings}

    def news(self, workload_id: str) -> dict[str, float]:
        """The newest reading as columns of a sample (domain/columns.py), once: a sample for which there is no newer one
        says nothing of the machine. What was consumed is told from the second reading on, with the time it took."""
        reading, before = self._readings.get(workload_id), self._told.get(workload_id)
        if reading is None or reading is before:
            return {}
        self._told[workload_id] = reading
        return columns_of(reading, before)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except BluegreenError as error:
                log.warning("what the workloads use can't be read: %s", error.message)
            except Exception:
                log.exception("reading what the workloads use failed")
            await self._clock.sleep(USAGE_SECONDS)


def columns_of(reading: UsageReading, before: UsageReading | None) -> dict[str, float]:
    usage = reading.usage
    known: dict[str, float | None] = {
        "memory_bytes": usage.memory_bytes,
        "gpu_memory_bytes": usage.gpu_memory_bytes,
        "gpu_celsius": usage.gpu_temperature_celsius,
        "age_seconds": reading.age_seconds,
    }
    busy = [gpu.utilization for gpu in usage.gpus if gpu.utilization is not None]
    if busy:
        known |= {"gpus": len(busy), "gpus_busy": sum(busy)}
    # Less than before: the runtime began to count anew, and when what it says was consumed nobody knows.
    if before is not None and usage.cpu_seconds >= before.usage.cpu_seconds and reading.at > before.at:
        known["usage_milliseconds"] = round((reading.at - before.at) * 1000)
        known["cpu_milliseconds"] = round((usage.cpu_seconds - before.usage.cpu_seconds) * 1000)
    return {name: float(value) for name, value in known.items() if value is not None}
