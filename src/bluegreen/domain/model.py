"""The nouns: services have two slots, a slot holds a workload, a route says which slot gets the traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bluegreen.domain.errors import UsageError
from bluegreen.domain.gpus import Gpu


class Color(StrEnum):
    """One of the two places of a service. Which one is active changes with every deployment."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> Color:
        return Color.GREEN if self is Color.BLUE else Color.BLUE


class WorkloadState(StrEnum):
    PENDING = "pending"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (WorkloadState.SUCCEEDED, WorkloadState.FAILED, WorkloadState.CANCELLED)


LONGEST_IMAGE = 384
LONGEST_TAG = 128
"""As registries have it. The tag becomes a part of paths and of labels."""


@dataclass(frozen=True, slots=True)
class ImageReference:
    """`registry/inference-model:v2.0`, taken apart. A reference without a tag has the tag `latest`."""

    repository: str
    tag: str

    @classmethod
    def parse(cls, reference: str) -> ImageReference:
        """Raises UsageError when the reference is empty, too long, or has characters that a path must not have."""
        head, _, last = reference.rpartition("/")
        name, _, tag = last.partition(":")
        allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@:/")
        if len(reference) > LONGEST_IMAGE or len(tag) > LONGEST_TAG:
            raise UsageError(
                f"image: at most {LONGEST_IMAGE} characters, {LONGEST_TAG} of them in the tag, "
                f"got {len(reference)} and {len(tag)}"
            )
        if not name or not set(reference) <= allowed or ".." in reference:
            raise UsageError(
                f"image: {reference!r} is not an image reference",
                hint="Write it as repository:tag, for example registry/inference-model:v2.0",
            )
        return cls(repository=f"{head}/{name}" if head else name, tag=tag or "latest")

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Resources:
    """What one replica needs. `gpus` are whole devices, `cpus` may be a fraction, 0 means "not reserved"."""

    gpus: int = 0
    cpus: float = 0.0
    memory_mb: int = 0

    def times(self, replicas: int) -> Resources:
        return Resources(self.gpus * replicas, self.cpus * replicas, self.memory_mb * replicas)

    def plus(self, other: Resources) -> Resources:
        return Resources(self.gpus + other.gpus, self.cpus + other.cpus, self.memory_mb + other.memory_mb)


@dataclass(frozen=True, slots=True)
class Workload:
    """One version of a service in one slot: what was asked for, which never changes while it lives."""

    id: str
    service: str
    color: Color
    image: str
    version: str
    replicas: int
    resources: Resources
    labels: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    """The exact content that `image` named when it was deployed: `repository@sha256:...`, or `sha256:...` of an image
    that no registry has. Empty where there are no images."""

    @property
    def label(self) -> str:
        """What people call it: `v2.0 (green)`."""
        return f"{self.version} ({self.color})"


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """What the runtime sees of one replica.

    `listening` is true only when the replica itself (not a stranger) accepts connections on `endpoint`.
    `restarts` counts how often it ended by itself and was started again. `error` is a sentence when it
    could not be started at all (command not found), which no restart will mend. `health` is what the runtime's own
    check says (a container's HEALTHCHECK): starting, healthy or unhealthy; "" when it has none. `ended` is how it
    ended last, where that says more than the exit code: `was killed by the kernel ...`.
    """

    index: int
    state: WorkloadState
    endpoint: Endpoint | None = None
    pid: int | None = None
    listening: bool = False
    restarts: int = 0
    exit_code: int | None = None
    error: str = ""
    health: str = ""
    ended: str = ""


@dataclass(frozen=True, slots=True)
class WorkloadStatus:
    workload: Workload
    state: WorkloadState
    replicas: tuple[ReplicaStatus, ...] = ()
    created_at: float = 0.0
    """Seconds since the epoch."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(replica.endpoint for replica in self.replicas if replica.endpoint is not None)

    @property
    def restarts(self) -> int:
        return sum(replica.restarts for replica in self.replicas)


@dataclass(frozen=True, slots=True)
class RouteTarget:
    """A slot in a route: its share of the traffic in percent and the workload that is meant."""

    color: Color
    workload_id: str
    weight: int = 100


@dataclass(frozen=True, slots=True)
class Route:
    """Where a service's requests go. `generation` only grows: a decision made for an older one is refused.

    No targets means that no version is deployed; the router answers 503. Weights add up to 100 otherwise.
    """

    service: str
    generation: int = 0
    targets: tuple[RouteTarget, ...] = ()

    @property
    def weights(self) -> dict[Color, int]:
        return {target.color: target.weight for target in self.targets}

    @property
    def active(self) -> Color | None:
        """The slot with the most traffic, None when nothing is deployed."""
        return max(self.targets, key=lambda target: target.weight).color if self.targets else None

    def sends_to(self, color: Color) -> bool:
        return self.weights.get(color, 0) > 0


@dataclass(frozen=True, slots=True)
class SlotTraffic:
    """What the router counted for one workload since the router knows it; counters only grow.

    `errors` are answers of 500 and above, those that the router gave in the workload's place included, for gRPC the
    statuses that are the server's fault, and answers that broke off. `in_flight` are requests being worked on now, in
    old router processes too.
    """

    requests: int = 0
    errors: int = 0
    in_flight: int = 0
    latency: tuple[int, ...] = ()
    """Requests per bucket of `domain.latency`; empty when the router does not measure it."""
    statuses: tuple[int, ...] = ()
    """Answers of 1xx, 2xx, 3xx, 4xx and 5xx; empty when not counted."""
    connection_errors: int = 0
    """Of `errors`: no replica could be reached, or none answered; the router answered in its place."""
    aborted: int = 0
    """Requests whose client hung up before the answer was complete; in no other count unless it had begun."""
    retries: int = 0
    """Attempts that failed to connect and were repeated on another replica: errors that users did not see."""
    truncated: int = 0
    """Of `errors`: the workload broke the answer off in the middle, whatever status it had begun with."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What something that is not bluegreen's may use of the machine. `name` is a phrase: container `trainer`."""

    name: str
    resources: Resources


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the machine has for workloads, and what of it is spoken for, by `strangers` too."""

    total: Resources
    used: Resources
    gpus: tuple[Gpu, ...] | None = None
    """Each device and who has it; None when only their number is known."""
    strangers: tuple[Reservation, ...] = ()
