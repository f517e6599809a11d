"""A runtime that runs nothing: for simulations and tests of everything above the port."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bluegreen.control.ports import LaunchRequest, LogPage, Preparation, Progress, PullProgress
from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.gpu_inventory import Holding, make_inventory
from bluegreen.domain.gpus import Gpu, GpuHolder, assign_gpus, held_gpus
from bluegreen.domain.model import (
    Capacity,
    Endpoint,
    ReplicaStatus,
    Resources,
    WorkloadState,
    WorkloadStatus,
)
from bluegreen.domain.usage import Usage
from bluegreen.runtimes.devices.allocator import demand_of


@dataclass(frozen=True, slots=True)
class Behavior:
    """How the workloads of an image act. The default starts at once, lives on and stops when told.

    A replica listens from its `listens_after_inspects`-th inspection on. `start_failure` is raised by `start`,
    `prepare_failure` by `prepare`, which reports `pulled_bytes` before. `replica_error` is what every replica has
    instead of running (command not found). `healths` is what the runtime's own check says, inspection by inspection;
    the last one stays.
    `crashes_at_inspects`: at these inspections replica 0 ends with exit code 1 and is started again. The first
    `failing_stops` calls of `stop` raise, as when a process hangs in the kernel.
    """

    listens_after_inspects: int = 0
    start_failure: str = ""
    prepare_failure: str = ""
    pulled_bytes: tuple[int, ...] = ()
    digest: str = ""
    healths: tuple[str, ...] = ()
    replica_error: str = ""
    crashes_at_inspects: frozenset[int] = frozenset()
    failing_stops: int = 0
    output: tuple[str, ...] = ()


@dataclass
class _Running:
    status: WorkloadStatus
    behavior: Behavior
    gpus: frozenset[int]
    gpu_sharing: bool
    inspects: int = 0
    failed_stops: int = 0


class FakeRuntime:
    """In memory. `behaviors` maps images to what their workloads do; change it at any time before a start.

    `calls` is what was asked, in order, such as `("start", "inference-model-2")`.
    """

    def __init__(
        self,
        *,
        capacity: Resources | None = None,
        behaviors: dict[str, Behavior] | None = None,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.behaviors = behaviors if behaviors is not None else {}
        self.away = False
        """Whether nobody answers, as when the engine of containers is down."""
        self.pull_gate: asyncio.Event | None = None
        """Pulls wait for it, when there is one."""
        self.calls: list[tuple[str, str]] = []
        self.usages: dict[str, Usage] = {}
        """What workloads use, by id, instead of nothing but some memory."""
        self.requests: dict[str, LaunchRequest] = {}
        """What each workload was started with."""
        self.gpu_strangers: dict[int, str] = {}
        """Who else has GPUs, by index."""
        self._total = capacity or Resources(gpus=8, cpus=64.0, memory_mb=2**20)
        self._now = now
        self._running: dict[str, _Running] = {}
        self._logs: dict[str, list[str]] = {}
        self._ports = itertools.count(20000)

    async def prepare(self, request: LaunchRequest, progress: Progress) -> Preparation:
        self._require_answer()
        image = request.workload.image
        self.calls.append(("prepare", image))
        behavior = self.behaviors.get(image, Behavior())
        if self.pull_gate is not None:
            await self.pull_gate.wait()
        for received_bytes in behavior.pulled_bytes:
            await progress(PullProgress(received_bytes, behavior.pulled_bytes[-1]))
        if behavior.prepare_failure:
            raise RuntimeFailure(behavior.prepare_failure)
        digest = request.workload.digest or behavior.digest
        return Preparation(digest, "pulled" if behavior.pulled_bytes else "")

    async def start(self, request: LaunchRequest) -> WorkloadStatus:
        workload = request.workload
        self._require_answer()
        self.calls.append(("start", workload.id))
        self.requests[workload.id] = request
        before = self._running.get(workload.id)
        there = before.status.replicas if before else ()
        if before and workload.replicas <= len(there):
            return before.status
        behavior = self.behaviors.get(workload.image, Behavior())
        if behavior.start_failure:
            raise RuntimeFailure(behavior.start_failure)
        assigned = assign_gpus(self._inventory(), demand_of(request, workload.replicas - len(there)))
        gpus = frozenset(index for devices in assigned for index in devices) | (before.gpus if before else frozenset())
        added = (self._new_replica(index, behavior) for index in range(len(there), workload.replicas))
        replicas = (*there, *added)
        created_at = before.status.created_at if before else self._now()
        status = WorkloadStatus(workload, _state_of(replicas), replicas, created_at=created_at)
        self._running[workload.id] = _Running(status, behavior, gpus, request.gpu_sharing)
        self._logs[workload.id] = [
            f"replica-{replica.index} | {line}" for replica in replicas for line in behavior.output
        ]
        return status

    def _new_replica(self, index: int, behavior: Behavior) -> ReplicaStatus:
        if behavior.replica_error:
            return ReplicaStatus(index, WorkloadState.FAILED, error=behavior.replica_error)
        port = next(self._ports)
        listens = behavior.listens_after_inspects == 0
        return ReplicaStatus(index, WorkloadState.RUNNING, Endpoint("127.0.0.1", port), pid=port, listening=listens)

    def _require_answer(self) -> None:
        if self.away:
            raise RuntimeFailure("the fake runtime does not answer")

    async def inspect(self, workload_id: str) -> WorkloadStatus | None:
        self._require_answer()
        running = self._running.get(workload_id)
        if running is None:
            return None
        running.inspects += 1
        if running.inspects in running.behavior.crashes_at_inspects:
            self.crash(workload_id, 0)
        if running.inspects >= running.behavior.listens_after_inspects:
            self._change(workload_id, lambda replica: replace(replica, listening=_runs(replica)))
        if healths := running.behavior.healths:
            health = healths[min(running.inspects, len(healths)) - 1]
            self._change(workload_id, lambda replica: replace(replica, health=health))
        return running.status

    async def list(self) -> Sequence[WorkloadStatus]:
        self._require_answer()
        return [self._running[workload_id].status for workload_id in sorted(self._running)]

    async def stop(self, workload_id: str) -> None:
        self.calls.append(("stop", workload_id))
        running = self._running.get(workload_id)
        if running is not None and running.failed_stops < running.behavior.failing_stops:
            running.failed_stops += 1
            raise RuntimeFailure(f"processes of {workload_id} do not end")
        self._running.pop(workload_id, None)

    async def logs(self, workload_id: str, *, lines: int = 100) -> Sequence[str]:
        return self._logs.get(workload_id, [])[-lines:] if lines > 0 else []

    async def log_page(self, workload_id: str, *, position: str = "", lines: int = 100) -> LogPage:
        return LogPage(tuple(await self.logs(workload_id, lines=lines)))

    async def log_files(self, workload_id: str) -> Sequence[Path]:
        return ()

    async def heal(self, workload_id: str) -> None:
        """Starts replicas again that `lose` took away."""
        self.calls.append(("heal", workload_id))
        self._change(
            workload_id,
            lambda replica: (
                replace(replica, state=WorkloadState.RUNNING, listening=True, restarts=replica.restarts + 1)
                if replica.state is WorkloadState.FAILED and not replica.error
                else replica
            ),
        )

    async def capacity(self, runtime: str = "") -> Capacity:
        used = Resources()
        for running in self._running.values():
            workload = running.status.workload
            used = used.plus(workload.resources.times(workload.replicas))
        inventory = self._inventory()
        return Capacity(self._total, replace(used, gpus=held_gpus(inventory)), inventory)

    def _inventory(self) -> tuple[Gpu, ...]:
        holdings = [
            Holding(
                GpuHolder(workload_id, running.status.workload.service, running.gpu_sharing),
                tuple(map(str, running.gpus)),
            )
            for workload_id, running in self._running.items()
        ]
        strangers = [Holding(GpuHolder(name), (str(index),)) for index, name in self.gpu_strangers.items()]
        return make_inventory(range(self._total.gpus), None, [*holdings, *strangers], {})

    async def usage(self, workload_ids: Collection[str]) -> Mapping[str, Usage]:
        runs = {
            workload_id: running.status
            for workload_id, running in self._running.items()
            if workload_id in workload_ids and any(map(_runs, running.status.replicas))
        }
        return {
            workload_id: self.usages.get(workload_id, Usage(0.0, len(status.replicas) * 2**24))
            for workload_id, status in runs.items()
        }

    async def aclose(self) -> None:
        return None

    # -- what happens to workloads --------------------------------------------------------------------------------

    def crash(self, workload_id: str, index: int, *, exit_code: int = 1) -> None:
        """A replica ends by itself and is started again."""
        self._change(
            workload_id,
            lambda replica: replace(replica, restarts=replica.restarts + 1, exit_code=exit_code),
            index,
        )

    def lose(self, workload_id: str, index: int) -> None:
        """A replica ends and nobody starts it again, until `heal`."""
        self._change(workload_id, lambda replica: replace(replica, state=WorkloadState.FAILED, listening=False), index)

    def _change(
        self, workload_id: str, change: Callable[[ReplicaStatus], ReplicaStatus], index: int | None = None
    ) -> None:
        running = self._running.get(workload_id)
        if running is None:
            return
        replicas = tuple(
            change(replica) if index in (None, replica.index) else replica for replica in running.status.replicas
        )
        running.status = replace(running.status, replicas=replicas, state=_state_of(replicas))


def _runs(replica: ReplicaStatus) -> bool:
    return replica.state is WorkloadState.RUNNING


def _state_of(replicas: Sequence[ReplicaStatus]) -> WorkloadState:
    return WorkloadState.RUNNING if all(map(_runs, replicas)) else WorkloadState.FAILED
