"""One place that gives out the GPUs of this machine, however many runtimes there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from bluegreen.control.ports import LaunchRequest
from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.gpu_inventory import GpuReading, Holding, make_inventory
from bluegreen.domain.gpus import Gpu, GpuDemand, GpuHolder, assign_gpus
from bluegreen.runtimes.devices.processes import owners_of
from bluegreen.runtimes.devices.survey import GpuSurvey

Holders = Callable[[], Awaitable[Sequence[Holding]]]


class DeviceAllocator:
    """`devices` are the indices that may be given out. Without a `survey` nobody asks the driver.

    It remembers nothing: who has what is read from disk, from the container engine and from the driver each time, so
    that a controller that begins after a crash knows all of it.
    """

    def __init__(self, devices: Sequence[int], survey: GpuSurvey | None = None) -> None:
        self.devices = tuple(devices)
        self._survey = survey
        self._holders: list[Holders] = []
        self._admission = asyncio.Lock()
        self._surveying = asyncio.Lock()

    def ask_too(self, holders: Holders) -> None:
        """Every runtime adds how to ask it which devices its workloads, and others that it sees, hold."""
        self._holders.append(holders)

    @asynccontextmanager
    async def assigned(self, demand: GpuDemand) -> AsyncIterator[tuple[tuple[int, ...], ...]]:
        """Indices for each replica. Nobody else is given any until the block ends: in it they must be written down
        where the holders are read from. Raises RuntimeFailure when there are too few."""
        async with self._admission:
            yield assign_gpus(await self.inventory() if demand.devices else (), demand)

    async def inventory(self) -> tuple[Gpu, ...]:
        """Every device and who has it. When a runtime can't tell what is held, each device has a problem."""
        if not self.devices:
            return ()
        # Holders first: what starts meanwhile was not on a device before it was written down.
        holdings: list[Holding] = []
        unseen = ""
        for holders in self._holders:
            try:
                holdings += await holders()
            except RuntimeFailure as problem:
                unseen = unseen or problem.message
        async with self._surveying:
            readings, owners = await asyncio.to_thread(self._look, holdings)
        return make_inventory(self.devices, readings, holdings, owners, unseen=unseen)

    def _look(self, holdings: Sequence[Holding]) -> tuple[Mapping[int, GpuReading] | None, Mapping[int, GpuHolder]]:
        readings = self._survey.read(self.devices) if self._survey else None
        found = readings.values() if readings else ()
        return readings, owners_of({one.pid for reading in found for one in reading.processes or ()}, holdings)


def demand_of(request: LaunchRequest, replicas: int) -> GpuDemand:
    """Of so many replicas that are to be started."""
    workload = request.workload
    return GpuDemand(
        workload.id,
        workload.service,
        replicas,
        workload.resources.gpus,
        memory_mb=request.gpu_memory_mb,
        sharing=request.gpu_sharing,
    )


def devices_to_give(found: Sequence[int], stated: int | None) -> Sequence[int]:
    """Of those that the driver found, as many as `stated`. A statement of more is believed: it pretends."""
    if stated is None:
        return found
    return found[:stated] if stated <= len(found) else range(stated)
