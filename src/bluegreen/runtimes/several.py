"""Several runtimes side by side, as one: each service's workloads run where it says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bluegreen.control.ports import LaunchRequest, LogPage, Preparation, Progress, WorkloadRuntime
from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.gpus import held_gpus, seen_together
from bluegreen.domain.model import Capacity, Resources, WorkloadStatus
from bluegreen.domain.usage import Usage

T = TypeVar("T")


class SeveralRuntimes:
    """`runtimes` by the name that services have in `runtime`. They share one machine, but for those that are named in
    `elsewhere`: its capacity is that of the first, and what all of them use is used.

    A workload is looked for where it was last seen, then everywhere. That one runtime does not have it says nothing
    while another can't be asked: then RuntimeFailure is raised, never None returned.
    """

    def __init__(self, runtimes: Mapping[str, WorkloadRuntime], *, elsewhere: Collection[str] = ()) -> None:
        self._runtimes = dict(runtimes)
        self._elsewhere = frozenset(elsewhere) & self._runtimes.keys()
        self._where: dict[str, WorkloadRuntime] = {}

    def _named(self, request: LaunchRequest) -> WorkloadRuntime:
        found = self._runtimes.get(request.runtime)
        if found is None:
            raise RuntimeFailure(
                f"{request.workload.id} is to run on {request.runtime}, which this daemon has not opened",
                hint="Start the daemon again: bluegreen down --daemon, bluegreen up. Traffic and workloads go on.",
            )
        return found

    async def prepare(self, request: LaunchRequest, progress: Progress) -> Preparation:
        return await self._named(request).prepare(request, progress)

    async def start(self, request: LaunchRequest) -> WorkloadStatus:
        """A workload that exists is adopted where it is, also after its service was moved to another runtime."""
        found = self._named(request)
        for runtime in self._in_order(request.workload.id):
            with suppress(RuntimeFailure):  # Of one that is away nothing is to be adopted now.
                if runtime is not found and await runtime.inspect(request.workload.id) is not None:
                    found = runtime
                    break
        status = await found.start(request)
        self._where[request.workload.id] = found
        return status

    async def inspect(self, workload_id: str) -> WorkloadStatus | None:
        problem: RuntimeFailure | None = None
        for runtime in self._in_order(workload_id):
            try:
                status = await runtime.inspect(workload_id)
            except RuntimeFailure as failure:
                if runtime is self._where.get(workload_id):
                    raise
                problem = problem or failure
                continue
            if status is not None:
                self._where[workload_id] = runtime
                return status
            if self._where.get(workload_id) is runtime:
                del self._where[workload_id]
        if problem is not None:
            raise problem
        return None

    async def list(self) -> Sequence[WorkloadStatus]:
        found = await self._ask_all(lambda runtime: runtime.list())
        return sorted((status for statuses in found for status in statuses), key=lambda status: status.workload.id)

    async def stop(self, workload_id: str) -> None:
        holder = await self._holder(workload_id)
        if holder is not None:
            await holder.stop(workload_id)
            self._where.pop(workload_id, None)

    async def logs(self, workload_id: str, *, lines: int = 100) -> Sequence[str]:
        return (await self.log_page(workload_id, lines=lines)).lines

    async def log_page(self, workload_id: str, *, position: str = "", lines: int = 100) -> LogPage:
        """Also of one that is stopped, which no runtime lists any more: from the first that has some. Only one that
        gave a position is asked for more."""
        problem: RuntimeFailure | None = None
        for runtime in self._in_order(workload_id):
            try:
                page = await runtime.log_page(workload_id, position=position, lines=lines)
            except RuntimeFailure as failure:
                problem = problem or failure
                continue
            if page.position or (page.lines and not position):
                return page
        if problem is not None:
            raise problem
        return LogPage()

    async def log_files(self, workload_id: str) -> Sequence[Path]:
        for runtime in self._in_order(workload_id):
            if found := await runtime.log_files(workload_id):
                return found
        return ()

    async def heal(self, workload_id: str) -> None:
        if (holder := await self._holder(workload_id)) is not None:
            await holder.heal(workload_id)

    async def capacity(self, runtime: str = "") -> Capacity:
        """Of one whose engine is elsewhere: its own. The others share this machine."""
        if runtime in self._elsewhere:
            return await self._runtimes[runtime].capacity()
        here = [each for name, each in self._runtimes.items() if name not in self._elsewhere]
        capacities = await asyncio.gather(*(each.capacity() for each in here))
        used = Resources()
        for capacity in capacities:
            used = used.plus(capacity.used)
        known = [capacity.gpus for capacity in capacities if capacity.gpus is not None]
        inventory = seen_together(known) if len(known) == len(capacities) else None
        if inventory is not None:
            used = replace(used, gpus=held_gpus(inventory))  # Each may have seen the devices of all.
        strangers = tuple(stranger for capacity in capacities for stranger in capacity.strangers)
        return Capacity(capacities[0].total, used, inventory, strangers)

    async def usage(self, workload_ids: Collection[str]) -> Mapping[str, Usage]:
        """Of the runtimes that can be asked: what is missing was not measured."""
        found: dict[str, Usage] = {}
        for runtime in self._runtimes.values():
            try:
                found |= await runtime.usage(workload_ids)
            except RuntimeFailure:
                continue
        return found

    async def aclose(self) -> None:
        await asyncio.gather(*(runtime.aclose() for runtime in self._runtimes.values()))

    def _in_order(self, workload_id: str) -> Sequence[WorkloadRuntime]:
        known = self._where.get(workload_id)
        others = [runtime for runtime in self._runtimes.values() if runtime is not known]
        return [known, *others] if known is not None else others

    async def _holder(self, workload_id: str) -> WorkloadRuntime | None:
        """Where it is, None when it is nowhere. Raises RuntimeFailure when that can't be told."""
        await self.inspect(workload_id)
        return self._where.get(workload_id)

    async def _ask_all(self, ask: Callable[[WorkloadRuntime], Awaitable[T]]) -> Sequence[T]:
        return await asyncio.gather(*(ask(runtime) for runtime in self._runtimes.values()))
