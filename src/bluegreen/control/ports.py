"""What the walk needs of the world. Adapters implement these; one contract suite per port holds them to it.

Every method may be called again after a crash and must then finish what was begun instead of doing it
twice: workloads are identified by an id that the caller chose, switches by a route generation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bluegreen.control.alert_ports import Alert as Alert
from bluegreen.control.alert_ports import AlertDeclined as AlertDeclined
from bluegreen.control.alert_ports import AlertSink as AlertSink
from bluegreen.control.alert_ports import Delivery as Delivery
from bluegreen.control.alert_ports import Outbox as Outbox
from bluegreen.control.analysis_ports import AnalysisSource as AnalysisSource
from bluegreen.domain.analysis import CommandResult
from bluegreen.domain.container import ContainerSettings
from bluegreen.domain.events import Event, Record
from bluegreen.domain.model import (
    Capacity,
    Color,
    Endpoint,
    Route,
    RouteTarget,
    SlotTraffic,
    Workload,
    WorkloadStatus,
)
from bluegreen.domain.service import HealthCheck, ServiceSpec, SmokeTest
from bluegreen.domain.usage import Usage


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch, for people and for the log. May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow, for durations within this process."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Returns as soon as the event is set, or after so many seconds."""
        ...


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """A workload and how to run it, placeholders not yet filled in."""

    workload: Workload
    command: tuple[str, ...]
    workdir: str
    env: Mapping[str, str]
    stop_grace_seconds: float = 10.0
    runtime: str = "process"
    """What is to run it, where there are several: `process` or `docker`."""
    container: ContainerSettings = ContainerSettings()
    gpu_memory_mb: int = 0
    """What must be free on each of a replica's GPUs when it is given them; 0: not asked."""
    gpu_sharing: bool = False
    """Whether the other slot of the service may have the same GPUs, if it says so too."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """`digest` is the exact content that the image names now, "" where there are no images; `detail` a phrase."""

    digest: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PullProgress:
    """Of an image that is on its way. Both grow; 0 when nothing is known yet."""

    received_bytes: int = 0
    total_bytes: int = 0


Progress = Callable[[PullProgress], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class LogPage:
    """`position` is where the next page begins; "" where logs are files, which can be followed themselves."""

    lines: tuple[str, ...] = ()
    position: str = ""


class WorkloadRuntime(Protocol):
    """Starts and stops workloads. Workloads outlive the controller."""

    async def prepare(self, request: LaunchRequest, progress: Progress) -> Preparation:
        """Gets and checks what a start will need, an image above all, and starts nothing. It may take minutes;
        `progress` is told now and then. Raises RuntimeFailure when a start could not work."""
        ...

    async def start(self, request: LaunchRequest) -> WorkloadStatus:
        """Starts all replicas and returns without waiting for health. A workload that is there already (same id) is
        adopted as it is; when more replicas are asked for, those are started beside it, and it never shrinks.
        Raises RuntimeFailure; then nothing of it is left running, or what ran goes on."""
        ...

    async def inspect(self, workload_id: str) -> WorkloadStatus | None:
        """None when there is no such workload (never was, or stopped and removed)."""
        ...

    async def list(self) -> Sequence[WorkloadStatus]:
        """Every workload that exists, stopped ones not."""
        ...

    async def stop(self, workload_id: str) -> None:
        """SIGTERM to every process of it, grace, SIGKILL; returns when no process of it is left. Its logs stay.
        No error when there is none. Draining is the caller's business and done before."""
        ...

    async def logs(self, workload_id: str, *, lines: int = 100) -> Sequence[str]:
        """The last lines of all replicas, also after the workload stopped."""
        ...

    async def log_page(self, workload_id: str, *, position: str = "", lines: int = 100) -> LogPage:
        """The last lines of all replicas; given the position of an earlier page, what was written since. Raises
        UsageError for a position that is none."""
        ...

    async def log_files(self, workload_id: str) -> Sequence[Path]:
        """The files that grow while the workload writes, one per replica; [] when logs are not files."""
        ...

    async def heal(self, workload_id: str) -> None:
        """Starts replicas again that ended without anybody left to restart them. No error when all is well."""
        ...

    async def capacity(self, runtime: str = "") -> Capacity:
        """Of the machine that `runtime` starts workloads on, where there are several; "" is the only or first one."""
        ...

    async def usage(self, workload_ids: Collection[str]) -> Mapping[str, Usage]:
        """What these workloads use now. One of which nothing runs, or that can't be measured, is missing, never zero.
        Does not block the event loop; one question for all of them costs less than one for each."""
        ...

    async def aclose(self) -> None:
        """Lets go of what this object holds open, when the controller ends. Workloads go on."""
        ...


@dataclass(frozen=True, slots=True)
class RouterHealth:
    alive: bool
    detail: str = ""
    """A sentence: version and process when alive, else what is wrong."""


class TrafficRouter(Protocol):
    """Sends each service's requests to its slots, and counts them."""

    async def configure(self, services: Sequence[ServiceSpec]) -> None:
        """Makes exactly these services known; routes and traffic of those that stay are untouched. May reload."""
        ...

    async def set_endpoints(self, service: str, color: Color, endpoints: Sequence[Endpoint]) -> None:
        """Which replicas a slot has; [] empties it. No request fails because of this."""
        ...

    async def switch(
        self,
        targets: Mapping[str, Sequence[RouteTarget]],
        *,
        expected_generation: Mapping[str, int] | None = None,
        durable: bool = True,
    ) -> Mapping[str, Route]:
        """Moves all named services in one atomic step and reads the result back. When it returns, no new request
        reaches a slot that lost its share. Generations grow by one.

        Raises StaleRoute, having changed nothing, when a service's generation is not the expected one.
        `durable=False` is for rollbacks: a disk that can't be written does not stop the switch.
        Raises RouterError when the router did not confirm.
        """
        ...

    async def routes(self) -> Mapping[str, Route]:
        """The routes that are in force, read from the router (from disk when it is down)."""
        ...

    async def traffic(self, services: Sequence[str]) -> Mapping[str, Mapping[Color, SlotTraffic]]:
        """Counters of the workloads in the slots. A service whose numbers can't be read is missing, never zero."""
        ...

    async def health(self) -> RouterHealth: ...

    async def keep(self) -> None:
        """Brings back whatever keeps the router alive, when that is gone; cheap when all is well, called about once
        a second. Raises RouterError when it could not."""
        ...


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One health check of one replica. `detail` is a phrase such as `HTTP 503 from 127.0.0.1:41233/health`."""

    ok: bool
    detail: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SmokeResult:
    name: str
    ok: bool
    detail: str
    seconds: float = 0.0


class Prober(Protocol):
    async def check(self, endpoint: Endpoint, check: HealthCheck, protocol: str) -> ProbeResult:
        """Never raises for an answer, a refusal or a timeout: that is a result."""
        ...

    async def smoke(
        self, endpoint: Endpoint, test: SmokeTest, workload: Workload, protocol: str = "http1"
    ) -> SmokeResult:
        """Runs one smoke test; ends within its `max_seconds`. A command's leftovers are killed."""
        ...

    async def run(
        self, command: Sequence[str], endpoint: Endpoint, workload: Workload, timeout_seconds: float
    ) -> CommandResult:
        """Runs the command of an analysis, without a shell and with the environment of a smoke test's; ends within the
        time. Never raises for one that can't be started; when cancelled, it leaves nothing running."""
        ...


class DocumentStore(Protocol):
    """Small things that must survive a restart and are no events: alert rules, silences, kept answers."""

    async def put(self, kind: str, key: str, document: Mapping[str, Any]) -> None:
        """Writes or replaces it; on disk when it returns. Raises StoreError."""
        ...

    async def get(self, kind: str, key: str) -> Mapping[str, Any] | None: ...

    async def remove(self, kind: str, key: str) -> None:
        """No error when there is none."""
        ...

    async def all(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        """key → document, in the order in which they were first put."""
        ...


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what through which door, and how it ended. `what` is the operation, `arguments` are masked."""

    at: float
    who: str
    door: str
    what: str
    arguments: Mapping[str, Any]
    result: str
    """`ok`, or the error's code and message."""


class AuditLog(Protocol):
    async def append(self, entry: AuditEntry) -> None:
        """Appended and hash-chained. Raises StoreError."""
        ...


class EventStore(Protocol):
    """The append-only event log. One writer at a time."""

    async def append(self, deployment_id: str, service: str, events: Sequence[tuple[float, Event]]) -> Sequence[Record]:
        """Writes all or nothing; they are on disk when it returns. Raises StoreError."""
        ...

    async def read(self, deployment_id: str, *, after: int = 0) -> Sequence[Record]:
        """The records of a deployment in order, those with a sequence number above `after`."""
        ...

    async def latest(self) -> Mapping[str, str]:
        """service → id of its newest deployment."""
        ...

    async def unfinished(self) -> Sequence[str]:
        """Ids of deployments without a terminal event, oldest first."""
        ...

    async def deployments(self, service: str, *, limit: int = 50) -> Sequence[str]:
        """Ids of a service's deployments, newest first."""
        ...


class Store(EventStore, Outbox, DocumentStore, Protocol):
    """All three in one file."""
