"""What is on disk about workloads, so that another controller can take them over.

    workloads/<workload id>/workload.json       what was asked for; written last before anything is started
                            stopping            present from the decision to stop it on
                            replica-<n>/launch.json, status.json, output.log, shim.log, shim.lock
    stopped/<workload id>/                      the same directory, moved when no process is left

The place decides: what lies under `workloads` exists, what lies under `stopped` is kept for its logs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.model import Color, Resources, Workload, WorkloadState
from bluegreen.runtimes.process.identity import ProcessIdentity
from bluegreen.runtimes.process.supervise import FORMAT

_WORKLOAD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def valid_workload_id(text: str) -> bool:
    """Whether it can be the name of a directory and nothing else."""
    return _WORKLOAD_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class WorkloadRecord:
    """`launch_token` is in the environment of every process of this launch; `gpus` are device indices per replica."""

    workload: Workload
    created_at: float
    launch_token: str
    stop_grace_seconds: float
    gpus: tuple[tuple[int, ...], ...]
    gpu_sharing: bool = False

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT} | asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> WorkloadRecord:
        """Raises KeyError, TypeError or ValueError when `data` is no such record."""
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r}, this version knows {FORMAT}")
        workload = dict(data["workload"])
        workload["color"] = Color(workload["color"])
        workload["resources"] = Resources(**workload["resources"])
        return cls(
            workload=Workload(**workload),
            created_at=data["created_at"],
            launch_token=data["launch_token"],
            stop_grace_seconds=data["stop_grace_seconds"],
            gpus=tuple(tuple(devices) for devices in data["gpus"]),
            gpu_sharing=data.get("gpu_sharing", False),
        )


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """What a shim last said about its replica. `final` means that this shim ended and meant to."""

    shim: ProcessIdentity
    state: WorkloadState
    final: bool
    child_pid: int | None
    port: int | None
    restarts: int
    exit_code: int | None
    error: str


class Records:
    """The directory of a runtime."""

    def __init__(self, directory: Path) -> None:
        self.running = directory / "workloads"
        self.stopped = directory / "stopped"
        self.port_locks = directory / "ports"

    def prepare(self) -> None:
        for path in (self.running, self.stopped, self.port_locks):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self, workload_id: str) -> WorkloadRecord | None:
        """None when it does not exist; raises RuntimeFailure when its record can't be understood."""
        return self._load(self.running / workload_id) if valid_workload_id(workload_id) else None

    def all(self) -> Iterator[WorkloadRecord]:
        """Those that exist, by id."""
        if not self.running.is_dir():
            return
        for path in sorted(self.running.iterdir()):
            if record := self._load(path):
                yield record

    def _load(self, path: Path) -> WorkloadRecord | None:
        file = path / "workload.json"
        try:
            return WorkloadRecord.from_json(json.loads(file.read_bytes()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise RuntimeFailure(
                f"the record of a workload can't be read: {file}: {problem}",
                hint="Restore the file, or end its processes and remove its directory.",
            ) from problem

    def replica(self, workload_id: str, index: int) -> Path:
        return self.running / workload_id / f"replica-{index}"

    def kept(self, workload_id: str) -> Path | None:
        """Its directory, running or stopped; None when it is unknown or was pruned."""
        if not valid_workload_id(workload_id):
            return None
        found = (path / workload_id for path in (self.running, self.stopped))
        return next((path for path in found if path.is_dir()), None)

    def begin(self, workload_id: str) -> None:
        """Makes room for a launch. The logs of an earlier one with the same id stay."""
        self.prepare()
        path = self.running / workload_id
        if not path.exists() and (self.stopped / workload_id).exists():
            (self.stopped / workload_id).rename(path)
        path.mkdir(mode=0o700, exist_ok=True)
        (path / "workload.json").unlink(missing_ok=True)
        for status in path.glob("replica-*/status.json"):
            status.unlink()
        (path / "stopping").unlink(missing_ok=True)

    def write_launch(self, workload_id: str, index: int, launch: dict[str, Any]) -> None:
        path = self.replica(workload_id, index)
        path.mkdir(mode=0o700, exist_ok=True)
        _write_durably(path / "launch.json", launch)

    def read_launch(self, workload_id: str, index: int) -> dict[str, Any]:
        launch: dict[str, Any] = json.loads((self.replica(workload_id, index) / "launch.json").read_bytes())
        return launch

    def commit(self, record: WorkloadRecord) -> None:
        """From here on the workload exists."""
        _write_durably(self.running / record.workload.id / "workload.json", record.to_json())
        _sync_directory(self.running)

    def mark_stopping(self, workload_id: str) -> None:
        (self.running / workload_id / "stopping").touch()
        _sync_directory(self.running / workload_id)

    def is_stopping(self, workload_id: str) -> bool:
        return (self.running / workload_id / "stopping").exists()

    def move_to_stopped(self, workload_id: str) -> None:
        target = self.stopped / workload_id
        if target.exists():
            shutil.rmtree(target)
        (self.running / workload_id).rename(target)
        _sync_directory(self.running)

    def report(self, workload_id: str, index: int) -> ReplicaReport | None:
        """None while its shim has not said anything."""
        try:
            data = json.loads((self.replica(workload_id, index) / "status.json").read_bytes())
            return ReplicaReport(
                shim=ProcessIdentity(data["shim_pid"], data["shim_start_ticks"], data["boot_id"]),
                state=WorkloadState(data["state"]),
                final=data["final"],
                child_pid=data["child_pid"],
                port=data["port"],
                restarts=data["restarts"],
                exit_code=data["exit_code"],
                error=data["error"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def prune(self, keep: int) -> None:
        """Removes stopped workloads, and with them their logs, except for the newest `keep` of each service."""
        by_service: dict[str, list[tuple[float, Path]]] = {}
        for path in self.stopped.iterdir() if self.stopped.is_dir() else ():
            try:
                record = self._load(path)
            except RuntimeFailure:
                continue
            if record is not None:
                stopped_at = path.stat().st_ctime
                by_service.setdefault(record.workload.service, []).append((stopped_at, path))
        for entries in by_service.values():
            for _stopped_at, path in sorted(entries, reverse=True)[keep:]:
                shutil.rmtree(path, ignore_errors=True)


def _write_durably(path: Path, data: dict[str, Any]) -> None:
    """Readable by the owner only: an environment may hold secrets. On disk when it returns."""
    temporary = path.with_name(f"{path.name}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump(data, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
