"""What a shim is told: the filled-in command, work directory and environment, and how to supervise them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bluegreen.control.ports import LaunchRequest
from bluegreen.domain.errors import RuntimeFailure, UsageError
from bluegreen.domain.model import ImageReference, Workload
from bluegreen.runtimes.process.launcher import REPLICA_VARIABLE
from bluegreen.runtimes.process.placeholders import fill
from bluegreen.runtimes.process.supervise import PORT_MARK


@dataclass(frozen=True, slots=True)
class ShimSettings:
    """How a replica is supervised. The pause before a restart doubles from first to max, and begins anew when the
    replica lived for `backoff_reset_seconds`. Output is kept in `log_files` files of at most `log_max_bytes`."""

    backoff_first_seconds: float = 0.5
    backoff_max_seconds: float = 30.0
    backoff_reset_seconds: float = 60.0
    log_max_bytes: int = 10 * 2**20
    log_files: int = 3
    start_timeout_seconds: float = 15.0


def launch_plan(
    request: LaunchRequest, index: int, *, base_directory: Path, base_environment: Mapping[str, str]
) -> dict[str, Any]:
    """The `launch.json` of one replica, as far as the request decides it. Raises RuntimeFailure when a
    placeholder is unknown or the command is empty."""
    workload = request.workload
    try:
        image = ImageReference.parse(workload.image)
        values = {
            "port": PORT_MARK,
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
    if not command or not command[0]:
        raise RuntimeFailure(f"{workload.id}: the command is empty", hint="Set `command` of its service.")
    return {
        "argv": command,
        "workdir": str(base_directory / workdir),
        "env": {**base_environment, **declared, **_own_variables(workload, index)},
        "grace_seconds": request.stop_grace_seconds,
        "port": None,
        "restarts": 0,
        "exit_code": None,
    }


def supervision_plan(settings: ShimSettings, ports: tuple[int, int], port_locks: Path) -> dict[str, Any]:
    """The rest of `launch.json`, the same for all replicas."""
    return asdict(settings) | {
        "port_first": ports[0],
        "port_last": ports[1],
        "port_lock_directory": str(port_locks),
    }


def _own_variables(workload: Workload, index: int) -> dict[str, str]:
    return {
        "PORT": PORT_MARK,
        "BLUEGREEN_SERVICE": workload.service,
        "BLUEGREEN_COLOR": workload.color.value,
        "BLUEGREEN_VERSION": workload.version,
        "BLUEGREEN_WORKLOAD": workload.id,
        REPLICA_VARIABLE: str(index),
    }
