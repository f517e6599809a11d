"""Starts replicas again that ended by themselves, as the engine tells it: nothing is polled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

from bluegreen.domain.errors import BluegreenError
from bluegreen.runtimes.docker.container import REPLICA, WORKLOAD, owner_labels
from bluegreen.runtimes.docker.engine import Engine, Happening
from bluegreen.runtimes.docker.view import ContainerView

log = logging.getLogger(__name__)

ENGINE_AWAY_SECONDS = 1.0
ENDS = frozenset({"die", "destroy", "died", "remove"})
"""The last two are Podman's words."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pause before a restart doubles from first to max, and begins anew when the replica lived for
    `reset_seconds`."""

    first_seconds: float = 0.5
    max_seconds: float = 30.0
    reset_seconds: float = 60.0


class Keeper:
    """Tells `view` of every change. `sweep` names every replica that should run and does not. `revive` starts one again
    unless somebody else did; it is given a function that tells how long to wait after a run that lasted so many
    seconds."""

    def __init__(
        self,
        engine: Engine,
        view: ContainerView,
        owner: str,
        backoff: Backoff,
        *,
        sweep: Callable[[], Awaitable[Sequence[tuple[str, int]]]],
        revive: Callable[[str, int, Callable[[float], float]], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._view = view
        self._labels = owner_labels(owner)
        self._backoff = backoff
        self._sweep = sweep
        self._revive = revive
        self._pauses: dict[tuple[str, int], float] = {}
        self._at_work: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._once_more: set[tuple[str, int]] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self._task is not None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="docker keeper")

    async def stop(self) -> None:
        tasks = [*self._at_work.values(), *([self._task] if self._task else [])]
        self._task = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        """Listens first and looks around then, so that nothing ends unseen in between."""
        while True:
            with suppress(BluegreenError):
                await self._watch()
            await asyncio.sleep(ENGINE_AWAY_SECONDS)

    async def _watch(self) -> None:
        try:
            async with aclosing(self._engine.happenings(self._labels)) as happenings:
                async for event in happenings:
                    if event is None:
                        self._view.events_begin()
                        for workload_id, index in await self._sweep():
                            self._take_care(workload_id, index)
                    else:
                        self._on_event(event)
        finally:
            self._view.events_end()

    def _on_event(self, event: Happening) -> None:
        self._view.changed(event.container_id)
        if event.action in ENDS:
            with suppress(KeyError, ValueError):
                self._take_care(event.labels[WORKLOAD], int(event.labels[REPLICA]))

    def _take_care(self, workload_id: str, index: int) -> None:
        key = (workload_id, index)
        if key in self._at_work:
            self._once_more.add(key)  # It may have ended again just after it was started.
        else:
            self._at_work[key] = asyncio.create_task(self._care_for(key), name=f"revive {workload_id}-{index}")

    async def _care_for(self, key: tuple[str, int]) -> None:
        """Until it runs, or is not to run any more."""
        try:
            while True:
                self._once_more.discard(key)
                try:
                    await self._revive(*key, lambda lived: self._pause(key, lived))
                    if key not in self._once_more:
                        return
                except BluegreenError as problem:
                    log.warning("replica %d of %s could not be started again: %s", key[1], key[0], problem.message)
                    await asyncio.sleep(self._pause(key, 0.0))
        finally:
            del self._at_work[key]

    def _pause(self, key: tuple[str, int], lived_seconds: float) -> float:
        """How long to wait now, after a run that lived so long."""
        if lived_seconds >= self._backoff.reset_seconds:
            self._pauses.pop(key, None)
        pause = self._pauses.get(key, self._backoff.first_seconds)
        self._pauses[key] = min(pause * 2, self._backoff.max_seconds)
        return pause
