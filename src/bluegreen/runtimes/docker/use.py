"""What containers of another machine's engine use: its own numbers, without GPUs, of which it knows nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.usage import Usage
from bluegreen.runtimes.docker.engine import Engine
from bluegreen.runtimes.docker.observation import Containers, nanoseconds
from bluegreen.runtimes.docker.records import WorkloadRecord
from bluegreen.runtimes.process.identity import ProcessIdentity
from bluegreen.runtimes.process.usage import CpuTally


class EngineMeter:
    """One question for each container, all at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tallies: dict[tuple[str, float, int], CpuTally] = {}

    async def read(self, workloads: Sequence[tuple[WorkloadRecord, Containers]]) -> dict[str, Usage]:
        """Those of the workloads of which a replica runs. One of which a replica's numbers are missing is missing:
        a sum without them would be wrong. What is not asked for is forgotten."""
        before, self._tallies = self._tallies, {}
        found = await asyncio.gather(*(self._read_one(*each, before) for each in workloads))
        return {record.workload.id: usage for (record, _), usage in zip(workloads, found, strict=True) if usage}

    async def _read_one(
        self, record: WorkloadRecord, containers: Containers, before: Mapping[tuple[str, float, int], CpuTally]
    ) -> Usage | None:
        keys = [(record.workload.id, record.created_at, index) for index in range(len(record.replicas))]
        tallies = [self._tallies.setdefault(key, before.get(key) or CpuTally()) for key in keys]
        running = [index for index, each in containers.items() if each["State"]["Running"] and index < len(keys)]
        if not running:
            return None
        try:
            answers = await asyncio.gather(*(self._engine.use(containers[index]["Id"]) for index in running))
        except RuntimeFailure:
            return None
        memory = 0
        for index, answer in zip(running, answers, strict=True):
            numbers = numbers_of(answer)
            if numbers is None:
                return None
            tallies[index].add(_life_of(containers[index]), numbers[0])
            memory += numbers[1]
        return Usage(cpu_seconds=sum(tally.total_seconds for tally in tallies), memory_bytes=memory, gpus=())


def numbers_of(answer: Mapping[str, Any] | None) -> tuple[float, int] | None:
    """CPU seconds since its start, and bytes of memory without the page cache that the kernel would give up first,
    as the engine's own command line counts them. None when the container is gone or just ended."""
    if answer is None:
        return None
    try:
        seconds = answer["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
        memory = answer["memory_stats"]["usage"]
    except KeyError:
        return None
    parts = answer["memory_stats"].get("stats") or {}
    cache = parts.get("total_inactive_file", parts.get("inactive_file", 0))
    return seconds, memory - cache if cache < memory else memory


def _life_of(container: Mapping[str, Any]) -> ProcessIdentity:
    """Its first process, told from those before by its start."""
    state = container["State"]
    return ProcessIdentity(state["Pid"], nanoseconds(state["StartedAt"]), container["Id"])
