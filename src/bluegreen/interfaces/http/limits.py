"""What the API bounds, so that no number of clients keeps the daemon from its deployments."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    max_in_flight: int = 512
    """Requests worked on at the same time through one door; more are turned away with 503."""
    max_streams: int = 200
    """Event streams at the same time, over all doors."""
    max_connections: int = 1024
    """Connections of the TCP door at the same time: each takes a file descriptor that deployments need too."""
    heartbeat_seconds: float = 15.0
    """A stream without events says at least this often that it lives."""
    stream_seconds: float = 900.0
    """A stream ends after this long and its client comes back, with a token that is looked at again."""
    write_timeout_seconds: float = 30.0
    """A client that reads nothing for so long is hung up on."""
    body_timeout_seconds: float = 30.0
    """How long a request's body may take to arrive."""
    head_timeout_seconds: float = 10.0
    """How long a request's head may take to arrive."""


class RequestCounts:
    """Answers by door and status class, for /metrics, and what is being worked on."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str]] = Counter()
        """(door, `2xx`) → how many, since the daemon began."""
        self.in_flight: Counter[str] = Counter()
        self.streams = 0

    def answered(self, door: str, status: int) -> None:
        self.answers[(door, f"{status // 100}xx")] += 1
