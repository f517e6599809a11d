"""What measuring needs of the world: a store of samples."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bluegreen.domain.model import Workload
from bluegreen.domain.sample import Sample


@dataclass(frozen=True, slots=True)
class Batch:
    """New samples of one workload, ascending, none of them older than what the store has of it."""

    workload: Workload
    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `start` to `end`, seconds since the epoch; `step_seconds` is how fine it must be at least where it was kept
    that fine."""

    start: float
    end: float
    step_seconds: float = 1.0


class SampleStore(Protocol):
    """Samples of all workloads for 30 days, finer the younger they are (`domain.tiers`).

    Every opening begins a session. Samples come with the times of that session's own clock, which never jumps;
    `shift` is what must be added to them, by what is known now, for seconds since the epoch. It holds for all samples
    of the session, those before included: a wall clock that is set right sets them right too. What is read has
    seconds since the epoch.
    """

    async def open(self) -> None:
        """Raises StoreDamaged when what was there could not be used: it was moved aside, and the store is open and
        empty. Raises StoreError when it can't be opened; then it may be tried again."""
        ...

    async def append(self, batches: Sequence[Batch], *, shift: float) -> None:
        """All or nothing; survives the end of this process when it returns. Raises StoreError, StoreDamaged."""
        ...

    async def tidy(self) -> bool:
        """A little of the work that keeps the store small. True when there is more to do. Raises as `append`."""
        ...

    async def workloads(self, over: Stretch, *, shift: float) -> Sequence[Workload]:
        """Those that may have samples in this time, those that are gone too. Raises StoreError, StoreDamaged."""
        ...

    async def read(
        self, workload_ids: Collection[str], over: Stretch, columns: Collection[str], *, shift: float
    ) -> Mapping[str, Sequence[Sample]]:
        """The samples that have something to say of this time, ascending by session; of the workloads that have any.
        Columns that were not asked for may be left out. Raises StoreError, StoreDamaged."""
        ...

    async def close(self) -> None:
        """No error when it is not open."""
        ...
