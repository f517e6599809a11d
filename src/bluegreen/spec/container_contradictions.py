"""What goes with containers only, and what within them does not go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bluegreen.spec.problems import Location, Problem
from bluegreen.spec.toml_text import toml_text

_OF_THE_ENGINE = ("host", "network", "address", "tls_ca", "tls_certificate", "tls_key")
Raw = Mapping[str, Any]


def without_docker(runtime: Raw, services: Mapping[str, Raw]) -> Iterator[Problem]:
    """Keys of an engine that nothing runs on."""
    if runtime.get("kind", "process") == "docker" or any(each.get("runtime") == "docker" for each in services.values()):
        return
    for key in _OF_THE_ENGINE:
        if key in runtime:
            yield Problem(("runtime", key), 'only goes with kind = "docker", or with a service that has it as runtime')


def unfit_for_runtime(service: Raw, runtime: Raw, at: Location) -> Iterator[Problem]:
    """What the service's runtime can't do with it."""
    kind = service.get("runtime") or runtime.get("kind", "process")
    workdir = service.get("workdir")
    container = service.get("container")
    if kind == "process":
        if "command" not in service:
            yield Problem((*at, "command"), "is missing")
        if container:
            yield Problem((*at, "container"), 'only goes with containers: runtime = "docker"')
    elif isinstance(workdir, str) and not workdir.startswith("/"):
        yield Problem((*at, "workdir"), "must be an absolute path in the container")
    if (
        isinstance(container, Mapping)
        and container.get("publish") is False
        and not {**runtime, **container}.get("network")
    ):
        yield Problem((*at, "container", "publish"), "needs a network when it is false; name it in network")


def in_container(container: Raw, at: Location) -> Iterator[Problem]:
    """Two things at one path."""
    taken: dict[str, str] = {}
    for path, owner in _targets(container):
        first = taken.setdefault(path, owner)
        if first != owner:
            yield Problem((*at, *_location(owner)), f"{toml_text(path)} is already taken by {first}")


def _targets(container: Raw) -> Iterator[tuple[str, str]]:
    mounts, tmpfs, secrets = (container.get(key) for key in ("mounts", "tmpfs", "secrets"))
    for index, mount in enumerate(mounts if isinstance(mounts, list) else []):
        target = mount.get("target") if isinstance(mount, Mapping) else None
        if isinstance(target, str):
            yield target.rstrip("/") or "/", f"mounts.{index}"
    for index, target in enumerate(tmpfs if isinstance(tmpfs, list) else []):
        if isinstance(target, str):
            yield target.rstrip("/") or "/", f"tmpfs.{index}"
    for name in secrets if isinstance(secrets, Mapping) else ():
        yield f"/run/secrets/{name}", f"secrets.{name}"


def _location(owner: str) -> Location:
    key, _, rest = owner.partition(".")
    return key, int(rest) if rest.isdigit() else rest
