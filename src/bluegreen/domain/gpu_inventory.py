"""Who holds which GPU, from what the driver, our records and the container engine say of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bluegreen.domain.gpus import Gpu, GpuHolder

ALL = "all"
"""A device name that means every one of them."""


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """One that computes on a device. `memory_mb` is None when the driver does not tell it."""

    pid: int
    memory_mb: int | None = None


@dataclass(frozen=True, slots=True)
class GpuReading:
    """What the driver says of a device, None what it does not tell. Processes are those that compute: a display server
    only draws."""

    uuid: str
    total_mb: int | None = None
    free_mb: int | None = None
    processes: tuple[GpuProcess, ...] | None = ()
    mig: bool = False


@dataclass(frozen=True, slots=True)
class Holding:
    """The devices that somebody was given, by index, UUID, or ALL.

    Everything below the processes `roots`, or in the control group of one of the `containers` (their ids), is the
    holder's too.
    """

    holder: GpuHolder
    devices: tuple[str, ...]
    roots: frozenset[int] = frozenset()
    containers: frozenset[str] = frozenset()


def make_inventory(
    devices: Sequence[int],
    readings: Mapping[int, GpuReading] | None,
    holdings: Iterable[Holding],
    owners: Mapping[int, GpuHolder],
    *,
    unseen: str = "",
) -> tuple[Gpu, ...]:
    """`readings` is None without a driver; then a device is what the holdings say. One that is missing in it does not
    answer. `owners` says of the processes of the readings whose they are; those of nobody don't count. `unseen` says
    why some holdings could not be read: then nobody can have a device."""
    held: dict[int, dict[str, GpuHolder]] = {index: {} for index in devices}
    for holding in holdings:
        for name in holding.devices:
            for index in _meant(name, devices, readings):
                held[index].setdefault(holding.holder.name, holding.holder)
    if readings is None:
        found = [Gpu(index, holders=tuple(held[index].values())) for index in devices]
    else:
        found = [_gpu(index, readings.get(index), held[index], owners) for index in devices]
    return tuple(replace(gpu, problem=f"may be held by somebody: {unseen}") if unseen else gpu for gpu in found)


def _gpu(index: int, reading: GpuReading | None, held: dict[str, GpuHolder], owners: Mapping[int, GpuHolder]) -> Gpu:
    if reading is None:
        return Gpu(index, holders=tuple(held.values()), problem="does not answer the driver")
    used: dict[str, list[int | None]] = {name: [] for name in held}
    for process in reading.processes or ():
        owner = owners.get(process.pid)
        if owner is None:
            continue
        held.setdefault(owner.name, owner)
        used.setdefault(owner.name, []).append(process.memory_mb)
    return Gpu(
        index,
        total_mb=reading.total_mb,
        free_mb=reading.free_mb,
        holders=tuple(
            replace(holder, memory_mb=None if reading.processes is None else _sum(used[name]))
            for name, holder in held.items()
        ),
        problem="is in MIG mode, which is not supported" if reading.mig else "",
    )


def _sum(parts: Sequence[int | None]) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _meant(name: str, devices: Sequence[int], readings: Mapping[int, GpuReading] | None) -> Iterable[int]:
    """The indices. A name that can't be told apart may mean any of them: so it means all."""
    if name == ALL:
        return devices
    number = name.partition(":")[0]  # 0:1 is the second MIG instance of GPU 0.
    if number.isdecimal():
        return [index for index in devices if index == int(number)]
    if readings is None:
        return devices
    uuid = name.removeprefix("MIG-").partition("/")[0]
    if not uuid.startswith("GPU-"):
        # An instance of a device in MIG mode, which nobody gets; else a name that we don't know.
        return [] if name.startswith("MIG-") else devices
    # The toolkit takes the beginning of a UUID too. One of a device that does not answer is not needed: nobody gets it.
    return [index for index in devices if index in readings and readings[index].uuid.startswith(uuid)]
