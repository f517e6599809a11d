"""The table `[services.NAME.container]`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bluegreen.domain.container import ContainerSettings
from bluegreen.spec import container_values, values
from bluegreen.spec.table import Table

_CONTAINER = ContainerSettings()


class MountTable(Table):
    """A directory, a file or a volume that the container sees."""

    source: container_values.MountSource = Field(
        description="Path on the engine's machine, relative to the file; or the name of a volume."
    )
    target: container_values.InnerPath = Field(description="Where the container sees it.")
    read_only: bool = Field(
        default=False, description="The container can't write to it. One that it can write to makes it stateful."
    )


class ContainerTable(Table):
    """How the service's containers are made. Only for services that run in containers."""

    pull: Literal["always", "missing", "never"] = Field(
        default="missing", description="When a deployment pulls the image, before anything moves."
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Where the container listens. Not set: the port that the image exposes, else 8080.",
    )
    network: values.Network | None = Field(
        default=None, description="Network of the containers. Not set: as [runtime] says."
    )
    publish: bool = Field(
        default=_CONTAINER.publish,
        description="Reached on a published port of this machine; if not, by its own address on the network.",
    )
    healthcheck: bool = Field(
        default=_CONTAINER.healthcheck, description="The image's own HEALTHCHECK must agree with the health check."
    )
    shm_mb: int = Field(
        default=_CONTAINER.shm_mb, ge=0, le=2**26, description="Size of /dev/shm in MiB; 0 is the engine's, 64."
    )
    pids: int = Field(
        default=_CONTAINER.pids, ge=0, le=2**22, description="Processes and threads it may have; 0 sets no limit."
    )
    read_only: bool = Field(default=_CONTAINER.read_only, description="The container can't write to its own files.")
    cap_drop: list[container_values.Capability] = Field(
        default=[], max_length=64, description='Capabilities that it has not; "ALL" takes all of them.'
    )
    user: container_values.User | None = Field(
        default=None, description="User, or user:group, that it runs as. Not set: the image's."
    )
    tmpfs: list[container_values.InnerPath] = Field(
        default=[], max_length=32, description="Directories in memory, empty at the start."
    )
    mounts: list[MountTable] = Field(
        default=[], max_length=64, description="Directories, files and volumes that it sees."
    )
    secrets: dict[container_values.SecretName, values.NonemptyText] = Field(
        default={}, description="Names and files, relative to the file: each is /run/secrets/NAME in the container."
    )
