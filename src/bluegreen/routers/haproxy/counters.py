"""Requests and errors per workload that only grow, though each HAProxy process counts from zero. Pure.

Keyed by workload, never by color: the next green does not inherit the last green's errors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bluegreen.domain.model import SlotTraffic


@dataclass(frozen=True, slots=True)
class Reading:
    """What one HAProxy process says about one workload."""

    requests: int = 0
    errors: int = 0
    in_flight: int = 0


class TrafficCounters:
    """Adds up the processes that are there and what was last seen of those that have ended."""

    def __init__(self) -> None:
        self._ended: dict[str, tuple[int, int]] = {}
        self._last: dict[int, dict[str, Reading]] = {}

    def update(self, readings: Mapping[int, Mapping[str, Reading]], asked: Collection[str]) -> None:
        """Takes one reading of every process (by pid) that runs. A process that is not in it has ended; a workload
        that was asked for and is missing in it, or counts less than before, has started again from zero."""
        for pid in [known for known in self._last if known not in readings]:
            for workload_id, reading in self._last.pop(pid).items():
                self._retire(workload_id, reading)
        for pid, seen in readings.items():
            known = self._last.setdefault(pid, {})
            for workload_id in asked:
                now = seen.get(workload_id, Reading())
                before = known.get(workload_id, Reading())
                if now.requests < before.requests or now.errors < before.errors:
                    self._retire(workload_id, before)
                known[workload_id] = now

    def of(self, workload_id: str) -> SlotTraffic:
        requests, errors = self._ended.get(workload_id, (0, 0))
        in_flight = 0
        for seen in self._last.values():
            reading = seen.get(workload_id, Reading())
            requests += reading.requests
            errors += reading.errors
            in_flight += reading.in_flight
        return SlotTraffic(requests, errors, in_flight)

    def forget_all_but(self, workload_ids: Collection[str]) -> None:
        """Bounds the memory: workloads that left their slot long ago are not asked for again."""
        self._ended = {key: value for key, value in self._ended.items() if key in workload_ids}
        for pid, seen in self._last.items():
            self._last[pid] = {key: value for key, value in seen.items() if key in workload_ids}

    def __len__(self) -> int:
        return len(self._ended) + sum(len(seen) for seen in self._last.values())

    def _retire(self, workload_id: str, reading: Reading) -> None:
        requests, errors = self._ended.get(workload_id, (0, 0))
        self._ended[workload_id] = (requests + reading.requests, errors + reading.errors)
