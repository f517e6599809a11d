"""What containers take of the machine: ours what they asked for, others what they are limited to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from bluegreen.domain.gpu_inventory import Holding
from bluegreen.domain.gpus import held_gpus
from bluegreen.domain.model import Capacity, Resources
from bluegreen.runtimes.devices.allocator import DeviceAllocator
from bluegreen.runtimes.docker.container import owner_labels
from bluegreen.runtimes.docker.engine import Engine
from bluegreen.runtimes.docker.holdings import holding_of, holding_of_stranger, strangers_of
from bluegreen.runtimes.docker.machines import EngineMachine, OwnMachine
from bluegreen.runtimes.docker.replicas import Replicas


class Accounts:
    """Everything raises RuntimeFailure when the engine does not answer."""

    def __init__(
        self, engine: Engine, replicas: Replicas, devices: DeviceAllocator, machine: EngineMachine | OwnMachine
    ) -> None:
        self._engine = engine
        self._replicas = replicas
        self._devices = devices
        self._machine = machine

    async def capacity(self) -> Capacity:
        strangers = strangers_of(await self._strangers())
        reserved = [stranger.resources for stranger in strangers]
        for record, _containers in await self._replicas.look_at_all():
            reserved.append(record.workload.resources.times(record.workload.replicas))
        used = reduce(Resources.plus, reserved, Resources())
        inventory = await self._devices.inventory()
        return Capacity(await self._machine.total(), replace(used, gpus=held_gpus(inventory)), inventory, strangers)

    async def holdings(self) -> Sequence[Holding]:
        """Of GPUs, by our workloads and by others that run."""
        ours = await self._replicas.look_at_all()
        strangers = await self._strangers()
        return [*(holding_of(*one) for one in ours), *map(holding_of_stranger, strangers)]

    async def _strangers(self) -> Sequence[Mapping[str, Any]]:
        return await self._engine.strangers(owner_labels(self._replicas.owner))
