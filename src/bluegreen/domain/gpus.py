"""Which replica gets which GPU.

A device belongs to one workload. The one exception is declared: with `gpu_sharing` the two slots of a service may have
the same device, if both were started with it. Replicas of one workload never share one: each keeps a device of its own
when the other slot is gone. What is not bluegreen's is never shared with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from bluegreen.domain.errors import RuntimeFailure

_HELD = "is held by "
_PLURAL = {"is": "are", "has": "have", "does": "do"}


@dataclass(frozen=True, slots=True)
class GpuHolder:
    """Who has a device. `name` is a workload's id or, of what is not bluegreen's, a phrase; that has no `service`."""

    name: str
    service: str = ""
    sharing: bool = False
    """Whether it was started with `gpu_sharing`."""
    memory_mb: int | None = None
    """What its processes use of the device; None when the driver does not tell."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One device. Memory is None when the driver does not tell it."""

    index: int
    total_mb: int | None = None
    free_mb: int | None = None
    holders: tuple[GpuHolder, ...] = ()
    problem: str = ""
    """Why nobody can have it, as a phrase: `does not answer`."""

    def without(self, names: Collection[str]) -> Gpu:
        """As it will be when these holders are gone. What they give back is unknown unless the driver tells it."""
        leaving = [holder for holder in self.holders if holder.name in names]
        if not leaving:
            return self
        used = [holder.memory_mb for holder in leaving if holder.memory_mb is not None]
        known = self.free_mb is not None and len(used) == len(leaving)
        free = (self.free_mb or 0) + sum(used) if known else None
        if free is not None and self.total_mb is not None:
            free = min(free, self.total_mb)
        staying = tuple(holder for holder in self.holders if holder.name not in names)
        return replace(self, free_mb=free, holders=staying)


@dataclass(frozen=True, slots=True)
class GpuDemand:
    """So many more replicas of a workload, each with `per_replica` devices of which `memory_mb` must be free."""

    workload_id: str
    service: str
    replicas: int
    per_replica: int
    memory_mb: int = 0
    sharing: bool = False

    @property
    def devices(self) -> int:
        return self.replicas * self.per_replica


def assign_gpus(inventory: Iterable[Gpu], demand: GpuDemand) -> tuple[tuple[int, ...], ...]:
    """Indices for each replica: free devices first, then shared ones, those with the most free memory first. Raises
    RuntimeFailure, which names the holders, when there are too few."""
    inventory = tuple(inventory)
    usable, size = [gpu.index for gpu in usable_gpus(inventory, demand)], demand.per_replica
    if demand.devices > len(usable):
        raise RuntimeFailure(
            f"{demand.workload_id} wants {_gpus(demand.devices)} ({demand.replicas} replicas with {size} each), "
            f"{len(usable)} of {len(inventory)} are free{_why(inventory, demand)}",
            hint="Stop what holds some, or lower `replicas`, `gpus` or `gpu_memory_mb`.",
        )
    return tuple(tuple(usable[start : start + size]) for start in range(0, demand.devices, size or 1)) or (
        ((),) * demand.replicas
    )


def gpu_shortage(inventory: Iterable[Gpu], demand: GpuDemand) -> str:
    """`1 GPU needed, 0 of 2 free: GPU 0 is held by api-blue-3, GPU 1 by ...`; "" when there are enough."""
    inventory = tuple(inventory)
    usable = usable_gpus(inventory, demand)
    if demand.devices <= len(usable):
        return ""
    return f"{_gpus(demand.devices)} needed, {len(usable)} of {len(inventory)} free{_why(inventory, demand)}"


def gpu_remarks(inventory: Iterable[Gpu], demand: GpuDemand) -> str:
    """What is to be known of devices that are enough: those that are shared, and memory that nobody could look at."""
    chosen = usable_gpus(inventory, demand)[: demand.devices]
    shared = [f"GPU {gpu.index} shared with {gpu.holders[0].name}" for gpu in chosen if gpu.holders]
    unknown = [str(gpu.index) for gpu in chosen if gpu.free_mb is None]
    if demand.memory_mb and unknown:
        shared.append(f"gpu_memory_mb is not checked: the free memory of GPU {', '.join(unknown)} is not known")
    return "; ".join(shared)


def usable_gpus(inventory: Iterable[Gpu], demand: GpuDemand) -> Sequence[Gpu]:
    """In the order in which they are given out."""
    usable = (gpu for gpu in inventory if not _obstacle(gpu, demand))
    return sorted(usable, key=lambda gpu: (len(gpu.holders), -(gpu.free_mb or 0) if gpu.holders else 0, gpu.index))


def seen_together(inventories: Iterable[Iterable[Gpu]]) -> tuple[Gpu, ...]:
    """Of the same machine by several observers: a device is held by whomever one of them sees."""
    merged: dict[int, Gpu] = {}
    for gpu in (gpu for inventory in inventories for gpu in inventory):
        before = merged.get(gpu.index, gpu)
        holders = {holder.name: holder for holder in (*before.holders, *gpu.holders)}
        problem = before.problem or gpu.problem
        merged[gpu.index] = replace(before, holders=tuple(holders.values()), problem=problem)
    return tuple(merged[index] for index in sorted(merged))


def held_gpus(inventory: Iterable[Gpu]) -> int:
    """How many are not free, shared ones once."""
    return sum(1 for gpu in inventory if gpu.holders or gpu.problem)


def _obstacle(gpu: Gpu, demand: GpuDemand) -> str:
    """Why this workload can't have it, as a phrase; "" when it can."""
    if gpu.problem:
        return gpu.problem
    if gpu.holders and not _may_share(gpu, demand):
        return _HELD + " and ".join(holder.name for holder in gpu.holders)
    if gpu.free_mb is not None and gpu.free_mb < demand.memory_mb:
        return f"has {gpu.free_mb} of {demand.memory_mb} MB free"
    return ""


def _may_share(gpu: Gpu, demand: GpuDemand) -> bool:
    """With one other workload at most: a service has two slots."""
    return demand.sharing and all(
        len(gpu.holders) == 1
        and holder.sharing
        and holder.service == demand.service
        and holder.name != demand.workload_id
        for holder in gpu.holders
    )


def _why(inventory: Sequence[Gpu], demand: GpuDemand) -> str:
    """`: GPU 0 is held by api-blue-3, GPUs 1, 2 by container ...`; "" when nothing stands in the way."""
    reasons: dict[str, list[int]] = {}
    for gpu in inventory:
        if obstacle := _obstacle(gpu, demand):
            reasons.setdefault(obstacle, []).append(gpu.index)
    texts: list[str] = []
    for reason, indices in reasons.items():
        several = len(indices) > 1
        which = f"GPU{'s' if several else ''} {', '.join(map(str, indices))}"
        verb, _, rest = reason.partition(" ")
        phrase = f"{_PLURAL.get(verb, verb)} {rest}" if several else reason
        if reason.startswith(_HELD) and any(" held by " in text for text in texts):
            phrase = rest.removeprefix("held ")
        texts.append(f"{which} {phrase}")
    return f": {', '.join(texts)}" if texts else ""


def _gpus(number: int) -> str:
    return f"{number} GPU" if number == 1 else f"{number} GPUs"
