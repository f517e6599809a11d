"""What is measured of each workload: the last quarter of an hour at hand in memory, thirty days in the store.

Times are of a steady clock (`SteadyClock`), so that a wrong wall clock neither loses what was measured nor mixes it up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bluegreen.control.metric_ports import SampleStore, Stretch
from bluegreen.control.observer import Observer
from bluegreen.control.ports import Clock
from bluegreen.control.record import RecordBook
from bluegreen.control.router_view import RouterView
from bluegreen.control.sample_writer import SampleWriter, Tell
from bluegreen.control.steady_clock import SteadyClock
from bluegreen.control.workload_monitor import WorkloadMonitor
from bluegreen.domain.baseline import Baseline
from bluegreen.domain.errors import StoreError
from bluegreen.domain.meter import Meter, Reading
from bluegreen.domain.model import Color, SlotTraffic, Workload
from bluegreen.domain.sample import Sample
from bluegreen.domain.sample_ring import SampleRing
from bluegreen.domain.series import Metric, Point, Summary, described, points
from bluegreen.domain.window import Window

log = logging.getLogger(__name__)

BUSY_SECONDS = 1.0
"""How often a service in a deployment is sampled, from what was read for the deployment."""
LONGEST_IDLE_SECONDS = 5.0
SERVICES_PER_IDLE_SECOND = 100
"""All services are sampled with one question to the router: every second, more rarely when there are very many."""
AT_A_TIME = 50
"""How many services are sampled before others get their turn."""
FORGOTTEN_SECONDS = 900.0
"""How long a workload that is gone stays in memory."""
MAX_GONE_WORKLOADS = 200
NEW_SECONDS = 10.0
"""A workload this young is measured from its first request on."""

MachineNews = Callable[[str], Mapping[str, float]]
"""What the machine says of a workload, by its id, since it was last asked: columns of a sample."""


@dataclass(slots=True)
class Recorded:
    """A workload that is measured, or was a moment ago."""

    workload: Workload
    meter: Meter
    ring: SampleRing = field(default_factory=SampleRing)
    reading: Mapping[Color, SlotTraffic] | None = None
    """What the router last said, to know whether it has said something since."""


@dataclass(frozen=True, slots=True)
class Measured:
    """`workload_ids` are those that had samples. `problem` says why only memory was looked at; empty when all was."""

    points: Sequence[Point]
    summary: Summary
    workload_ids: frozenset[str]
    problem: str = ""


class MetricsRecorder:
    """`observers` are the fleet's, by service: what they monitor is what is measured."""

    def __init__(
        self, observers: Mapping[str, Observer], view: RouterView, clock: Clock, store: SampleStore, tell: Tell
    ) -> None:
        self.machine: MachineNews = lambda _: {}
        self.steady = SteadyClock(clock)
        self.writer = SampleWriter(store, clock, self.steady, tell)
        self.record = RecordBook(self.steady, self.writer)
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
            self.writer.start()

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.record.stop()
        await self.writer.stop()

    @property
    def workloads(self) -> Sequence[Workload]:
        """All that are measured now or were a moment ago."""
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
        """The metric of these workloads together, from memory alone: for the last minutes."""
        return points(metric, list(self._remembered(workload_ids, over).values()), over)

    async def measured(self, workload_ids: Iterable[str], metric: Metric, over: Window) -> Measured:
        """The metric of these workloads together, as far back as there are samples; ids that were never measured count
        for nothing. When the store can't be read, what is in memory, and why."""
        wanted, problem = tuple(workload_ids), ""
        samples: Mapping[str, Sequence[Sample]]
        try:
            stretch = Stretch(over.start, over.end, over.step or over.end - over.start)
            samples = await self.writer.read(wanted, stretch, {"seconds", *metric.columns})
        except StoreError as error:
            problem, samples = error.message, self._remembered(wanted, over)
        # Drawing a month takes a moment, which nobody else should wait for.
        found, told = await asyncio.to_thread(described, metric, list(samples.values()), over)
        return Measured(found, told, frozenset(samples), problem)

    async def known(self, over: Window) -> Mapping[str, Workload]:
        """Workloads that may have been measured in this time, by id; those in memory when the store can't be read."""
        found = {workload.id: workload for workload in self.workloads}
        try:
            stored = await self.writer.workloads(Stretch(over.start, over.end))
        except StoreError:
            return found
        return {workload.id: workload for workload in stored} | found

    def baseline(self, workload: Workload) -> Baseline | None:
        """What a workload did until now, and its service at this time yesterday; None when it was not measured."""
        recorded = self._recorded.get(workload.id)
        return self.record.baseline(workload.service, recorded.ring if recorded else None)

    def _remembered(self, workload_ids: Iterable[str], over: Window) -> dict[str, Sequence[Sample]]:
        shift = self.steady.shift
        start = over.start - shift - FORGOTTEN_SECONDS
        found: dict[str, Sequence[Sample]] = {}
        for known in workload_ids:
            waiting = self.writer.waiting(known)
            recorded = self._recorded.get(known)
            recent = recorded.ring.since(start) if recorded else []
            if waiting and (not recent or waiting[0].at < recent[0].at):
                # The disk has not been written for long.
                recent = list(waiting)
            if recent:
                found[known] = [sample.shifted(shift) for sample in recent]
        return found

    def _add(self, service: str, monitor: WorkloadMonitor) -> None:
        workload, status = monitor.workload, monitor.status
        recorded = self._recorded.get(workload.id)
        if recorded is None:
            age = self._clock.now() - status.created_at if status else 0.0
            # A workload that has just begun counts from zero; when an older one did what it did, nobody knows.
            born = self.steady.at - max(age, 0.001) if age < NEW_SECONDS else None
            recorded = self._recorded[workload.id] = Recorded(workload, Meter(born))
        replicas = monitor.health.replicas
        reading = Reading(
            traffic=self._traffic(service, monitor, recorded),
            checks=sum(replica.checks for replica in replicas),
            checks_passed=sum(replica.checks - replica.failures for replica in replicas),
            restarts=status.restarts if status else None,
            machine=self.machine(workload.id),
        )
        sample = recorded.meter.read(self.steady.at, reading)
        recorded.ring.add(sample)
        self.writer.add(workload, sample)

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
                    services = list(self._observers)
                    idle_at = self._clock.monotonic() + idle_seconds(len(services))
                    await self._view.count(services)
                    await self._sample_in_turns(services)
                    self._forget()
                else:
                    await self._sample_in_turns(self._view.followed())
                for service in self._view.followed():
                    self.record.prepare(service)
            except Exception:
                log.exception("measuring failed")
            await self._clock.sleep(BUSY_SECONDS)

    async def _sample_in_turns(self, services: Sequence[str]) -> None:
        for first in range(0, len(services), AT_A_TIME):
            self.sample(services[first : first + AT_A_TIME])
            await asyncio.sleep(0)

    def _forget(self) -> None:
        """What is gone for long, and when there are too many, what has been gone the longest."""
        held = {workload_id for observer in self._observers.values() for workload_id in observer.monitors}
        gone = {known: recorded.ring.newest for known, recorded in self._recorded.items() if known not in held}
        oldest = self.steady.at - FORGOTTEN_SECONDS
        by_age = sorted(gone, key=gone.__getitem__)
        surplus = len(by_age) - MAX_GONE_WORKLOADS
        for position, workload_id in enumerate(by_age):
            if position < surplus or gone[workload_id] < oldest:
                del self._recorded[workload_id]


def idle_seconds(services: int) -> float:
    """How often so many services are sampled while nothing happens."""
    return min(LONGEST_IDLE_SECONDS, max(BUSY_SECONDS, math.ceil(services / SERVICES_PER_IDLE_SECOND)))
