"""The requirements of a deployment, checked before anything moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bluegreen.domain.gpus import Gpu, GpuDemand, gpu_remarks, gpu_shortage
from bluegreen.domain.images import short_digest
from bluegreen.domain.model import Capacity, Resources, Workload
from bluegreen.domain.observation import Observation
from bluegreen.domain.service import ServiceSpec
from bluegreen.domain.strategy import replicas_at


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition and how it stands. `detail` has the numbers, or what to do when it is not met."""

    name: str
    met: bool
    detail: str


def gpu_demand(spec: ServiceSpec, workload_id: str, replicas: int) -> GpuDemand:
    """Of so many more replicas of a workload of this service."""
    return GpuDemand(
        workload_id, spec.name, replicas, spec.resources.gpus, memory_mb=spec.gpu_memory_mb, sharing=spec.gpu_sharing
    )


def shortage(
    needed: Resources,
    capacity: Capacity,
    *,
    gpus: GpuDemand | None = None,
    leaving: Workload | None = None,
) -> list[str]:
    """What is missing for `needed` when `leaving` is stopped first; empty when it fits. `gpus` says who needs the GPUs;
    where it is not given, or the devices are not known one by one, they are only counted.

    A machine that reports 0 CPUs or 0 MB is taken to not know them; 0 GPUs are 0 GPUs.
    """
    freed = leaving.resources.times(leaving.replicas) if leaving else Resources()
    total, used = capacity.total, capacity.used
    missing = []
    if gpus is not None and capacity.gpus is not None:
        missing.append(gpu_shortage(devices_without(capacity.gpus, leaving), gpus))
    else:
        missing.append(_missing("GPUs", needed.gpus, total.gpus, total.gpus - used.gpus + freed.gpus))
    if total.cpus:
        text = _missing("CPUs", needed.cpus, total.cpus, total.cpus - used.cpus + freed.cpus)
        missing.append(text + _strangers(capacity, "cpus") if text else "")
    if total.memory_mb:
        free = total.memory_mb - used.memory_mb + freed.memory_mb
        text = _missing("MB of memory", needed.memory_mb, total.memory_mb, free)
        missing.append(text + _strangers(capacity, "memory_mb") if text else "")
    return [text for text in missing if text]


def devices_without(inventory: Sequence[Gpu], leaving: Workload | None) -> Sequence[Gpu]:
    """As they are once a workload has been stopped."""
    return [gpu.without((leaving.id,)) for gpu in inventory] if leaving else inventory


def _missing(label: str, want: float, total: float, free: float) -> str:
    if want == 0 or want <= free + 1e-9:
        return ""
    return f"{want:g} {label} needed, {max(free, 0):g} of {total:g} free"


def _strangers(capacity: Capacity, what: str) -> str:
    """` (2 for container `trainer`)`: who else has some."""
    theirs = ((stranger.name, getattr(stranger.resources, what)) for stranger in capacity.strangers)
    texts = [f"{amount:g} for {name}" for name, amount in theirs if amount]
    return f" ({', '.join(texts)})" if texts else ""


def requirements(
    spec: ServiceSpec,
    blue: Workload | None,
    observation: Observation,
    retained: Workload | None = None,
    *,
    steps: Sequence[int] = (100,),
) -> list[Requirement]:
    """Everything that must hold before green is started, met or not. `retained` will be stopped first. A canary needs
    room for the replicas of its first step; for more of them it looks again at each step."""
    return [
        _room(spec, observation.capacity, retained, steps),
        _state(spec),
        _health_check(spec),
        _router(observation),
        *([_blue_runs(blue, observation)] if blue is not None else []),
    ]


def _room(spec: ServiceSpec, capacity: Capacity | None, retained: Workload | None, steps: Sequence[int]) -> Requirement:
    replicas = replicas_at(steps[0], spec.replicas)
    name = "room for both versions side by side"
    if capacity is None:
        return Requirement(name, False, "the runtime could not tell what is free; see: bluegreen doctor")
    gpus = gpu_demand(spec, "", replicas)
    missing = shortage(spec.resources.times(replicas), capacity, gpus=gpus, leaving=retained)
    if missing:
        detail = "; ".join(missing) + ". Free something, lower replicas or resources, or raise [capacity]"
        return Requirement(name, False, detail)
    detail = f"{replicas} x ({needed_text(spec.resources)}) fits"
    if len(steps) > 1:
        detail += f" for the first {steps[0]} %"
    if remarks := gpu_remarks(devices_without(capacity.gpus or (), retained), gpus):
        detail += f"; {remarks}"
    return Requirement(name, True, detail + _later(spec, capacity, retained, steps))


def _later(spec: ServiceSpec, capacity: Capacity, retained: Workload | None, steps: Sequence[int]) -> str:
    """Where a canary will have to wait for room, if nothing is freed until then."""
    for percent in steps[1:]:
        replicas = replicas_at(percent, spec.replicas)
        gpus = gpu_demand(spec, "", replicas)
        if missing := shortage(spec.resources.times(replicas), capacity, gpus=gpus, leaving=retained):
            return f"; not yet for the {replicas} of {percent} % ({'; '.join(missing)}): it holds there until there is"
    return ""


def counted(number: int, noun: str) -> str:
    """`1 replica`, `2 replicas`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def needed_text(resources: Resources) -> str:
    """`4 GPUs, 2 CPUs, 1024 MB`, only what is reserved."""
    parts = [
        text
        for amount, text in (
            (resources.gpus, counted(resources.gpus, "GPU")),
            (resources.cpus, f"{resources.cpus:g} CPU{'' if resources.cpus == 1 else 's'}"),
            (resources.memory_mb, f"{resources.memory_mb} MB"),
        )
        if amount
    ]
    return ", ".join(parts) or "nothing reserved"


def _state(spec: ServiceSpec) -> Requirement:
    name = "stateless, or state handling declared"
    if (why := spec.keeps_state) and not spec.state_handling:
        return Requirement(
            name,
            False,
            f"{spec.name}: {why}; say in services.{spec.name}.state_handling how two versions share that",
        )
    return Requirement(name, True, spec.state_handling or "stateless")


def _health_check(spec: ServiceSpec) -> Requirement:
    if spec.health is None:
        return Requirement("a health check", False, f"add [services.{spec.name}.health] with a path")
    check = spec.health
    return Requirement(
        "a health check",
        True,
        f"GET {check.path} must answer {check.expect_status}, {check.rise} times in a row",
    )


def _router(observation: Observation) -> Requirement:
    name = "a router that switches at once"
    if observation.router_problem:
        return Requirement(name, False, observation.router_problem)
    return Requirement(name, True, "the router answers")


def _blue_runs(blue: Workload, observation: Observation) -> Requirement:
    """Not a condition that can fail: a service whose blue is down is what a deployment may be meant to mend."""
    alive = observation.is_alive(blue)
    pinned = f" ({short_digest(blue.digest)})" if blue.digest else ""
    return Requirement(
        "running version identified",
        True,
        f"{blue.id}: {blue.image}{pinned}, {counted(blue.replicas, 'replica')} ({needed_text(blue.resources)}), "
        + ("running" if alive else "NOT running: a rollback will not be possible"),
    )
