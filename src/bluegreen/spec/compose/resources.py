"""`deploy`, GPUs and the limits of a service."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bluegreen.spec.compose.draft import Draft
from bluegreen.spec.compose.notes import Part, plain
from bluegreen.spec.compose.units import mebibytes, number, whole

MOST_REPLICAS, MOST_GPUS, MOST_CPUS, MOST_MEMORY_MB = 64, 1024, 4096.0, 2**26
_PARALLEL = ("--tensor-parallel-size", "-tp", "--tp-size", "--tp", "--num-shard")
"""How inference servers are told over how many GPUs one replica is spread."""
_DEPLOY = {
    "mode": "bluegreen runs `replicas` copies on this machine",
    "labels": "labels of a Swarm service; labels of the service itself are carried over",
    "restart_policy": "bluegreen starts again what crashes; policy.max_restarts says how often while green is watched",
    "update_config": "how a version is replaced is in [services.NAME.policy]",
    "rollback_config": "how a version is replaced is in [services.NAME.policy]",
}


def translate_resources(draft: Draft, visible_devices: str | None) -> None:
    """Writes replicas, cpus, memory_mb, gpus, and the container's pids and shm_mb. `visible_devices` is what the
    environment says in NVIDIA_VISIBLE_DEVICES, None when nothing."""
    part = draft.part
    deploy = part.part("deploy")
    resources = deploy.part("resources")
    limits, reserved = resources.part("limits"), resources.part("reservations")
    _replicas(draft, deploy)
    _cpus(draft, limits, reserved)
    _memory(draft, limits, reserved)
    _container_limits(draft, limits)
    _gpus(draft, reserved, visible_devices)
    for below in (deploy, resources, limits, reserved):
        for key in below.rest():
            below.lose(key, _DEPLOY.get(key, "belongs to Swarm; bluegreen runs services on this machine"))


def _replicas(draft: Draft, deploy: Part) -> None:
    for part, key in ((deploy, "replicas"), (draft.part, "scale")):
        given = part.take(key)
        if given is None:
            continue
        count = whole(given)
        if count is None or count < 0:
            part.wrong(key, "must be a whole number")
        elif "replicas" not in draft.table and count != 1:
            draft.put("replicas", count, 1, MOST_REPLICAS, source="deploy" if part is deploy else key)


def _cpus(draft: Draft, limits: Part, reserved: Part) -> None:
    places = ((limits, "cpus"), (draft.part, "cpus"), (reserved, "cpus"))
    for part, key in places:
        given = part.take(key)
        if given is None:
            continue
        value = number(given)
        if value is None or value < 0:
            part.wrong(key, "must be a number")
        elif "cpus" not in draft.table and value:
            draft.put("cpus", value, 0, MOST_CPUS, source="cpus")
        elif value and draft.table["cpus"] != value:
            part.lose(key, f"cpus is both limit and reservation, {draft.table['cpus']:g} was taken")


def _memory(draft: Draft, limits: Part, reserved: Part) -> None:
    places = ((limits, "memory"), (draft.part, "mem_limit"), (reserved, "memory"), (draft.part, "mem_reservation"))
    for part, key in places:
        given = part.take(key)
        if given is None:
            continue
        value = mebibytes(given)
        if value is None:
            part.wrong(key, 'must be a size such as "512m"')
        elif "memory_mb" not in draft.table and value:
            draft.put("memory_mb", value, 0, MOST_MEMORY_MB, source=key)
        elif value and draft.table["memory_mb"] != value:
            part.lose(key, f"memory_mb is both limit and reservation, {draft.table['memory_mb']} was taken")


def _container_limits(draft: Draft, limits: Part) -> None:
    for part, key in ((limits, "pids"), (draft.part, "pids_limit")):
        given = part.take(key)
        count = whole(given) if given is not None else 0
        if count is None:
            part.wrong(key, "must be a whole number")
        elif count > 0:
            draft.container["pids"] = min(count, 2**22)
    shared = draft.part.take("shm_size")
    size = mebibytes(shared) if shared is not None else 0
    if size is None:
        draft.part.wrong("shm_size", 'must be a size such as "8g"')
    elif size:
        draft.container["shm_mb"] = min(size, MOST_MEMORY_MB)


def _gpus(draft: Draft, reserved: Part, visible_devices: str | None) -> None:
    part = draft.part
    counts: list[int | None] = []
    for index, device in enumerate(reserved.items("devices")):
        counts += _device(part, device, (*reserved.at, "devices", index))
    given = part.take("gpus")
    if isinstance(given, list):
        for index, device in enumerate(given):
            counts += _device(part, device, (*part.at, "gpus", index), gpu=True)
    elif given is not None:
        counts.append(_count(part, given, (*part.at, "gpus")))
    runtime = part.text("runtime")
    if runtime == "nvidia" and not counts and visible_devices not in ("none", "void"):
        ids = (visible_devices or "all").split(",")
        counts.append(None if ids == ["all"] else len(ids))
    elif runtime not in ("", "nvidia", "runc"):
        part.lose("runtime", f"{runtime}: containers run with the engine's default runtime")
    if not counts:
        return
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        visible = [device for device in draft.values.get("CUDA_VISIBLE_DEVICES", "").split(",") if device.strip()]
        known.append(parallel_gpus(draft.table.get("command", ())) or len(visible) or 1)
        text = f"all GPUs: bluegreen gives a counted number, {sum(known)} is written. Write how many one replica needs"
        part.notes.change((*part.at, "gpus"), f"{text}; green needs as many again beside blue")
    if sum(known):
        draft.put("gpus", sum(known), 0, MOST_GPUS, source="gpus")


def _device(part: Part, device: Any, place: tuple[str | int, ...], *, gpu: bool = False) -> list[int | None]:
    """How many GPUs a device request means, nothing when it is for something else; None for all."""
    if not isinstance(device, dict):
        part.notes.wrong(place, "must be a mapping")
        return []
    capabilities = device.get("capabilities")
    listed = capabilities if isinstance(capabilities, list) else []
    flat = {plain(word) for entry in listed for word in (entry if isinstance(entry, list) else [entry])}
    driver = plain(device.get("driver"))
    if not gpu and "gpu" not in flat:
        part.notes.lose(place, "is no GPU; containers get GPUs alone")
        return []
    if driver not in ("", "nvidia"):
        part.notes.lose((*place, "driver"), f"{driver}: GPUs are given to containers by NVIDIA's toolkit alone")
    if device.get("options"):
        part.notes.lose((*place, "options"), "options of the driver")
    ids = device.get("device_ids")
    if isinstance(ids, list) and ids:
        part.notes.lose((*place, "device_ids"), "bluegreen chooses the devices, as many as are named here")
        return [len(ids)]
    return [_count(part, device.get("count", "all"), (*place, "count"))]


def _count(part: Part, given: Any, place: tuple[str | int, ...]) -> int | None:
    if given in ("all", "-1"):
        return None
    count = whole(given)
    if count is None or count < 0:
        part.notes.wrong(place, 'must be "all" or a whole number')
        return 0
    return count


def parallel_gpus(words: Sequence[str]) -> int | None:
    """What a command says of the number of GPUs of one replica."""
    for index, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in _PARALLEL:
            value = value if equals else next(iter(words[index + 1 : index + 2]), "")
            return int(value) if re.fullmatch("[1-9][0-9]{0,2}", value) else None
    return None
