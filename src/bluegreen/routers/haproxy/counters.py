"""Counts per workload that only grow, though each HAProxy process counts from zero. Pure.

Keyed by workload, never by color: the next green does not inherit the last green's errors.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping

from bluegreen.domain.model import SlotTraffic
from bluegreen.routers.haproxy.counting import Counts, Reading, SideReading, traffic_of

_WRAP = 1 << 32
"""HAProxy's counters have 32 bits: at 75,000 requests a second one begins anew after 16 hours."""
_NOTHING = Reading()


class TrafficCounters:
    """Adds what came between two readings of a process; what was read once is never lost."""

    def __init__(self) -> None:
        self._totals: dict[str, Counts] = {}
        self._last: dict[int, dict[str, Reading]] = {}
        self._sides = SideCounters()
        self._traffic: dict[str, SlotTraffic] = {}
        self._stale: set[str] = set()

    def update(self, readings: Mapping[int, Mapping[str, Reading]], asked: Collection[str]) -> None:
        """Takes one reading of every process (by pid) that runs. A process that is not in it has ended; a workload
        that was asked for and is missing in it, or counts less than before, has started again from zero."""
        for pid in [known for known in self._last if known not in readings]:
            self._stale.update(self._last.pop(pid))
        for pid, seen in readings.items():
            self._take(pid, seen, asked)

    def update_one(self, pid: int, seen: Mapping[str, Reading]) -> None:
        """Takes a reading of one process, of all that it knows; nothing is said about other processes."""
        self._take(pid, seen, seen)

    def _take(self, pid: int, seen: Mapping[str, Reading], asked: Collection[str]) -> None:
        known = self._last.setdefault(pid, {})
        for workload_id in asked:
            now = seen.get(workload_id, _NOTHING)
            before = known.get(workload_id, _NOTHING)
            if now is before or now == before:
                continue
            known[workload_id] = now
            self._stale.add(workload_id)
            self._totals[workload_id] = added(self._totals.get(workload_id, ()), grown(before.counts, now.counts))

    def update_sides(self, readings: Mapping[int, Mapping[str, SideReading]], occupants: Mapping[str, str]) -> None:
        """The same for what is counted by backend; `occupants` says whose it is."""
        self._stale.update(self._sides.update(readings, occupants))

    def update_sides_of_one(self, pid: int, seen: Mapping[str, SideReading], occupants: Mapping[str, str]) -> None:
        self._stale.update(self._sides.take(pid, seen, occupants))

    def of(self, workload_id: str) -> SlotTraffic:
        """What is known by now; the same object for as long as nothing changes."""
        known = self._traffic.get(workload_id)
        if known is not None and workload_id not in self._stale:
            return known
        in_flight = sum(seen.get(workload_id, _NOTHING).in_flight for seen in self._last.values())
        totals, side = self._totals.get(workload_id, ()), self._sides.of(workload_id)
        self._stale.discard(workload_id)
        self._traffic[workload_id] = traffic = traffic_of(totals, in_flight, side, known)
        return traffic

    def forget_all_but(self, workload_ids: Collection[str]) -> None:
        """Bounds the memory: workloads that left their slot long ago are not asked for again."""
        self._totals = {key: value for key, value in self._totals.items() if key in workload_ids}
        self._traffic = {key: value for key, value in self._traffic.items() if key in workload_ids}
        self._stale &= set(workload_ids)
        self._sides.forget_all_but(workload_ids)
        for pid, seen in self._last.items():
            self._last[pid] = {key: value for key, value in seen.items() if key in workload_ids}

    def __len__(self) -> int:
        return len(self._traffic) + sum(len(seen) for seen in self._last.values())


class SideCounters:
    """Counts by backend, given to the workload that is in it when they are read: one that moves in finds them as the
    last one left them. What a process counted before it was first read is nobody's, unless it was seen to begin."""

    def __init__(self) -> None:
        self._last: dict[int, dict[str, SideReading]] = {}
        self._begun: set[int] = set()
        """Processes that came while others were known, hence counted from zero since."""
        self._totals: dict[str, SideReading] = {}

    def update(self, readings: Mapping[int, Mapping[str, SideReading]], occupants: Mapping[str, str]) -> set[str]:
        """Returns the workloads that something was added to."""
        changed: set[str] = set()
        if self._last:
            self._begun.update(pid for pid in readings if pid not in self._last)
        self._begun &= set(readings)
        self._last = {pid: self._last.get(pid, {}) for pid in readings}
        for pid, seen in readings.items():
            changed |= self.take(pid, seen, occupants)
        return changed

    def take(self, pid: int, seen: Mapping[str, SideReading], occupants: Mapping[str, str]) -> set[str]:
        """A reading of one process."""
        changed: set[str] = set()
        known = self._last.setdefault(pid, {})
        for backend, now in seen.items():
            before = known.get(backend, SideReading() if pid in self._begun else now)
            known[backend] = now
            workload_id = occupants.get(backend, "")
            if now == before or not workload_id:
                continue
            self._totals[workload_id] = self.of(workload_id).plus(now.since(before))
            changed.add(workload_id)
        return changed

    def of(self, workload_id: str) -> SideReading:
        return self._totals.get(workload_id, SideReading())

    def forget_all_but(self, workload_ids: Collection[str]) -> None:
        self._totals = {key: value for key, value in self._totals.items() if key in workload_ids}


def grown(before: Counts, now: Counts) -> Counts:
    """What came between two readings of one process. One that counts less has begun anew, and all of it is new; unless
    a single counter has run over, which only one close to its end can have."""
    if not before or not now:
        return now
    growth = tuple(map(operator.sub, now, before))
    if min(growth) >= 0:
        return growth
    unwrapped = tuple(step + _WRAP if step < -_WRAP // 2 else step for step in growth)
    return unwrapped if min(unwrapped) >= 0 else now


def added(total: Counts, growth: Counts) -> Counts:
    if not total or not growth:
        return total or growth
    return tuple(map(operator.add, total, growth))
