"""Keys of a service that bluegreen has no place for, each with the reason or what to do instead."""

from __future__ import annotations

from typing import Any

from bluegreen.spec.compose.notes import Part
from bluegreen.spec.compose.units import whole

_RESOLVE = "resolve it first: docker compose config > resolved.yaml, and import that"
_REASONS = {
    "extends": _RESOLVE,
    "build": "bluegreen deploys images that are built: bluegreen deploy NAME --image REPOSITORY:TAG",
    "depends_on": "start what it needs before; green gets traffic only when its health check answers",
    "links": "put both on one network and name that with network",
    "external_links": "put both on one network and name that with network",
    "profiles": "every service of bluegreen.toml can be deployed; leave out those that should not be",
    "restart": "bluegreen starts again what crashes, while its daemon runs",
    "privileged": "containers have no privileges beyond the engine's defaults",
    "cap_add": "containers get no capabilities beyond the engine's defaults",
    "security_opt": "containers have the engine's own security options; set them for the engine (dockerd)",
    "devices": "containers get GPUs alone, by gpus",
    "device_cgroup_rules": "containers get GPUs alone, by gpus",
    "network_mode": "a replica is published on a port of 127.0.0.1; name a network of the engine with network",
    "ipc": "each replica has its own; shm_size is carried over as shm_mb",
    "pid": "each replica has its own",
    "uts": "each replica has its own",
    "userns_mode": "set it for the engine (dockerd)",
    "configs": "mount the file with volumes, read-only",
    "container_name": "each replica of each version has a name of its own: bluegreen workload list",
    "hostname": "each replica has its own",
    "domainname": "each replica has its own",
    "logging": "output is kept by bluegreen (bluegreen logs); the engine's own driver is used",
    "ulimits": "the engine's own are used; set them for the engine (default-ulimits)",
    "sysctls": "containers have the engine's defaults",
    "extra_hosts": "containers know the names of their network alone",
    "dns": "the engine's own is used",
    "dns_search": "the engine's own is used",
    "dns_opt": "the engine's own is used",
    "init": "the first process of the image must end on SIGTERM and reap its children; build tini into the image",
    "platform": "the image of this machine's platform is used",
    "stdin_open": "replicas have no terminal",
    "tty": "replicas have no terminal",
    "group_add": "name the group with user: uid:gid",
    "memswap_limit": "memory_mb is the limit",
    "mem_swappiness": "memory_mb is the limit",
    "oom_kill_disable": "a replica that needs more than memory_mb is killed and started again",
    "cpu_shares": "cpus is the limit",
    "cpu_quota": "cpus is the limit",
    "cpu_period": "cpus is the limit",
    "cpuset": "cpus is the limit; replicas are not pinned to cores",
    "volumes_from": "name the mounts of each service",
    "annotations": "use labels",
    "develop": "is for development",
    "attach": "output is in bluegreen logs",
    "post_start": "run it from the image's entry point, or as a smoke test",
    "pre_stop": "replicas get SIGTERM after their requests are finished; clean up there",
    "label_file": "write them as labels",
    "models": "declare the model server as a service of its own",
    "provider": "declare what it provides outside of bluegreen",
    "cgroup_parent": "the engine's own is used",
    "mac_address": "each replica has its own",
}
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "privileged": (False, "false"),
    "init": (False, "false"),
    "tty": (False, "false"),
    "stdin_open": (False, "false"),
    "oom_kill_disable": (False, "false"),
    "restart": ("no",),
    "network_mode": ("bridge",),
    "ipc": ("private",),
    "attach": (True, False),
}
"""Values that say what bluegreen does anyway."""
_TOP_LEVEL = {
    "include": _RESOLVE,
    "configs": "mount the files with volumes, read-only",
    "models": "declare the model server as a service of its own",
}


def refuse_rest(part: Part) -> None:
    """Names every key of a service that nothing was made of."""
    for key in part.rest():
        value = part.table[key]
        if value in (None, [], {}) or value in _HARMLESS.get(key, ()):
            continue
        part.lose(key, _REASONS.get(key, "is no key of a service that bluegreen knows"))


def refuse_top_level(part: Part) -> None:
    """The same for the keys beside `services`."""
    for key in ("version", "name", "services", "volumes", "networks", "secrets"):
        part.take(key)
    for key in part.rest():
        if part.table[key] not in (None, [], {}):
            part.lose(key, _TOP_LEVEL.get(key, "is no key that bluegreen knows"))


def stop_signal(part: Part) -> None:
    """bluegreen ends replicas with SIGTERM."""
    given = part.text("stop_signal")
    if given and given.upper().removeprefix("SIG") != "TERM" and whole(given) != 15:
        part.lose("stop_signal", f"{given}: replicas get SIGTERM, and SIGKILL after stop_grace_seconds")
