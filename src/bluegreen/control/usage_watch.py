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


class UsageWatch:
    """`observers` are the fleet's, by service: what they monitor is what is measured."""

    def __init__(self, observers: Mapping[str, Observer], runtime: WorkloadRuntime, clock: Clock) -> None:
        self._observers = observers
        self._runtime = runtime
        self._clock = clock
        self._readings: dict[str, UsageReading] = {}
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
        watched = [workload_id for observer in self._observers.values() for workload_id in observer.monitors]
        asked_at = self._clock.monotonic()
        usages = await self._runtime.usage(watched) if watched else {}
        self._readings = {known: UsageReading(asked_at, usage) for known, usage in usages.items()}

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except BluegreenError as error:
                log.warning("what the workloads use can't be read: %s", error.message)
            except Exception:
                log.exception("reading what the workloads use failed")
            await self._clock.sleep(USAGE_SECONDS)
