"""What the engine's machine has, and what containers use of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bluegreen.domain.model import Resources
from bluegreen.domain.usage import Usage
from bluegreen.runtimes.docker.engine import Engine
from bluegreen.runtimes.docker.observation import Containers
from bluegreen.runtimes.docker.records import WorkloadRecord
from bluegreen.runtimes.docker.usage import UsageMeter
from bluegreen.runtimes.docker.use import EngineMeter
from bluegreen.runtimes.process import machine
from bluegreen.spec.configuration import CapacitySettings

NOTHING_STATED = CapacitySettings()
FRESH_SECONDS = 60.0
"""How long it is believed what the engine says of its machine, which takes it up to a quarter of a second."""


class OwnMachine:
    """The engine runs on this one. `gpus` is how many of them are given out."""

    def __init__(self, stated: CapacitySettings, gpus: int) -> None:
        self._total = replace(stated.over(machine.detect_resources(gpus=gpus)), gpus=gpus)
        self._meter = UsageMeter()

    async def total(self) -> Resources:
        return self._total

    async def usage(self, workloads: Sequence[tuple[WorkloadRecord, Containers]]) -> Mapping[str, Usage]:
        return await asyncio.to_thread(self._meter.read, workloads)


class EngineMachine:
    """The engine runs on another one, of which it tells processors and memory. It counts no GPUs: there are as many
    as are stated."""

    def __init__(self, engine: Engine, stated: CapacitySettings) -> None:
        self._engine = engine
        self._stated = stated
        self._meter = EngineMeter(engine)
        self._total: Resources | None = None
        self._asked_at = 0.0

    async def total(self) -> Resources:
        """Raises RuntimeFailure."""
        now = time.monotonic()
        if self._total is None or now - self._asked_at > FRESH_SECONDS:
            _, info = await self._engine.introduction()
            found = Resources(cpus=float(info["NCPU"]), memory_mb=info["MemTotal"] // 2**20)
            self._total, self._asked_at = self._stated.over(found), now
        return self._total

    async def usage(self, workloads: Sequence[tuple[WorkloadRecord, Containers]]) -> Mapping[str, Usage]:
        return await self._meter.read(workloads)
