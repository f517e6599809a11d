"""A replica as a container: its name, its labels, and what the engine is told when it makes one. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bluegreen.control.ports import LaunchRequest
from bluegreen.domain.container import ContainerSettings
from bluegreen.domain.errors import RuntimeFailure, UsageError
from bluegreen.domain.model import ImageReference
from bluegreen.runtimes.docker.records import WorkloadRecord
from bluegreen.runtimes.process.placeholders import fill

HOST = "127.0.0.1"
DEFAULT_CONTAINER_PORT = 8080
SECRETS = "/run/secrets"
OWNER, WORKLOAD, REPLICA = "bluegreen.owner", "bluegreen.workload", "bluegreen.replica"
RECORD = "bluegreen.record"
MANAGED_BY = {"managed-by": "bluegreen"}
GpuRequests = Callable[[Sequence[int]], list[dict[str, Any]]]


def owner_labels(owner: str) -> dict[str, str]:
    """What all containers of one installation have in common. `owner` is its directory: two installations may use
    one engine."""
    return MANAGED_BY | {OWNER: owner}


def container_name(owner: str, workload_id: str, index: int) -> str:
    """`bluegreen-3f9a2c-inference-model-2-green-0`: the same replica has always the same name, so that the engine
    itself refuses to make it twice."""
    return f"bluegreen-{hashlib.sha256(owner.encode()).hexdigest()[:6]}-{workload_id}-{index}"


def container_labels(owner: str, record: WorkloadRecord, index: int) -> dict[str, str]:
    """The workload's own, what people look for, and the record, from which a lost file is made again. Without the
    environment, which may hold secrets: labels are shown everywhere, and the container has it anyway."""
    workload = record.workload
    shown = replace(record, request=replace(record.request, env={}))
    return (
        dict(workload.labels)
        | {"app": workload.service, "version": workload.version, "color": str(workload.color), "image": workload.image}
        | owner_labels(owner)
        | {WORKLOAD: workload.id, REPLICA: str(index), RECORD: json.dumps(shown.to_json())}
    )


def is_replica(container: Mapping[str, Any], owner: str, workload_id: str, index: int) -> bool:
    labels = container["Config"]["Labels"] or {}
    wanted = owner_labels(owner) | {WORKLOAD: workload_id, REPLICA: str(index)}
    return all(labels.get(name) == value for name, value in wanted.items())


def record_in_labels(containers: Iterable[Mapping[str, Any]]) -> WorkloadRecord | None:
    """Of the containers of one workload: that of the newest, which knows of most replicas. None when none can be
    understood."""
    found = []
    for container in containers:
        try:
            record = WorkloadRecord.from_json(json.loads(container["Config"]["Labels"][RECORD]))
        except (KeyError, TypeError, ValueError):
            continue
        found.append(replace(record, request=replace(record.request, env=_environment_of(container))))
    return max(found, key=lambda record: len(record.replicas), default=None)


def _environment_of(container: Mapping[str, Any]) -> dict[str, str]:
    """As it was declared, its placeholders filled in for this replica, and what the image adds."""
    pairs = (line.partition("=") for line in container["Config"]["Env"] or ())
    return {
        name: text.replace("{", "{{").replace("}", "}}")
        for name, _, text in pairs
        if name != "PORT" and not name.startswith("BLUEGREEN_")
    }


def container_port(image: Mapping[str, Any], settings: ContainerSettings) -> int:
    """The port in the container: the one that is declared, or else that the image exposes, 8080 when it exposes none
    or several."""
    if settings.port:
        return settings.port
    exposed = [name for name in image["Config"].get("ExposedPorts") or {} if name.endswith("/tcp")]
    return int(exposed[0].partition("/")[0]) if len(exposed) == 1 else DEFAULT_CONTAINER_PORT


def nvidia_requests(devices: Sequence[int]) -> list[dict[str, Any]]:
    """The engine gives the container exactly these GPUs; inside they count from 0."""
    if not devices:
        return []
    return [{"Driver": "nvidia", "DeviceIDs": [str(device) for device in devices], "Capabilities": [["gpu"]]}]


def container_body(
    owner: str,
    record: WorkloadRecord,
    index: int,
    *,
    base_directory: str,
    network: str,
    gpu_requests: GpuRequests,
    address: str = HOST,
) -> dict[str, Any]:
    """What `POST /containers/create` gets; a port is published on `address`. Raises RuntimeFailure when a placeholder
    is unknown."""
    request, replica, settings = record.request, record.replicas[index], record.request.container
    port, network = f"{record.container_port}/tcp", settings.network or network
    body: dict[str, Any] = {
        # By id: a tag that moves meanwhile must not make replicas of two images.
        "Image": record.image_id,
        "Labels": container_labels(owner, record, index),
        "ExposedPorts": {port: {}},
        "StopSignal": "SIGTERM",
        "HostConfig": {
            "PortBindings": {port: [{"HostIp": address, "HostPort": str(replica.port)}]} if settings.publish else {},
            # Who restarts it, when and how often is ours to say; the engine would do it behind our back.
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
            "DeviceRequests": gpu_requests(replica.gpus),
            **({"NetworkMode": network} if network else {}),
            **_limits(request),
            **_confinement(settings),
            "Mounts": _mounts(settings),
        },
        **({"User": settings.user} if settings.user else {}),
        **({} if settings.healthcheck else {"Healthcheck": {"Test": ["NONE"]}}),
    }
    return body | _filled(request, record, index, base_directory)


def _limits(request: LaunchRequest) -> dict[str, int]:
    resources, settings, limits = request.workload.resources, request.container, {}
    if resources.cpus:
        limits["NanoCpus"] = round(resources.cpus * 1e9)
    if resources.memory_mb:
        limits["Memory"] = limits["MemorySwap"] = resources.memory_mb * 2**20
    if settings.shm_mb:
        limits["ShmSize"] = settings.shm_mb * 2**20
    if settings.pids:
        limits["PidsLimit"] = settings.pids
    return limits


def _confinement(settings: ContainerSettings) -> dict[str, Any]:
    return {
        "ReadonlyRootfs": settings.read_only,
        "CapDrop": list(settings.cap_drop),
        "Tmpfs": dict.fromkeys(settings.tmpfs, ""),
    }


def missing_files(settings: ContainerSettings) -> list[str]:
    """A sentence for each file and directory of this machine that is not there."""
    mounts = [(f"mount {mount.target}", mount.source) for mount in settings.mounts if not mount.is_volume]
    secrets = [(f"secret {name}", path) for name, path in settings.secrets.items()]
    return [f"{what}: there is no {path}" for what, path in (*mounts, *secrets) if not Path(path).exists()]


def _mounts(settings: ContainerSettings) -> list[dict[str, Any]]:
    """Secrets are the files themselves: what is in them is in no label, no environment and no layer."""
    mounts = [
        {
            "Type": "volume" if mount.is_volume else "bind",
            "Source": mount.source,
            "Target": mount.target,
            "ReadOnly": mount.read_only,
        }
        for mount in settings.mounts
    ]
    return mounts + [
        {"Type": "bind", "Source": path, "Target": f"{SECRETS}/{name}", "ReadOnly": True}
        for name, path in settings.secrets.items()
    ]


def _filled(request: LaunchRequest, record: WorkloadRecord, index: int, base_directory: str) -> dict[str, Any]:
    """Command, environment and work directory. Where nothing is asked for, the image decides: without a command its
    own, and its own directory as long as `workdir` is the configuration's."""
    workload = request.workload
    try:
        image = ImageReference.parse(workload.image)
        values = {
            "port": str(record.container_port),
            "image": workload.image,
            "repository": image.repository,
            "tag": image.tag,
            "color": workload.color.value,
            "replica": str(index),
        }
        command = [fill(part, values, where=f"command[{number}]") for number, part in enumerate(request.command)]
        workdir = fill(request.workdir, values, where="workdir")
        declared = {name: fill(text, values, where=f"env.{name}") for name, text in request.env.items()}
    except UsageError as problem:
        raise RuntimeFailure(f"{workload.id}: {problem.message}", hint=problem.hint) from problem
    env = declared | {
        "PORT": str(record.container_port),
        "BLUEGREEN_SERVICE": workload.service,
        "BLUEGREEN_COLOR": workload.color.value,
        "BLUEGREEN_VERSION": workload.version,
        "BLUEGREEN_WORKLOAD": workload.id,
        "BLUEGREEN_REPLICA": str(index),
    }
    filled: dict[str, Any] = {"Env": [f"{name}={text}" for name, text in env.items()]}
    if command:
        filled |= {"Entrypoint": command[:1], "Cmd": command[1:]}
    if workdir not in (".", base_directory):
        filled["WorkingDir"] = workdir
    return filled
