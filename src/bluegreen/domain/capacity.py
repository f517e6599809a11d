"""The requirements of a deployment, checked before anything moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def shortage(needed: Resources, capacity: Capacity, *, freed: Resources = Resources()) -> list[str]:
    """What is missing for `needed` when `freed` is given back first; empty when it fits.

    A machine that reports 0 CPUs or 0 MB is taken to not know them; 0 GPUs are 0 GPUs.
    """
    missing = []
    for label, want, total, used, back in (
        ("GPUs", needed.gpus, capacity.total.gpus, capacity.used.gpus, freed.gpus),
        ("CPUs", needed.cpus, capacity.total.cpus, capacity.used.cpus, freed.cpus),
        (
            "MB of memory",
            needed.memory_mb,
            capacity.total.memory_mb,
            capacity.used.memory_mb,
            freed.memory_mb,
        ),
    ):
        if want == 0 or (total == 0 and label != "GPUs"):
            continue
        free = total - used + back
        if want > free + 1e-9:
            missing.append(f"{want:g} {label} needed, {max(free, 0):g} of {total:g} free")
    return missing


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
    freed = retained.resources.times(retained.replicas) if retained else Resources()
    missing = shortage(spec.resources.times(replicas), capacity, freed=freed)
    if missing:
        detail = "; ".join(missing) + ". Free something, lower replicas or resources, or raise [capacity]"
        return Requirement(name, False, detail)
    detail = f"{replicas} x ({needed_text(spec.resources)}) fits"
    if len(steps) > 1:
        detail += f" for the first {steps[0]} %"
    return Requirement(name, True, detail + _later(spec, capacity, freed, steps))


def _later(spec: ServiceSpec, capacity: Capacity, freed: Resources, steps: Sequence[int]) -> str:
    """Where a canary will have to wait for room, if nothing is freed until then."""
    for percent in steps[1:]:
        replicas = replicas_at(percent, spec.replicas)
        if missing := shortage(spec.resources.times(replicas), capacity, freed=freed):
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
            (resources.gpus, f"{resources.gpus} GPUs"),
            (resources.cpus, f"{resources.cpus:g} CPUs"),
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
