"""The runtime for workloads that are containers of a Docker Engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from weakref import WeakValueDictionary

from bluegreen.control.ports import LaunchRequest, LogPage, Preparation, Progress
from bluegreen.domain.errors import BluegreenError, RuntimeFailure
from bluegreen.domain.model import Capacity, Resources, WorkloadStatus
from bluegreen.domain.usage import Usage
from bluegreen.runtimes.devices.allocator import DeviceAllocator, demand_of
from bluegreen.runtimes.docker.accounts import Accounts
from bluegreen.runtimes.docker.connecting import Connection
from bluegreen.runtimes.docker.container import (
    GpuRequests,
    container_port,
    missing_files,
    nvidia_requests,
)
from bluegreen.runtimes.docker.engine import Engine
from bluegreen.runtimes.docker.images import Images
from bluegreen.runtimes.docker.journal import Journal
from bluegreen.runtimes.docker.keeper import Backoff, Keeper
from bluegreen.runtimes.docker.listening import FromHere, Inside, Listening
from bluegreen.runtimes.docker.machines import NOTHING_STATED, EngineMachine, OwnMachine
from bluegreen.runtimes.docker.observation import Containers, endpoint_of, observe, run_seconds
from bluegreen.runtimes.docker.records import Records, ReplicaRecord, WorkloadRecord
from bluegreen.runtimes.docker.replicas import Replicas, is_idle
from bluegreen.runtimes.docker.view import ContainerView
from bluegreen.runtimes.process import machine
from bluegreen.runtimes.process.records import valid_workload_id
from bluegreen.spec.configuration import CapacitySettings


class DockerRuntime:
    """Each replica is a container with a published port. Containers outlive this object and its process.

    `host` is the engine's, `unix:///run/docker.sock`, or the way to one. `directory` is also the owner in the labels of
    the containers: two installations may use one engine. Where `workdir` is `base_directory` the image's own is used.
    `network` is one of the engine's, its default when empty. `gpu_requests` makes device requests of GPU indices.
    `capacity` is what workloads may use, as far as that is said; the rest is asked of the engine's machine. The rest,
    `devices` too, is as for processes (`ProcessRuntime`).
    """

    def __init__(
        self,
        directory: Path,
        *,
        host: str | Connection,
        base_directory: Path,
        capacity: CapacitySettings | Resources = NOTHING_STATED,
        ports: tuple[int, int] | None = None,
        backoff: Backoff | None = None,
        network: str = "",
        gpu_requests: GpuRequests = nvidia_requests,
        keep_stopped: int = 10,
        devices: DeviceAllocator | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self._records = Records(self.directory)
        self._keep_stopped = keep_stopped
        self._network = network
        self._engine = Engine(host if isinstance(host, Connection) else Connection(host))
        elsewhere = self._engine.is_elsewhere
        stated = CapacitySettings(capacity.gpus, capacity.cpus, capacity.memory_mb)
        # Of the GPUs of another machine nobody here knows more than their number.
        here = devices if devices is not None and not elsewhere else DeviceAllocator(range(stated.gpus or 0))
        self._devices = here
        self._machine: EngineMachine | OwnMachine = (
            EngineMachine(self._engine, stated) if elsewhere else OwnMachine(stated, len(here.devices))
        )
        self._listening: Listening = FromHere() if elsewhere else Inside()
        self._images = Images(self._engine)
        view = ContainerView(self._engine, str(self.directory))
        self._replicas = Replicas(
            self._engine,
            view,
            self._images,
            self._records,
            owner=str(self.directory),
            base_directory=str(base_directory.absolute()),
            ports=ports or machine.choose_port_range(machine.ephemeral_ports()),
            network=network,
            gpu_requests=gpu_requests,
        )
        self._journal = Journal(self._records, self._replicas)
        self._accounts = Accounts(self._engine, self._replicas, self._devices, self._machine)
        self._devices.ask_too(self._accounts.holdings)
        self._keeper = Keeper(
            self._engine, view, str(self.directory), backoff or Backoff(), sweep=self._idle, revive=self._revive
        )
        self._metering = asyncio.Lock()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def aclose(self) -> None:
        """Containers go on; nobody starts them again until the next controller does."""
        await self._keeper.stop()
        await self._listening.aclose()
        await self._engine.aclose()

    async def prepare(self, request: LaunchRequest, progress: Progress) -> Preparation:
        """The image is there, pinned, and everything is there that the containers are to be given."""
        settings = request.container
        missing = [] if self._engine.is_elsewhere else missing_files(settings)
        if missing:
            raise RuntimeFailure(missing[0], hint="; ".join(missing[1:]) or "Create it, or correct its path.")
        network = settings.network or self._network
        if network and not await self._engine.has_network(network):
            raise RuntimeFailure(
                f"the Docker Engine has no network {network}", hint=f"Make it: docker network create {network}"
            )
        return await self._images.prepare(request.workload, settings.pull, progress)

    async def start(self, request: LaunchRequest) -> WorkloadStatus:
        """Returns when every replica's command runs or turned out not to be startable, which its status says."""
        workload = request.workload
        async with self._lock_of(workload.id):
            self._keeper.start()
            record, containers = await self._replicas.look(workload.id)
            if record is not None and record.stopping:
                await self._end(record, containers)  # A stop was cut short; it is finished before anything new begins.
                record, containers = None, {}
            fresh = record is None
            record = await self._admit(request) if record is None else await self._grown(record, request)
            try:
                await self._replicas.bring_up(record, range(record.workload.replicas), containers)
            except BluegreenError as problem:
                if not fresh:
                    raise
                await self._end(*await self._replicas.look_again(record))
                raise RuntimeFailure(
                    f"{workload.id} could not be started, nothing of it is left running: {problem.message}",
                    hint=problem.hint,
                ) from problem
            return await self._observe(*await self._replicas.look_again(record))

    async def inspect(self, workload_id: str) -> WorkloadStatus | None:
        record, containers = await self._replicas.look(workload_id)
        return await self._observe(record, containers) if record else None

    async def list(self) -> Sequence[WorkloadStatus]:
        return await asyncio.gather(*(self._observe(*each) for each in await self._replicas.look_at_all()))

    async def stop(self, workload_id: str) -> None:
        async with self._lock_of(workload_id):
            record, containers = await self._replicas.look(workload_id)
            if record is not None:
                await self._end(record, containers)

    async def logs(self, workload_id: str, *, lines: int = 100) -> Sequence[str]:
        return list((await self._journal.page(workload_id, "", lines)).lines)

    async def log_page(self, workload_id: str, *, position: str = "", lines: int = 100) -> LogPage:
        return await self._journal.page(workload_id, position, lines)

    async def log_files(self, workload_id: str) -> Sequence[Path]:
        """None: while a container exists the engine has its output."""
        return ()

    async def heal(self, workload_id: str) -> None:
        """Starts every replica at once that does not run, the keeper's pauses or not; each that ended counts as a
        restart. A workload that is being stopped is left alone."""
        async with self._lock_of(workload_id):
            self._keeper.start()
            record, containers = await self._replicas.look(workload_id)
            if record is None or record.stopping:
                return
            await self._replicas.bring_up(record, range(record.workload.replicas), containers, lost=True)

    async def capacity(self, runtime: str = "") -> Capacity:
        """With what containers that are not ours may use."""
        return await self._accounts.capacity()

    async def usage(self, workload_ids: Collection[str]) -> Mapping[str, Usage]:
        async with self._metering:
            found = await self._replicas.look_at_all() if workload_ids else ()
            wanted = [(record, containers) for record, containers in found if record.workload.id in workload_ids]
            return await self._machine.usage(wanted)

    # -- looking --------------------------------------------------------------------------------------------------

    def _lock_of(self, workload_id: str) -> asyncio.Lock:
        return self._locks.setdefault(workload_id, asyncio.Lock())

    async def _observe(self, record: WorkloadRecord, containers: Containers) -> WorkloadStatus:
        await self._listening.look(
            (each, endpoint)
            for each in containers.values()
            if each["State"]["Running"] and (endpoint := endpoint_of(record, each))
        )
        kept, address = self._keeper.running, self._engine.address
        return observe(record, containers, self._listening, kept=kept, address=address)

    # -- starting -------------------------------------------------------------------------------------------------

    async def _admit(self, request: LaunchRequest) -> WorkloadRecord:
        """Assigns GPUs and ports, and writes the intent to disk."""
        workload = request.workload
        if not valid_workload_id(workload.id):
            raise RuntimeFailure(
                f"{workload.id!r} can't be the id of a workload",
                hint="Use letters, digits, dots, underscores and dashes, at most 200.",
            )
        settings = request.container
        image = await self._images.of(workload, settings.pull)
        plain = replace(
            request,
            workload=replace(workload, labels=dict(workload.labels)),
            command=tuple(request.command),
            env=dict(request.env),
        )
        record = WorkloadRecord(plain, time.time(), container_port(image, settings), image["Id"], ())
        return await self._with_replicas(record, workload.replicas)

    async def _grown(self, record: WorkloadRecord, request: LaunchRequest) -> WorkloadRecord:
        """The record with as many replicas as are asked for, if it has fewer. Those that run are not touched."""
        wanted = request.workload.replicas
        if wanted <= record.workload.replicas:
            return record
        workload = replace(record.workload, replicas=wanted)
        grown = replace(record, request=replace(record.request, workload=workload))
        return await self._with_replicas(grown, wanted)

    async def _with_replicas(self, record: WorkloadRecord, wanted: int) -> WorkloadRecord:
        async with self._devices.assigned(demand_of(record.request, wanted - len(record.replicas))) as assigned:
            for devices in assigned:
                new = ReplicaRecord(self._replicas.free_port(), devices)
                record = replace(record, replicas=(*record.replicas, new))
            self._replicas.save(record)
        return record

    # -- starting again -------------------------------------------------------------------------------------------

    async def _idle(self) -> Sequence[tuple[str, int]]:
        """Every replica that should run and does not."""
        return [
            (record.workload.id, index)
            for record, containers in await self._replicas.look_at_all()
            for index in range(record.workload.replicas)
            if not record.stopping and is_idle(containers.get(index))
        ]

    async def _revive(self, workload_id: str, index: int, pause_after: Callable[[float], float]) -> None:
        """Notes why it ended, waits, and starts it unless somebody else did or it is not to run any more."""
        async with self._lock_of(workload_id):
            record, containers = await self._replicas.look(workload_id)
            if not _should_run(record, index, containers):
                return
            container = containers.get(index)
        await asyncio.sleep(pause_after(run_seconds(container) if container else 0.0))
        async with self._lock_of(workload_id):
            record, containers = await self._replicas.look(workload_id)
            if record is not None and _should_run(record, index, containers):
                await self._replicas.bring_up(record, [index], containers, lost=True)

    # -- stopping -------------------------------------------------------------------------------------------------

    async def _end(self, record: WorkloadRecord, containers: Containers) -> None:
        """Raises RuntimeFailure when a container can't be ended; the workload exists on then."""
        workload_id = record.workload.id
        self._replicas.note_stopping(record)
        await self._replicas.end(record, containers)
        try:
            self._records.move_to_stopped(workload_id)
            await asyncio.to_thread(self._records.prune, self._keep_stopped)
        except OSError as problem:
            raise RuntimeFailure(
                f"{workload_id} is stopped, but that can't be recorded: {problem}",
                hint="Check free space and permissions of the state directory, then stop it again.",
            ) from problem


def _should_run(record: WorkloadRecord | None, index: int, containers: Containers) -> bool:
    """And does not."""
    return (
        record is not None
        and not record.stopping
        and index < record.workload.replicas
        and is_idle(containers.get(index))
    )
