"""The runtime for workloads that are processes of this machine. Everything it knows is on disk."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from bluegreen.control.ports import LaunchRequest, LogPage, Preparation, Progress
from bluegreen.domain.errors import BluegreenError, RuntimeFailure
from bluegreen.domain.gpu_inventory import Holding
from bluegreen.domain.gpus import held_gpus
from bluegreen.domain.model import Capacity, Resources, WorkloadStatus
from bluegreen.domain.usage import Usage
from bluegreen.runtimes.devices.allocator import DeviceAllocator, demand_of
from bluegreen.runtimes.process import machine
from bluegreen.runtimes.process.gpus import gpu_environment, holding_of
from bluegreen.runtimes.process.launch_plan import ShimSettings, launch_plan, supervision_plan
from bluegreen.runtimes.process.launcher import (
    LAUNCH_VARIABLE,
    end_leftovers,
    end_shim,
    lock_is_held,
    reap_shims,
    start_shim,
)
from bluegreen.runtimes.process.listening import local_listeners
from bluegreen.runtimes.process.observation import observe, read_logs, replica_directories
from bluegreen.runtimes.process.records import Records, WorkloadRecord, valid_workload_id
from bluegreen.runtimes.process.usage import UsageMeter


class ProcessRuntime:
    """Runs each replica under a shim of its own, which outlives this object and its process.

    `base_directory` is where relative work directories begin. `capacity` defaults to what the machine has,
    `environment` to the process's own; replicas get only its base variables (`machine.INHERITED_VARIABLES`).
    `ports` are the first and last port for replicas. Of stopped workloads the logs of the last `keep_stopped`
    of each service are kept. `devices` gives out the GPUs; it is one for all runtimes of a machine.
    """

    def __init__(
        self,
        directory: Path,
        *,
        base_directory: Path,
        capacity: Resources | None = None,
        environment: Mapping[str, str] | None = None,
        ports: tuple[int, int] | None = None,
        shim: ShimSettings | None = None,
        keep_stopped: int = 10,
        devices: DeviceAllocator | None = None,
    ) -> None:
        self._records = Records(directory.absolute())
        self._base_directory = base_directory.absolute()
        self._total = capacity or machine.detect_resources()
        self._devices = devices or DeviceAllocator(range(self._total.gpus))
        self._devices.ask_too(self._holdings)
        self._environment = machine.base_environment(os.environ if environment is None else environment)
        self._ports = ports or machine.choose_port_range(machine.ephemeral_ports())
        self._shim = shim or ShimSettings()
        self._keep_stopped = keep_stopped
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._meter = UsageMeter(self._records)
        self._metering = asyncio.Lock()

    async def prepare(self, request: LaunchRequest, progress: Progress) -> Preparation:
        """A command is there or not; a start tells."""
        return Preparation()

    async def start(self, request: LaunchRequest) -> WorkloadStatus:
        """Returns when every replica's command runs or turned out not to be startable, which its status says."""
        workload = request.workload
        async with self._lock_of(workload.id):
            record = self._records.load(workload.id)
            if record is not None and self._records.is_stopping(workload.id):
                await self._end(record)  # A stop was cut short; it is finished before anything new begins.
                record = None
            if record is not None:
                record = await self._grown(record, request)
                await self._respawn_dead(record)
                return self._observe(record)
            record = await self._admit(request, self._plan(request))
            try:
                await self._spawn(record, range(workload.replicas))
            except BluegreenError as problem:
                await self._end(record)
                raise RuntimeFailure(
                    f"{workload.id} could not be started, nothing of it is left running: {problem}"
                ) from problem
            return self._observe(record)

    async def inspect(self, workload_id: str) -> WorkloadStatus | None:
        record = self._records.load(workload_id)
        return self._observe(record) if record else None

    async def list(self) -> Sequence[WorkloadStatus]:
        reap_shims()
        listeners = local_listeners()
        return [observe(self._records, record, listeners) for record in self._records.all()]

    async def stop(self, workload_id: str) -> None:
        async with self._lock_of(workload_id):
            record = self._records.load(workload_id)
            if record is not None:
                await self._end(record)

    async def logs(self, workload_id: str, *, lines: int = 100) -> Sequence[str]:
        """Of all replicas together at most `lines`, each `replica-0 | ...`, replica after replica."""
        path = self._records.kept(workload_id)
        return await asyncio.to_thread(read_logs, path, lines) if path else ()

    async def capacity(self, runtime: str = "") -> Capacity:
        used = Resources()
        for record in self._records.all():
            used = used.plus(record.workload.resources.times(record.workload.replicas))
        inventory = await self._devices.inventory()
        return Capacity(self._total, replace(used, gpus=held_gpus(inventory)), inventory)

    async def usage(self, workload_ids: Collection[str]) -> Mapping[str, Usage]:
        async with self._metering:
            return await asyncio.to_thread(self._meter.read, workload_ids)

    async def log_page(self, workload_id: str, *, position: str = "", lines: int = 100) -> LogPage:
        return LogPage(tuple(await self.logs(workload_id, lines=lines)))

    async def log_files(self, workload_id: str) -> Sequence[Path]:
        """By replica; after a stop too. A file is renamed to <name>.1 when it is full, and a new one begins."""
        path = self._records.kept(workload_id)
        return [replica / "output.log" for replica in replica_directories(path)] if path else ()

    async def heal(self, workload_id: str) -> None:
        """Starts again the replicas whose shim died (it was killed, or the machine was booted); each counts as a
        restart. A workload that is being stopped is left alone."""
        async with self._lock_of(workload_id):
            record = self._records.load(workload_id)
            if record is not None and not self._records.is_stopping(workload_id):
                await self._respawn_dead(record)

    async def aclose(self) -> None:
        """Nothing is held open: shims need nobody."""

    # -- starting -------------------------------------------------------------------------------------------------

    def _lock_of(self, workload_id: str) -> asyncio.Lock:
        return self._locks.setdefault(workload_id, asyncio.Lock())

    def _observe(self, record: WorkloadRecord) -> WorkloadStatus:
        reap_shims()
        return observe(self._records, record, local_listeners())

    def _plan(self, request: LaunchRequest) -> Sequence[dict[str, Any]]:
        supervision = supervision_plan(self._shim, self._ports, self._records.port_locks)
        return [
            supervision
            | launch_plan(request, index, base_directory=self._base_directory, base_environment=self._environment)
            for index in range(request.workload.replicas)
        ]

    async def _admit(self, request: LaunchRequest, launches: Sequence[dict[str, Any]]) -> WorkloadRecord:
        """Assigns GPUs and writes the intent to disk."""
        workload = request.workload
        if not valid_workload_id(workload.id):
            raise RuntimeFailure(
                f"{workload.id!r} can't be the id of a workload",
                hint="Use letters, digits, dots, underscores and dashes, at most 200.",
            )
        async with self._devices.assigned(demand_of(request, workload.replicas)) as assigned:
            record = WorkloadRecord(
                workload,
                time.time(),
                secrets.token_hex(16),
                request.stop_grace_seconds,
                assigned,
                request.gpu_sharing,
            )
            await self._write(record, launches, first=0)
        return record

    async def _grown(self, record: WorkloadRecord, request: LaunchRequest) -> WorkloadRecord:
        """The record with as many replicas as are asked for, if it has fewer: whoever starts what is not alive starts
        the new ones. Those that run are not touched."""
        workload, have = request.workload, record.workload.replicas
        if workload.replicas <= have:
            return record
        async with self._devices.assigned(demand_of(request, workload.replicas - have)) as assigned:
            grown = replace(record, workload=workload, gpus=(*record.gpus, *assigned))
            await self._write(grown, self._plan(request)[have:], first=have)
        return grown

    async def _holdings(self) -> Sequence[Holding]:
        return [holding_of(self._records, record) for record in self._records.all()]

    async def _write(self, record: WorkloadRecord, launches: Sequence[dict[str, Any]], *, first: int) -> None:
        """The launches of the replicas from the `first` on, and then that they exist."""
        workload_id = record.workload.id
        for launch, devices in zip(launches, record.gpus[first:], strict=True):
            launch["env"] |= gpu_environment(devices) | {LAUNCH_VARIABLE: record.launch_token}

        def write() -> None:
            if first == 0:
                self._records.begin(workload_id)
            for index, launch in enumerate(launches, first):
                self._records.write_launch(workload_id, index, launch)
            self._records.commit(record)

        try:
            await asyncio.to_thread(write)
        except OSError as problem:
            raise RuntimeFailure(
                f"{workload_id} was not started, its record can't be written: {problem}",
                hint="Check free space and permissions of the state directory.",
            ) from problem

    async def _spawn(self, record: WorkloadRecord, indices: Sequence[int]) -> None:
        """All side by side; when one fails the others are waited for before it raises."""
        outcomes = await asyncio.gather(
            *(
                start_shim(
                    self._records.replica(record.workload.id, index),
                    record.launch_token,
                    timeout_seconds=self._shim.start_timeout_seconds,
                )
                for index in indices
            ),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _respawn_dead(self, record: WorkloadRecord) -> None:
        dead = [index for index in range(record.workload.replicas) if self._is_dead(record, index)]
        for index in dead:
            await end_leftovers(record.launch_token, 0.0, replica=index)
            report = self._records.report(record.workload.id, index)
            if report is not None:
                launch = self._records.read_launch(record.workload.id, index)
                launch |= {
                    "port": report.port,
                    "restarts": report.restarts + 1,
                    "exit_code": report.exit_code,
                }
                self._records.write_launch(record.workload.id, index, launch)
        await self._spawn(record, dead)

    def _is_dead(self, record: WorkloadRecord, index: int) -> bool:
        """No shim runs this replica, and none has said that it is over."""
        report = self._records.report(record.workload.id, index)
        if report is not None and (report.final or report.shim.alive()):
            return False
        return not lock_is_held(self._records.replica(record.workload.id, index))

    # -- stopping -------------------------------------------------------------------------------------------------

    async def _end(self, record: WorkloadRecord) -> None:
        """Raises RuntimeFailure when a process can't be ended; the workload exists on then."""
        workload_id = record.workload.id
        with suppress(OSError):  # A full disk must not keep it running; a crash right now leaves it half stopped.
            self._records.mark_stopping(workload_id)
        reports = [self._records.report(workload_id, index) for index in range(record.workload.replicas)]
        grace = record.stop_grace_seconds
        await asyncio.gather(*(end_shim(report.shim, grace) for report in reports if report is not None))
        await end_leftovers(record.launch_token, grace)
        reap_shims()
        try:
            self._records.move_to_stopped(workload_id)
            await asyncio.to_thread(self._records.prune, self._keep_stopped)
        except OSError as problem:
            raise RuntimeFailure(
                f"{workload_id} is stopped, but that can't be recorded: {problem}",
                hint="Check free space and permissions of the state directory, then stop it again.",
            ) from problem
