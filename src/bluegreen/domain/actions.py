"""What the walk can do to the world. Each is named, performed once at a time, and may be repeated safely."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

from bluegreen.domain.events import Event
from bluegreen.domain.model import Color, Endpoint, RouteTarget, Workload


@dataclass(frozen=True, slots=True)
class Action:
    """`name` is the action's name in the log; `quiet` ones are too frequent or too small to be journaled."""

    name: ClassVar[str] = ""
    quiet: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class PrepareWorkload(Action):
    """Gets what its start will need: the image above all."""

    name: ClassVar[str] = "prepare"
    workload: Workload


@dataclass(frozen=True, slots=True)
class StartWorkload(Action):
    name: ClassVar[str] = "start"
    workload: Workload


@dataclass(frozen=True, slots=True)
class ConnectSlot(Action):
    """Tells the router which replicas a slot has; none empties the slot."""

    name: ClassVar[str] = "connect"
    quiet: ClassVar[bool] = True
    color: Color
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class RunSmokeTests(Action):
    name: ClassVar[str] = "smoke"
    workload: Workload
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class SwitchTraffic(Action):
    """`expected_generation` fences a forward switch; a rollback has None and goes through whatever happened."""

    name: ClassVar[str] = "switch"
    targets: tuple[RouteTarget, ...]
    expected_generation: int | None


@dataclass(frozen=True, slots=True)
class CollectLogs(Action):
    name: ClassVar[str] = "collect_logs"
    workload: Workload


@dataclass(frozen=True, slots=True)
class StopWorkload(Action):
    name: ClassVar[str] = "stop"
    workload: Workload


@dataclass(frozen=True, slots=True)
class RaiseAlert(Action):
    name: ClassVar[str] = "alert"
    quiet: ClassVar[bool] = True
    alert: str
    severity: str
    message: str
    version: str = ""
    duration_seconds: float | None = None
    """None: whoever performs it fills in the time since the request."""
    cause: str = ""
    next_command: str = ""
    topic: str = ""
    """Tells apart alerts of one name within a deployment; free of numbers that change from look to look."""

    def id_in(self, deployment_id: str) -> str:
        """The same for every repetition, so that people are told once."""
        digest = f":{hashlib.sha256(self.topic.encode()).hexdigest()[:12]}" if self.topic else ""
        return f"{deployment_id}:{self.alert}{digest}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows from an observation: facts to record, actions to perform, and a sentence why."""

    reason: str
    events: tuple[Event, ...] = ()
    actions: tuple[Action, ...] = ()
