"""What is declared of a service that runs in containers, beyond what every service has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Mount:
    """`source` is an absolute path on the engine's machine, or the name of a volume. `target` is a path inside."""

    source: str
    target: str
    read_only: bool = False

    @property
    def is_volume(self) -> bool:
        return not self.source.startswith("/")


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """0 and "" leave a setting to the engine or to the image."""

    pull: str = "missing"
    """When the image is pulled: `always`, `missing` or `never`."""
    port: int = 0
    """Where the container listens. 0: where the image says it does, 8080 when it says nothing or several."""
    network: str = ""
    publish: bool = True
    """Reached on a published port; otherwise by the container's own address on `network`."""
    healthcheck: bool = True
    """Whether the image's own HEALTHCHECK counts beside ours."""
    shm_mb: int = 0
    pids: int = 0
    read_only: bool = False
    cap_drop: tuple[str, ...] = ()
    user: str = ""
    tmpfs: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Name → absolute path of a file, which is `/run/secrets/<name>` inside."""

    @property
    def writable(self) -> tuple[Mount, ...]:
        """What two versions would write to side by side."""
        return tuple(mount for mount in self.mounts if not mount.read_only)
