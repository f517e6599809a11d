"""Which service a Host header means: the maps that HAProxy looks it up in. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bluegreen.domain.errors import ConfigurationError
from bluegreen.domain.service import ServiceSpec

_SERVICE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
_PATH = re.compile(r"/[!-~]*")


def host_maps(services: Sequence[ServiceSpec]) -> tuple[str, str, str]:
    """Lines of the exact names and of the suffixes (the longest first: the first match wins), the `*` service.
    Raises ConfigurationError with everything that can't be routed."""
    owners: dict[str, str] = {}
    problems: list[str] = []
    for spec in services:
        if not _SERVICE.fullmatch(spec.name):
            problems.append(f"services.{spec.name!r}: is not a service name")
        if spec.health is not None and not _PATH.fullmatch(spec.health.path):
            problems.append(f"services.{spec.name}.health.path: {spec.health.path!r} is not a path")
        for host in dict.fromkeys(host.lower() for host in spec.hosts):
            if host != "*" and not _HOST.fullmatch(host):
                problems.append(f"services.{spec.name}.hosts: {host!r} is not a host name")
            elif host in owners:
                problems.append(f"services.{spec.name}.hosts: {host!r} belongs to {owners[host]!r} already")
            else:
                owners[host] = spec.name
    if len({spec.name for spec in services}) != len(services):
        problems.append("services: a name is there twice")
    if problems:
        raise ConfigurationError("the router's configuration", problems)
    default = owners.pop("*", "")
    suffixes = {host[1:]: name for host, name in owners.items() if host.startswith("*.")}
    exact = {host: name for host, name in owners.items() if not host.startswith("*.")}
    by_length = sorted(suffixes.items(), key=lambda item: (-len(item[0]), item[0]))
    return _map_lines(sorted(exact.items())), _map_lines(by_length), default


def _map_lines(pairs: Sequence[tuple[str, str]]) -> str:
    return "".join(f"{key} {value}\n" for key, value in pairs)
