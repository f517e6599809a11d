"""What is on disk about containers: what was asked for, and what the engine forgets when one is started again.

    workloads/<workload id>/record.json       written before a container is made
                            replica-<n>.log   output of runs that have ended, and why they did
    stopped/<workload id>/                    the same directory, moved when no container is left

Containers carry what was asked for as labels too (`labels.py`): a lost directory loses counts and old output, and no
container.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bluegreen.control.ports import LaunchRequest
from bluegreen.domain.container import ContainerSettings, Mount
from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.model import Color, Resources, Workload
from bluegreen.runtimes.process.records import valid_workload_id

FORMAT = 1
LOST = "lost"
LOG_MAX_BYTES = 10 * 2**20
"""Of one replica's ended runs; when it is full the older half goes."""


@dataclass(frozen=True, slots=True)
class ReplicaRecord:
    """`port` is the loopback port that leads into the container, `logged_until` the time of the last line that was
    copied from the engine, in nanoseconds since the epoch. `counted` is the end that was counted last, so that trying
    once more to start it is not another restart: when it was, or LOST. `ended` is as in ReplicaStatus."""

    port: int
    gpus: tuple[int, ...] = ()
    restarts: int = 0
    exit_code: int | None = None
    logged_until: int = 0
    counted: str = ""
    ended: str = ""


@dataclass(frozen=True, slots=True)
class WorkloadRecord:
    """`container_port` is the one inside, the same for all replicas. `image_id` is what the tag meant at the start."""

    request: LaunchRequest
    created_at: float
    container_port: int
    image_id: str
    replicas: tuple[ReplicaRecord, ...]
    stopping: bool = False

    @property
    def workload(self) -> Workload:
        return self.request.workload

    def with_replica(self, index: int, replica: ReplicaRecord) -> WorkloadRecord:
        return replace(self, replicas=(*self.replicas[:index], replica, *self.replicas[index + 1 :]))

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT} | asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> WorkloadRecord:
        """Raises KeyError, TypeError or ValueError when `data` is no such record."""
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r}, this version knows {FORMAT}")
        request = dict(data["request"])
        workload = dict(request["workload"])
        workload["color"] = Color(workload["color"])
        workload["resources"] = Resources(**workload["resources"])
        request["workload"] = Workload(**workload)
        request["command"] = tuple(request["command"])
        request["container"] = _settings(request.get("container", {}))
        return cls(
            request=LaunchRequest(**request),
            created_at=data["created_at"],
            container_port=data["container_port"],
            image_id=data["image_id"],
            replicas=tuple(
                ReplicaRecord(**(replica | {"gpus": tuple(replica["gpus"])})) for replica in data["replicas"]
            ),
            stopping=data["stopping"],
        )


def _settings(data: dict[str, Any]) -> ContainerSettings:
    given = dict(data)
    for key in given.keys() & {"cap_drop", "tmpfs"}:
        given[key] = tuple(given[key])
    given["mounts"] = tuple(Mount(**mount) for mount in given.get("mounts", ()))
    return ContainerSettings(**given)


class Records:
    """The directory of a runtime."""

    def __init__(self, directory: Path) -> None:
        self.running = directory / "workloads"
        self.stopped = directory / "stopped"
        self._read: dict[str, tuple[tuple[int, int, int], WorkloadRecord]] = {}

    def load(self, workload_id: str) -> WorkloadRecord | None:
        """None when it does not exist; raises RuntimeFailure when its record can't be understood."""
        return self._load(self.running / workload_id) if valid_workload_id(workload_id) else None

    def all(self) -> Iterator[WorkloadRecord]:
        """Those that exist, by id."""
        for path in sorted(self.running.iterdir()) if self.running.is_dir() else ():
            if record := self._load(path):
                yield record

    def _load(self, path: Path) -> WorkloadRecord | None:
        """What was read of a file is remembered as long as it is that file: it is never written in place."""
        file = path / "record.json"
        try:
            seen = os.stat(file)  # noqa: PTH116 - as often as a health check
            version = (seen.st_ino, seen.st_mtime_ns, seen.st_size)
            known = self._read.get(str(path))
            if known is None or known[0] != version:
                known = (version, WorkloadRecord.from_json(json.loads(file.read_bytes())))
                self._read[str(path)] = known
            return known[1]
        except (FileNotFoundError, NotADirectoryError):
            self._read.pop(str(path), None)
            return None
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise RuntimeFailure(
                f"the record of a workload can't be read: {file}: {problem}",
                hint="Restore the file, or remove it: its containers are found by their labels.",
            ) from problem

    def save(self, record: WorkloadRecord) -> None:
        """On disk when it returns, readable by the owner only: an environment may hold secrets. The logs of an
        earlier launch with the same id stay."""
        path = self.running / record.workload.id
        if not path.exists():
            self.running.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                (self.stopped / record.workload.id).rename(path)
            path.mkdir(mode=0o700, exist_ok=True)
        temporary = path / "record.json.tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(record.to_json(), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path / "record.json")
        for directory in (path, self.running):
            _sync_directory(directory)

    def append_output(self, workload_id: str, index: int, text: str) -> None:
        """A full disk loses output, and nothing else."""
        path = self.running / workload_id / f"replica-{index}.log"
        with suppress(OSError):
            if path.exists() and path.stat().st_size > LOG_MAX_BYTES:
                content = path.read_bytes()[-LOG_MAX_BYTES // 2 :]
                path.write_bytes(content[content.find(b"\n") + 1 :])
            with path.open("ab") as file:
                file.write(text.encode(errors="replace"))

    def kept(self, workload_id: str) -> Path | None:
        """Its directory, running or stopped; None when it is unknown or was pruned."""
        if not valid_workload_id(workload_id):
            return None
        found = (path / workload_id for path in (self.running, self.stopped))
        return next((path for path in found if path.is_dir()), None)

    def move_to_stopped(self, workload_id: str) -> None:
        source, target = self.running / workload_id, self.stopped / workload_id
        if not source.exists():
            return
        self.stopped.mkdir(mode=0o700, parents=True, exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        source.rename(target)
        _sync_directory(self.running)

    def prune(self, keep: int) -> None:
        """Removes stopped workloads, and with them their logs, except for the newest `keep` of each service."""
        by_service: dict[str, list[tuple[float, Path]]] = {}
        for path in self.stopped.iterdir() if self.stopped.is_dir() else ():
            try:
                record = self._load(path)
            except RuntimeFailure:
                continue
            if record is not None:
                by_service.setdefault(record.workload.service, []).append((path.stat().st_ctime, path))
        for entries in by_service.values():
            for _stopped_at, path in sorted(entries, reverse=True)[keep:]:
                shutil.rmtree(path, ignore_errors=True)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
