"""From counters that grow for as long as something lives, and may begin anew, to samples of what came in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bluegreen.domain.columns import COLUMNS, LATENCY, PLACE, STATUSES
from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.sample import Sample, Value

LONGEST_SECONDS = 3600.0
"""Over how long at most the requests between two readings are spread."""
_COUNTERS = ("requests", "errors", "connection_errors", "aborted", "retries", "truncated")


def growth(before: int, after: int) -> int:
    """Never negative: a counter that is smaller than before began anew."""
    return after - before if after >= before else after


def came(before: SlotTraffic, after: SlotTraffic) -> SlotTraffic:
    """What came between two readings. When any count is smaller than before, all began anew together (the router was
    restarted): the whole of them is new."""
    if after.requests < before.requests or after.errors < before.errors or sum(after.latency) < sum(before.latency):
        before = SlotTraffic()
    return SlotTraffic(
        **{name: growth(getattr(before, name), getattr(after, name)) for name in _COUNTERS},
        in_flight=after.in_flight,
        latency=_grown(before.latency, after.latency),
        statuses=_grown(before.statuses, after.statuses),
    )


def _grown(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, ...]:
    older = before if len(before) == len(after) else (0,) * len(after)
    return tuple(map(growth, older, after))


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a workload now; None for what could not be read."""

    traffic: SlotTraffic | None = None
    checks: int = 0
    checks_passed: int = 0
    restarts: int | None = None
    machine: Mapping[str, float] | None = None
    """What the machine says of the workload: columns by name."""


class Meter:
    """Of one workload. `born` is when it began (on the clock of `read`) when it is known to have counted nothing
    before, else None: then its first reading says nothing of when it did what it did."""

    def __init__(self, born: float | None) -> None:
        self._traffic = SlotTraffic() if born is not None else None
        self._traffic_at = born if born is not None else 0.0
        self._checks = (0, 0)
        self._restarts = (0, 0)
        """Last reading, and all of them so far."""

    def read(self, at: float, reading: Reading) -> Sample:
        """What came since the last reading."""
        values: list[Value] = [None] * len(COLUMNS)
        if reading.traffic is not None:
            if self._traffic is not None:
                seconds = min(max(at - self._traffic_at, 0.001), LONGEST_SECONDS)
                _fill(values, seconds, came(self._traffic, reading.traffic))
            values[PLACE["in_flight"]] = reading.traffic.in_flight
            self._traffic, self._traffic_at = reading.traffic, at
        checks = (reading.checks, reading.checks_passed)
        begun_anew = any(map(int.__lt__, checks, self._checks))
        before = (0, 0) if begun_anew else self._checks
        values[PLACE["checks"]], values[PLACE["checks_passed"]] = checks[0] - before[0], checks[1] - before[1]
        self._checks = checks
        if reading.restarts is not None:
            last, total = self._restarts
            self._restarts = (reading.restarts, total + growth(last, reading.restarts))
            values[PLACE["restarts"]] = self._restarts[1]
        for name, value in (reading.machine or {}).items():
            values[PLACE[name]] = value
        return Sample(at, tuple(values))


def _fill(values: list[Value], seconds: float, new: SlotTraffic) -> None:
    values[PLACE["seconds"]] = seconds
    for name in _COUNTERS:
        values[PLACE[name]] = getattr(new, name)
    if len(new.latency) == len(LATENCY):
        values[PLACE[LATENCY[0]] : PLACE[LATENCY[-1]] + 1] = new.latency
    if len(new.statuses) == len(STATUSES):
        values[PLACE[STATUSES[0]] : PLACE[STATUSES[-1]] + 1] = new.statuses
