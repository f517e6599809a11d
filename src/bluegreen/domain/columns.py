"""What a sample holds: one column for each number that is measured. Adding one is a line here; files that were written
before stay readable, for a column that a file does not have was not measured then."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bluegreen.domain.latency import EDGES_MILLISECONDS


class Kind(Enum):
    """What becomes of the values of two samples that are merged into one."""

    COUNT = "count"
    """How many came in the time of the sample: they are added."""
    LAST = "last"
    """How it stood at the end of the sample: the later one stays."""


@dataclass(frozen=True, slots=True)
class Column:
    """`number` stands for the column in files, 1 to 255: it is never changed and never given to another column."""

    number: int
    name: str
    kind: Kind


LATENCY = tuple(f"latency_{bucket}" for bucket in range(len(EDGES_MILLISECONDS) + 1))
"""Requests per bucket of `domain.latency`."""
STATUSES = tuple(f"statuses_{hundreds}xx" for hundreds in range(1, 6))

COLUMNS: tuple[Column, ...] = (
    # The seconds before `at` in which the router's counts came. More than the time since the sample before when the
    # router could not be read for a while.
    Column(1, "seconds", Kind.COUNT),
    Column(2, "requests", Kind.COUNT),
    Column(3, "errors", Kind.COUNT),
    Column(4, "in_flight", Kind.LAST),
    Column(5, "checks", Kind.COUNT),
    Column(6, "checks_passed", Kind.COUNT),
    Column(7, "restarts", Kind.LAST),  # since the workload began
    Column(8, "connection_errors", Kind.COUNT),
    Column(9, "aborted", Kind.COUNT),
    Column(10, "retries", Kind.COUNT),
    *(Column(11 + place, name, Kind.COUNT) for place, name in enumerate(STATUSES)),
    *(Column(20 + place, name, Kind.COUNT) for place, name in enumerate(LATENCY)),
    # What the machine says of the workload, every few seconds; the other samples in between say nothing.
    Column(60, "usage_milliseconds", Kind.COUNT),  # before `at`, in which the processor time was consumed
    Column(61, "cpu_milliseconds", Kind.COUNT),
    Column(62, "memory_bytes", Kind.LAST),
    Column(63, "gpus", Kind.LAST),  # that told how busy they are
    Column(64, "gpus_busy", Kind.LAST),  # the shares of the time in which each was busy, added up
    Column(65, "gpu_memory_bytes", Kind.LAST),
    Column(66, "gpu_celsius", Kind.LAST),  # of the hottest
    Column(67, "age_seconds", Kind.LAST),
    Column(68, "truncated", Kind.COUNT),
)
PLACE: dict[str, int] = {column.name: place for place, column in enumerate(COLUMNS)}
"""Where a column's value stands in `Sample.values`."""
