"""Brings samples to the store in the background. A disk that is full, slow or broken costs measurements their memory of
the past, never a deployment its time: what can't be written waits in memory, and people are told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

from bluegreen.control.metric_ports import Batch, SampleStore, Stretch
from bluegreen.control.ports import Alert, Clock
from bluegreen.control.steady_clock import SteadyClock
from bluegreen.domain.errors import StoreDamaged, StoreError
from bluegreen.domain.model import Workload
from bluegreen.domain.sample import Sample
from bluegreen.domain.sample_ring import UNWRITTEN, SampleRing

log = logging.getLogger(__name__)

WRITE_SECONDS = 5.0
"""How often what was measured goes to disk: as much is missing at most after a crash."""
READ_TIMEOUT_SECONDS = 5.0
CLOSE_TIMEOUT_SECONDS = 2.0
MAX_WAITING_WORKLOADS = 2000
"""Of how many samples wait while nothing can be written."""

Tell = Callable[[Alert], Awaitable[None]]


class SampleWriter:
    """`problem` says why nothing can be written or read now; empty when all is well."""

    def __init__(self, store: SampleStore, clock: Clock, steady: SteadyClock, tell: Tell) -> None:
        self.problem = ""
        self._store = store
        self._clock = clock
        self._steady = steady
        self._tell = tell
        self._waiting: dict[str, tuple[Workload, SampleRing]] = {}
        self._is_open = False
        self._failed_at = 0.0
        self._order = asyncio.Lock()
        """Held while samples go to disk: whoever reads then would see them twice, or not at all."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="samples")

    async def stop(self) -> None:
        """Writes what is left, unless that takes too long."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if not self._is_open:
            return
        with contextlib.suppress(TimeoutError, StoreError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self.write()
        self._is_open = False
        with contextlib.suppress(TimeoutError, StoreError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._store.close()

    def add(self, workload: Workload, sample: Sample) -> None:
        waiting = self._waiting.get(workload.id)
        if waiting is None:
            if len(self._waiting) >= MAX_WAITING_WORKLOADS:
                del self._waiting[min(self._waiting, key=lambda known: self._waiting[known][1].newest)]
            waiting = self._waiting[workload.id] = (workload, SampleRing(UNWRITTEN))
        waiting[1].add(sample)

    def waiting(self, workload_id: str) -> Sequence[Sample]:
        """What is not on disk yet, ascending, with the times of the steady clock."""
        known = self._waiting.get(workload_id)
        return known[1].since(float("-inf")) if known else ()

    async def write(self) -> None:
        """Brings to disk what waits. Never raises for the disk's sake: it is tried again with the next."""
        async with self._order:
            batches = [Batch(workload, ring.drain()) for workload, ring in self._waiting.values()]
            self._waiting = {}
            try:
                await self._open()
                if batches:
                    await self._store.append(batches, shift=self._steady.shift)
            except StoreError as error:
                self._put_back(batches)
                await self._failed(error)
            else:
                await self._succeeded()

    async def read(
        self, workload_ids: Collection[str], over: Stretch, columns: Collection[str]
    ) -> Mapping[str, Sequence[Sample]]:
        """From the store and what waits for it. Raises StoreError when the store can't be read in time."""
        async with self._reading():
            shift = self._steady.shift
            stored = await self._store.read(workload_ids, over, columns, shift=shift)
            fresh = {known: [sample.shifted(shift) for sample in self.waiting(known)] for known in workload_ids}
        together = {known: [*stored.get(known, ()), *fresh[known]] for known in workload_ids}
        return {known: samples for known, samples in together.items() if samples}

    async def workloads(self, over: Stretch) -> Sequence[Workload]:
        """Raises StoreError when the store can't be read in time."""
        async with self._reading():
            return await self._store.workloads(over, shift=self._steady.shift)

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS), self._order:
                await self._open()
                yield
        except TimeoutError:
            raise StoreError(f"the metrics store did not answer within {READ_TIMEOUT_SECONDS:g} s") from None
        except StoreDamaged as error:
            await self._failed(error)
            raise

    async def _open(self) -> None:
        if not self._is_open:
            try:
                await self._store.open()
            except StoreDamaged:
                self._is_open = True
                raise
            self._is_open = True

    def _put_back(self, batches: Sequence[Batch]) -> None:
        """Before what came meanwhile."""
        since, self._waiting = self._waiting, {}
        for workload, samples in [*((b.workload, b.samples) for b in batches),
                                  *((workload, ring.drain()) for workload, ring in since.values())]:  # fmt: skip
            for sample in samples:
                self.add(workload, sample)

    async def _run(self) -> None:
        while True:
            try:
                await self.write()
                more = self._is_open and not self.problem
                while more:
                    more = await self._store.tidy()
            except StoreError as error:
                await self._failed(error)
            except Exception:
                log.exception("writing what was measured failed")
            await self._clock.sleep(WRITE_SECONDS)

    async def _failed(self, error: StoreError) -> None:
        if isinstance(error, StoreDamaged):
            log.error("%s", error.message)
            await self._say("metrics-store-damaged", error)
            return
        if not self.problem:
            self._failed_at = self._clock.now()
            log.error("what is measured can't be written and stays in memory: %s", error.message)
            await self._say("metrics-not-written", error)
        self.problem = error.message

    async def _succeeded(self) -> None:
        if self.problem:
            self.problem = ""
            log.warning("what is measured is written to disk again")
            await self._say("metrics-not-written", None)

    async def _say(self, name: str, error: StoreError | None) -> None:
        """Tells people that it began, or, without an error, that it is over."""
        now = self._clock.now()
        began = self._failed_at if name == "metrics-not-written" else now
        text = "Metrics are written to disk again."
        if error is not None:
            text = f"{error.message}. Deployments and rollbacks go on; measuring goes on in memory."
        alert = Alert(
            id=f"{name}:{began * 1000:.0f}{'' if error else ':resolved'}",
            name=name,
            severity="warning",
            message=text,
            at=now,
            cause=error.message if error else "",
            next_command="bluegreen doctor",
            resolved=error is None,
        )
        try:
            await self._tell(alert)
        except Exception:
            log.exception("nobody could be told: %s", alert.message)
