"""Between `[services.NAME.container]` and what the rest of the program knows of it."""

from __future__ import annotations

import os.path
from pathlib import Path
from typing import Any

from bluegreen.domain.container import ContainerSettings, Mount
from bluegreen.spec.container_model import ContainerTable
from bluegreen.spec.container_values import is_path
from bluegreen.spec.paths import absolute


def to_container(table: ContainerTable, base_directory: Path) -> ContainerSettings:
    return ContainerSettings(
        pull=table.pull,
        port=table.port or 0,
        network=table.network or "",
        publish=table.publish,
        healthcheck=table.healthcheck,
        shm_mb=table.shm_mb,
        pids=table.pids,
        read_only=table.read_only,
        cap_drop=tuple(table.cap_drop),
        user=table.user or "",
        tmpfs=tuple(table.tmpfs),
        mounts=tuple(
            Mount(_source(mount.source, base_directory), mount.target, mount.read_only) for mount in table.mounts
        ),
        secrets={name: _normal(path, base_directory) for name, path in table.secrets.items()},
    )


def container_table(settings: ContainerSettings) -> dict[str, Any]:
    """As the file would have it. TOML has no null: what is not set is not written."""
    table = {name: getattr(settings, name) for name in ContainerSettings.__dataclass_fields__}
    table |= {"cap_drop": list(settings.cap_drop), "tmpfs": list(settings.tmpfs), "secrets": dict(settings.secrets)}
    table["mounts"] = [
        {"source": mount.source, "target": mount.target, "read_only": mount.read_only} for mount in settings.mounts
    ]
    return {name: value for name, value in table.items() if value != "" and (name != "port" or value)}


def _source(source: str, base_directory: Path) -> str:
    return _normal(source, base_directory) if is_path(source) else source


def _normal(path: str, base_directory: Path) -> str:
    return os.path.normpath(absolute(path, base_directory))
