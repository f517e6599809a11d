"""Blue's record, by which green is measured: the last minutes from memory, the same time yesterday from the store.

The store is asked when a deployment begins, in the background: the switch, which needs the record, waits for no disk.
"""

from __future__ import annotations

import asyncio
import logging

from bluegreen.control.metric_ports import Stretch
from bluegreen.control.sample_writer import SampleWriter
from bluegreen.control.steady_clock import SteadyClock
from bluegreen.domain.baseline import RECORD_COLUMNS, Baseline, Window, recorded, worst_of
from bluegreen.domain.errors import StoreError
from bluegreen.domain.sample_ring import SampleRing

log = logging.getLogger(__name__)

RECENT = (("the last minute", 60.0), ("the last 10 minutes", 600.0))
WORST_SECONDS = 600.0
"""Among how much of the last time its worst moments are looked for."""
YESTERDAY = "the same time yesterday"
DAY_SECONDS, YESTERDAY_SECONDS = 86_400.0, 600.0
"""The ten minutes that came then are what green is about to live through."""
FRESH_SECONDS = 300.0
"""How long what was read of yesterday is good enough."""


class RecordBook:
    """`prepare` is called when a deployment begins, `baseline` when blue is about to lose its traffic."""

    def __init__(self, steady: SteadyClock, writer: SampleWriter) -> None:
        self._steady = steady
        self._writer = writer
        self._yesterday: dict[str, tuple[float, Window | None]] = {}
        """By service, with when it was read."""
        self._asking: dict[str, asyncio.Task[None]] = {}

    def prepare(self, service: str) -> None:
        """Begins to read what the service did yesterday, unless that is known."""
        known = self._yesterday.get(service)
        if service not in self._asking and (known is None or self._steady.at - known[0] > FRESH_SECONDS):
            self._asking[service] = asyncio.create_task(self._ask(service), name=f"yesterday of {service}")

    def baseline(self, service: str, ring: SampleRing | None) -> Baseline | None:
        """What a workload, whose samples these are, did until now, and its service yesterday; None when nothing was
        measured."""
        now = self._steady.at
        windows: list[Window | None] = []
        worst: tuple[Window, ...] = ()
        if ring is not None:
            windows = [recorded(name, ring.since(now - 2 * width), now - width, now) for name, width in RECENT]
            usual = next((window for window in reversed(windows) if window is not None), None)
            worst = worst_of(ring.since(now - WORST_SECONDS), usual)
        read_at, yesterday = self._yesterday.get(service, (now, None))
        if now - read_at <= 2 * FRESH_SECONDS:
            windows.append(yesterday)
        known = tuple(window for window in windows if window is not None)
        return Baseline(known, worst) if known or ring is not None else None

    async def stop(self) -> None:
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _ask(self, service: str) -> None:
        try:
            start = self._steady.at + self._steady.shift - DAY_SECONDS
            end = start + YESTERDAY_SECONDS
            stretch = Stretch(start, end, step_seconds=YESTERDAY_SECONDS)
            own = [known.id for known in await self._writer.workloads(stretch) if known.service == service]
            samples = await self._writer.read(own, stretch, RECORD_COLUMNS)
            windows = [recorded(YESTERDAY, some, start, end) for some in samples.values()]
            # Which one had the traffic then.
            active = max((window for window in windows if window), key=lambda window: window.requests, default=None)
            self._yesterday[service] = (self._steady.at, active)
        except StoreError as error:
            log.warning("what %s did yesterday can't be read: %s", service, error.message)
        finally:
            del self._asking[service]
