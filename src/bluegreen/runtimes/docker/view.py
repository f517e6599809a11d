"""What the engine says of our containers, remembered: its events tell which of it has changed, and only that is asked
for again. Looking at two hundred containers many times a second costs the engine nothing then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bluegreen.runtimes.docker.container import WORKLOAD, owner_labels
from bluegreen.runtimes.docker.engine import Engine
from bluegreen.runtimes.docker.observation import Containers, by_replica

RECHECK_SECONDS = 30.0
"""How often everything is compared all the same, with one question: an event could be lost."""

Container = Mapping[str, Any]
ByWorkload = Mapping[str, Containers]


class ContainerView:
    """Without events, as in a short-lived process or while the engine is away, every look asks the engine.

    What we do to a container ourselves is noted with `changed` as soon as it is done: who acts and looks then sees it.
    """

    def __init__(self, engine: Engine, owner: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._labels = owner_labels(owner)
        self._monotonic = monotonic
        self._told = False
        self._known: dict[str, Container] | None = None
        self._grouped: ByWorkload | None = None
        self._changed: set[str] = set()
        self._checked_at = 0.0
        self._looking = asyncio.Lock()

    def events_begin(self) -> None:
        """From now on every change is told."""
        self._told, self._known, self._grouped = True, None, None

    def events_end(self) -> None:
        self._told, self._known, self._grouped = False, None, None

    def changed(self, container_id: str) -> None:
        self._changed.add(container_id)

    async def by_workload(self) -> ByWorkload:
        """Ours, by the id of their workload. Raises RuntimeFailure when the engine had to be asked and does not
        answer."""
        if not self._told:
            return _grouped(await self._engine.containers(self._labels))
        async with self._looking:
            known = self._known  # Ours for this look, even if the events end meanwhile.
            if known is None:
                self._changed.clear()
                found = await self._engine.containers(self._labels)
                known = {str(each["Id"]): each for each in found}
                self._known, self._grouped, self._checked_at = known, None, self._monotonic()
            elif self._monotonic() - self._checked_at > RECHECK_SECONDS:
                await self._compare(known)
            grouped = self._grouped
            if self._changed or grouped is None:
                self._grouped = None
                await self._ask_again(known)
                grouped = self._grouped = _grouped(known.values())
            return grouped

    async def _ask_again(self, known: dict[str, Container]) -> None:
        asked, self._changed = self._changed, set()
        try:
            described = await asyncio.gather(*(self._engine.describe(each) for each in asked))
        except BaseException:
            self._changed |= asked
            raise
        for container_id, container in zip(asked, described, strict=True):
            if container is None or not self._is_ours(container):
                known.pop(container_id, None)
            else:
                known[container_id] = container

    async def _compare(self, known: dict[str, Container]) -> None:
        states = await self._engine.states(self._labels)
        self._checked_at = self._monotonic()
        for container_id in known.keys() | states.keys():
            before = known[container_id]["State"]["Status"] if container_id in known else None
            if before != states.get(container_id):
                self._changed.add(container_id)

    def _is_ours(self, container: Container) -> bool:
        labels = container["Config"]["Labels"] or {}
        return all(labels.get(name) == value for name, value in self._labels.items())


def _grouped(containers: Iterable[Container]) -> ByWorkload:
    by_workload: dict[str, list[Container]] = {}
    for container in containers:
        by_workload.setdefault(str(container["Config"]["Labels"][WORKLOAD]), []).append(container)
    return {workload_id: by_replica(own) for workload_id, own in by_workload.items()}
