"""Samples in memory: for tests and simulations of everything above the port."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from bluegreen.control.metric_ports import Batch, Stretch
from bluegreen.domain.errors import StoreError
from bluegreen.domain.model import Workload
from bluegreen.domain.sample import Sample
from bluegreen.domain.sample_ring import Kept, SampleRing
from bluegreen.domain.tiers import TIERS

KEPT = tuple(Kept(tier.step_seconds, tier.kept_seconds) for tier in TIERS)


class _Session:
    def __init__(self) -> None:
        self.shift = 0.0
        self.rings: dict[str, SampleRing] = {}
        self.workloads: dict[str, Workload] = {}


class MemorySampleStore:
    """What is in it outlives `close`. `broken` is what it fails with, if anything; `damage` fails once and forgets
    everything, as a file that was moved aside does."""

    def __init__(self) -> None:
        self.broken: StoreError | None = None
        self.damage: StoreError | None = None
        self._sessions: list[_Session] = []
        self._is_open = False

    async def open(self) -> None:
        self._check()
        if self._is_open:
            raise StoreError("the samples are open already")
        self._sessions.append(_Session())
        self._is_open = True

    async def append(self, batches: Sequence[Batch], *, shift: float) -> None:
        session = self._open_session()
        session.shift = shift
        for batch in batches:
            session.workloads[batch.workload.id] = batch.workload
            ring = session.rings.setdefault(batch.workload.id, SampleRing(KEPT))
            for sample in batch.samples:
                ring.add(sample)

    async def tidy(self) -> bool:
        self._open_session()
        return False

    async def workloads(self, over: Stretch, *, shift: float) -> Sequence[Workload]:
        self._open_session().shift = shift
        found: dict[str, Workload] = {}
        for session in self._sessions:
            for workload_id, ring in session.rings.items():
                if ring.newest + session.shift > over.start and ring.oldest + session.shift < over.end:
                    found[workload_id] = session.workloads[workload_id]
        return list(found.values())

    async def read(
        self, workload_ids: Collection[str], over: Stretch, columns: Collection[str], *, shift: float
    ) -> Mapping[str, Sequence[Sample]]:
        self._open_session().shift = shift
        found: dict[str, list[Sample]] = {}
        for session in self._sessions:
            for workload_id in workload_ids:
                ring = session.rings.get(workload_id)
                if ring is not None:
                    shifted = (sample.shifted(session.shift) for sample in ring.since(over.start - session.shift - 90))
                    found.setdefault(workload_id, []).extend(shifted)
        return {workload_id: samples for workload_id, samples in found.items() if samples}

    async def close(self) -> None:
        self._is_open = False

    def _open_session(self) -> _Session:
        self._check()
        if not self._is_open:
            raise StoreError("the samples are not open", hint="Call open() first.")
        return self._sessions[-1]

    def _check(self) -> None:
        if self.damage is not None:
            damage, self.damage = self.damage, None
            self._sessions = [_Session()]
            self._is_open = True
            raise damage
        if self.broken is not None:
            raise self.broken
