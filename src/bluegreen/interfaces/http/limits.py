"""What the API bounds, so that no number of clients keeps the daemon from its deployments."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    max_in_flight: int = 512
    """Requests worked on at the same time through one door; more are turned away with 503."""
    max_in_flight_per_token: int = 64
    """Of those so many for one token: who waits for an hour as often as it may must not keep a rollback out."""
    max_streams: int = 200
    """Event streams at the same time, over all doors."""
    max_streams_per_token: int = 25
    """Of those so many for one token."""
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
        """door → how many."""
        self.in_flight_by_token: Counter[str] = Counter()
        self.streams = 0
        self.streams_by_token: Counter[str] = Counter()

    def begin_stream(self, token_id: str) -> None:
        self.streams += 1
        self.streams_by_token[token_id] += 1

    def end_stream(self, token_id: str) -> None:
        self.streams -= 1
        release(self.streams_by_token, token_id)

    def answered(self, door: str, status: int) -> None:
        self.answers[(door, f"{status // 100}xx")] += 1


def release(counter: Counter[str], key: str) -> None:
    """One less; what has nothing under way is forgotten."""
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
