"""One replica at a time: its container made, started, started again, and removed. Callers hold the workload's lock."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from bluegreen.domain.errors import RuntimeFailure
from bluegreen.runtimes.docker import output
from bluegreen.runtimes.docker.container import (
    GpuRequests,
    container_body,
    container_name,
    is_replica,
    record_in_labels,
)
from bluegreen.runtimes.docker.engine import CONFLICT, GONE, Engine, EngineRefusal
from bluegreen.runtimes.docker.images import Images
from bluegreen.runtimes.docker.observation import (
    Containers,
    how_it_ended,
    killed_for_memory,
    port_is_taken,
    why_it_cannot_run,
)
from bluegreen.runtimes.docker.records import LOST, Records, WorkloadRecord
from bluegreen.runtimes.docker.view import ContainerView
from bluegreen.runtimes.process.port_lease import can_bind
from bluegreen.runtimes.process.records import valid_workload_id

PORT_ATTEMPTS = 5
NAME_PATIENCE_SECONDS, NAME_PAUSE_SECONDS = 10.0, 0.05
LOG_LINES_COPIED = 100_000


class Replicas:
    """`ports` are the first and last loopback port that may be published."""

    def __init__(
        self,
        engine: Engine,
        view: ContainerView,
        images: Images,
        records: Records,
        *,
        owner: str,
        base_directory: str,
        ports: tuple[int, int],
        network: str,
        gpu_requests: GpuRequests,
    ) -> None:
        self.engine = engine
        self._view = view
        self._images = images
        self.records = records
        self.owner = owner
        self._base_directory = base_directory
        self._ports = ports
        self._network = network
        self._gpu_requests = gpu_requests

    async def look(self, workload_id: str) -> tuple[WorkloadRecord | None, Containers]:
        """The workload's record, from disk or else from the labels of its containers, and these."""
        if not valid_workload_id(workload_id):
            return None, {}
        containers = await self.of(workload_id)
        # After the engine: a stop that ends in between has taken the record away.
        return self.records.load(workload_id) or record_in_labels(containers.values()), containers

    async def look_again(self, record: WorkloadRecord) -> tuple[WorkloadRecord, Containers]:
        found, containers = await self.look(record.workload.id)
        return found or record, containers

    async def look_at_all(self) -> Sequence[tuple[WorkloadRecord, Containers]]:
        """By id."""
        containers = await self._view.by_workload()
        records = {record.workload.id: record for record in self.records.all()}
        for workload_id, own in containers.items():
            if workload_id not in records and (record := record_in_labels(own.values())):
                records[workload_id] = record
        return [(records[workload_id], containers.get(workload_id, {})) for workload_id in sorted(records)]

    async def of(self, workload_id: str) -> Containers:
        return (await self._view.by_workload()).get(workload_id, {})

    def free_port(self, refused: Collection[int] = ()) -> int:
        """Of the range, and not taken right now, as far as that can be seen from here: the engine refuses a port that
        somebody has."""
        first, last = self._ports
        taken = {replica.port for record in self.records.all() for replica in record.replicas}
        offset, count = random.randrange(last - first + 1), last - first + 1  # noqa: S311 - no secret
        for step in range(count):
            port = first + (offset + step) % count
            if (
                port not in taken
                and port not in refused
                and (self.engine.is_elsewhere or (can_bind("127.0.0.1", port) and can_bind("", port)))
            ):
                return port
        raise RuntimeFailure(f"no free port between {first} and {last}")

    async def bring_up(
        self, record: WorkloadRecord, indices: Sequence[int], containers: Containers, *, lost: bool = False
    ) -> None:
        """Makes and starts those that do not run, side by side; what can't run at all is left as it is. Each that ran
        counts as started again, and so does one without a container when that was `lost`. When one fails the others
        are waited for before it raises."""
        ports: dict[int, int] = {}
        idle = [index for index in indices if is_idle(containers.get(index))]
        for index in idle:
            container = containers.get(index)
            if lost if container is None else container["State"]["Status"] != "created":
                record = await self._count_restart(record, index, container)
        before = record
        outcomes = await asyncio.gather(
            *(self._bring_up_one(record, index, containers.get(index), ports) for index in idle),
            return_exceptions=True,
        )
        for index, port in ports.items():
            record = record.with_replica(index, replace(record.replicas[index], port=port))
        for index, outcome in zip(idle, outcomes, strict=True):
            if outcome is None and record.replicas[index].counted == LOST:
                record = record.with_replica(index, replace(record.replicas[index], counted=""))
        if record != before:
            self.save(record)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _bring_up_one(
        self, record: WorkloadRecord, index: int, container: Mapping[str, Any] | None, ports: dict[int, int]
    ) -> None:
        """Under another port when a stranger has taken it; then `ports` has the new one."""
        container_id = container["Id"] if container else await self._create(record, index)
        refused: set[int] = set()
        for attempt in range(PORT_ATTEMPTS):
            try:
                await self.engine.start(container_id)
                return
            except EngineRefusal as problem:
                if not port_is_taken(problem.reason):
                    described = await self.engine.describe(container_id)
                    if described is not None and why_it_cannot_run(described):
                        return  # Its status says so; nothing that we could try would help.
                    raise
                if attempt == PORT_ATTEMPTS - 1:
                    raise
            finally:
                self._view.changed(container_id)
            await self.copy_output(record, index, container_id)
            await self.remove(container_id)
            refused.add(record.replicas[index].port)
            ports[index] = self.free_port(refused)
            record = record.with_replica(index, replace(record.replicas[index], port=ports[index]))
            container_id = await self._create(record, index)

    async def _create(self, record: WorkloadRecord, index: int) -> str:
        """Its id. A container of ours that is there already, as after a crash, is taken over."""
        name = container_name(self.owner, record.workload.id, index)
        body = container_body(
            self.owner,
            record,
            index,
            base_directory=self._base_directory,
            network=self._network,
            gpu_requests=self._gpu_requests,
            address=self.engine.address,
        )
        deadline, image_is_back = asyncio.get_running_loop().time() + NAME_PATIENCE_SECONDS, False
        while True:
            try:
                container_id = await self.engine.create(name, body)
                self._view.changed(container_id)
                return container_id
            except EngineRefusal as problem:
                if problem.status == GONE and not image_is_back:
                    # Somebody removed the image since the start; what it was is known.
                    await self._images.of(record.workload, record.request.container.pull)
                    image_is_back = True
                    continue
                there = await self.engine.describe(name) if problem.status == CONFLICT else None
                if there is not None and is_replica(there, self.owner, record.workload.id, index):
                    self._view.changed(str(there["Id"]))
                    return str(there["Id"])
                if there is not None:
                    raise RuntimeFailure(
                        f"replica {index} of {record.workload.id} can't be made: the name {name} belongs to a "
                        "container that is not bluegreen's",
                        hint=f"Rename it or remove it: docker rename {name} NEW-NAME",
                    ) from problem
                # The engine reserves the name first: somebody is just making the container, or removing it.
                if problem.status != CONFLICT or asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(NAME_PAUSE_SECONDS)

    def save(self, record: WorkloadRecord) -> None:
        try:
            self.records.save(record)
        except OSError as problem:
            raise RuntimeFailure(
                f"the record of {record.workload.id} can't be written: {problem}",
                hint="Check free space and permissions of the state directory.",
            ) from problem

    # -- ends -----------------------------------------------------------------------------------------------------

    async def _count_restart(
        self, record: WorkloadRecord, index: int, ended: Mapping[str, Any] | None
    ) -> WorkloadRecord:
        """Once for each end. Of a run the output is copied, with the reason behind it, and the exit code kept."""
        end = LOST if ended is None else str(ended["State"]["FinishedAt"])
        if record.replicas[index].counted == end:
            return record
        self.save(record)  # One that was found by labels has no directory for output yet.
        if ended is not None:
            record = await self.copy_output(record, index, ended["Id"])
            note = f"bluegreen: {how_it_ended(ended)}; it is started again\n"
            self.records.append_output(record.workload.id, index, note)
        replica = record.replicas[index]
        exit_code = replica.exit_code if ended is None else ended["State"]["ExitCode"]
        why = "" if ended is None else killed_for_memory(ended)
        replica = replace(replica, restarts=replica.restarts + 1, exit_code=exit_code, counted=end, ended=why)
        record = record.with_replica(index, replica)
        self.save(record)
        return record

    async def copy_output(self, record: WorkloadRecord, index: int, container_id: str) -> WorkloadRecord:
        """What the engine has and our file has not; the record then says how far it goes."""
        replica = record.replicas[index]
        text = await self.engine.output(container_id, since=output.since(replica.logged_until), lines=LOG_LINES_COPIED)
        lines, latest = output.without_times(text, replica.logged_until)
        self.records.append_output(record.workload.id, index, "".join(f"{line}\n" for line in lines))
        return record.with_replica(index, replace(replica, logged_until=latest))

    def note_stopping(self, record: WorkloadRecord) -> None:
        """A full disk must not keep it running; a crash right now leaves it half stopped then."""
        with suppress(RuntimeFailure):
            self.save(replace(record, stopping=True))

    async def _stop(self, container_id: str, grace_seconds: int) -> None:
        try:
            await self.engine.stop(container_id, grace_seconds)
        finally:
            self._view.changed(container_id)

    async def remove(self, container_id: str) -> None:
        try:
            await self.engine.remove(container_id)
        finally:
            self._view.changed(container_id)

    async def end(self, record: WorkloadRecord, containers: Containers) -> None:
        """SIGTERM to all, grace, SIGKILL; their output is kept. Raises RuntimeFailure when a container stays."""
        grace_seconds = math.ceil(record.request.stop_grace_seconds)
        await asyncio.gather(*(self._stop(each["Id"], grace_seconds) for each in containers.values()))
        for index, container in containers.items():
            if index < len(record.replicas):
                record = await self.copy_output(record, index, container["Id"])
        await asyncio.gather(*(self.remove(each["Id"]) for each in containers.values()))
        left = await self.of(record.workload.id)
        if left:
            names = ", ".join(str(each["Name"]).lstrip("/") for each in left.values())
            raise RuntimeFailure(
                f"containers of {record.workload.id} are not gone yet: {names}",
                hint="The engine is still removing them, or can't; see: docker ps -a",
            )


def is_idle(container: Mapping[str, Any] | None) -> bool:
    """It does not run, and may."""
    return container is None or not (container["State"]["Running"] or why_it_cannot_run(container))
