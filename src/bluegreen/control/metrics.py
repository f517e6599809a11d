"""What is measured of each workload, kept for a day in memory; a restart of the daemon begins anew.

Times are of the monotonic clock, so that a wrong wall clock neither loses what was measured nor mixes it up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bluegreen.control.observer import Observer
from bluegreen.control.ports import Clock
from bluegreen.control.router_view import RouterView
from bluegreen.control.workload_monitor import WorkloadMonitor
from bluegreen.domain.baseline import Baseline
from bluegreen.domain.baseline import Window as BaselineWindow
from bluegreen.domain.model import Color, SlotTraffic, Workload
from bluegreen.domain.sample_ring import SampleRing
from bluegreen.domain.series import Metric, Point, Sample, Tally, Window, points

log = logging.getLogger(__name__)

BUSY_SECONDS = 1.0
"""How often a service in a deployment is sampled, from what was read for the deployment."""
IDLE_SECONDS = 5.0
"""How often all services are, with one question to the router for all of them."""
KEPT_SECONDS = 86_400.0
NEW_SECONDS = 10.0
"""A workload this young is measured from its first request on."""
BASELINE_WINDOWS = (
    ("the last minute", 60.0, 0.0),
    ("the last 10 minutes", 600.0, 0.0),
    ("the same time yesterday", 86_400.0, 85_800.0),
)
"""Name, and from when to when, in seconds before now."""
MAX_GONE_WORKLOADS = 1000
"""How many are remembered after they were stopped: at most 190 KB each, mostly far less."""


@dataclass(slots=True)
class Recorded:
    """A workload that was measured, also when it is gone by now."""

    workload: Workload
    ring: SampleRing = field(default_factory=SampleRing)
    requests: Tally = field(default_factory=Tally)
    errors: Tally = field(default_factory=Tally)
    checks: Tally = field(default_factory=Tally)
    checks_passed: Tally = field(default_factory=Tally)
    restarts: Tally = field(default_factory=Tally)
    reading: Mapping[Color, SlotTraffic] | None = None
    """What the router last said, to know whether it has said something since."""


class MetricsRecorder:
    """`observers` are the fleet's, by service: what they monitor is what is measured."""

    def __init__(self, observers: Mapping[str, Observer], view: RouterView, clock: Clock) -> None:
        self._observers = observers
        self._view = view
        self._clock = clock
        self._recorded: dict[str, Recorded] = {}
        self._task: asyncio.Task[None] | None = None
        # A version that broke and lost its traffic within a second must not be gone before it was sampled.
        view.last_look = self._sample_once_more
        self._refreshing = asyncio.Lock()
        self._begun = self._ended = 0
        """Numbers of the refreshes that began last and that ended last."""
        self._refreshed: frozenset[str] = frozenset()

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="metrics")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def workloads(self) -> Sequence[Workload]:
        """All that were measured within the last day, those that are gone too."""
        return [recorded.workload for recorded in self._recorded.values()]

    def matching(self, labels: Mapping[str, str]) -> list[Workload]:
        """Those of `workloads` that have all these labels."""
        return [workload for workload in self.workloads if labels.items() <= workload.labels.items()]

    async def refresh(self, services: Iterable[str]) -> None:
        """Asks the router and samples now, so that the answer to a question is not older than the question. Those who
        ask at the same time share what is read."""
        wanted = frozenset(service for service in services if service in self._observers)
        begun_before = self._begun
        async with self._refreshing:
            if self._ended > begun_before and wanted <= self._refreshed:
                return
            self._begun = number = self._begun + 1
            await self._view.refresh_for(sorted(wanted))
            self.sample(wanted)
            self._ended, self._refreshed = number, wanted

    def sample(self, services: Iterable[str]) -> None:
        """Takes over what is known now."""
        for service in services:
            observer = self._observers.get(service)
            for monitor in list(observer.monitors.values()) if observer else ():
                self._add(service, monitor)

    def _sample_once_more(self, service: str) -> None:
        try:
            self.sample([service])
        except Exception:
            log.exception("measuring failed")

    def points(self, workload_ids: Iterable[str], metric: Metric, over: Window) -> list[Point]:
        """The metric of these workloads together, `over` in seconds since the epoch; ids that were never measured count
        for nothing."""
        offset = self._clock.now() - self._clock.monotonic()
        own = Window(over.start - offset, over.end - offset, over.step)
        samples = [self._recorded[known].ring.since(own.start) for known in workload_ids if known in self._recorded]
        return [replace(point, at=point.at + offset) for point in points(metric, samples, own)]

    def baseline(self, workload: Workload) -> Baseline | None:
        """What a workload did until now and at this time yesterday; None when it was not measured."""
        recorded = self._recorded.get(workload.id)
        if recorded is None:
            return None
        now = self._clock.monotonic()
        windows = []
        for name, begin, end in BASELINE_WINDOWS:
            counted = [sample for sample in recorded.ring.since(now - begin) if now - begin <= sample.at <= now - end]
            known = [(s.requests, s.errors) for s in counted if s.requests is not None and s.errors is not None]
            if len(known) > 1:
                (requests, errors), (more_requests, more_errors) = known[0], known[-1]
                windows.append(BaselineWindow(name, more_requests - requests, more_errors - errors))
        return Baseline(tuple(windows))

    def _add(self, service: str, monitor: WorkloadMonitor) -> None:
        now, workload, status = self._clock.monotonic(), monitor.workload, monitor.status
        recorded = self._recorded.get(workload.id)
        if recorded is None:
            recorded = self._recorded[workload.id] = Recorded(workload)
            new = status is None or self._clock.now() - status.created_at < NEW_SECONDS
            # A workload that has just begun counts from zero; when an older one did what it did, nobody knows.
            served = 0 if new else None
            recorded.ring.add(Sample(now - 0.001, served, served, None, 0, 0, None))
        traffic = self._traffic(service, monitor, recorded)
        replicas = monitor.health.replicas
        recorded.ring.add(
            Sample(
                at=now,
                requests=recorded.requests.add(traffic.requests) if traffic else None,
                errors=recorded.errors.add(traffic.errors) if traffic else None,
                in_flight=traffic.in_flight if traffic else None,
                checks=recorded.checks.add(sum(replica.checks for replica in replicas)),
                checks_passed=recorded.checks_passed.add(sum(r.checks - r.failures for r in replicas)),
                restarts=recorded.restarts.add(status.restarts) if status else None,
            )
        )

    def _traffic(self, service: str, monitor: WorkloadMonitor, recorded: Recorded) -> SlotTraffic | None:
        """The slot's counters, when they were read since the last look, and since this workload is what the slot has:
        before, they were those of another version."""
        color, endpoints = monitor.workload.color, monitor.status.endpoints if monitor.status else ()
        connected_at = self._view.connected_at(service, color, endpoints)
        reading = None if connected_at is None else self._view.traffic(service, since=connected_at)
        if reading is None or reading is recorded.reading:
            return None
        recorded.reading = reading
        return reading.get(color)

    async def _run(self) -> None:
        idle_at = self._clock.monotonic()
        while True:
            try:
                if self._clock.monotonic() >= idle_at:
                    idle_at = self._clock.monotonic() + IDLE_SECONDS
                    await self._view.count(list(self._observers))
                    self.sample(list(self._observers))
                    self._forget()
                else:
                    self.sample(self._view.followed())
            except Exception:
                log.exception("measuring failed")
            await self._clock.sleep(BUSY_SECONDS)

    def _forget(self) -> None:
        """What was last measured more than a day ago, and when there are too many, what has been gone the longest."""
        held = {workload_id for observer in self._observers.values() for workload_id in observer.monitors}
        gone = {known: recorded.ring.newest for known, recorded in self._recorded.items() if known not in held}
        oldest = self._clock.monotonic() - KEPT_SECONDS
        by_age = sorted(gone, key=gone.__getitem__)
        surplus = len(by_age) - MAX_GONE_WORKLOADS
        for position, workload_id in enumerate(by_age):
            if position < surplus or gone[workload_id] < oldest:
                del self._recorded[workload_id]
