"""What workloads wrote: from the engine while a container exists, from our files once it was copied there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from bluegreen.control.ports import LogPage
from bluegreen.domain.errors import RuntimeFailure
from bluegreen.runtimes.docker import output
from bluegreen.runtimes.docker.observation import Containers
from bluegreen.runtimes.docker.records import Records, WorkloadRecord
from bluegreen.runtimes.docker.replicas import Replicas

LONGEST_PAGE_LINES = 10_000
"""Of each replica, when a page begins where another ended."""


class Journal:
    def __init__(self, records: Records, replicas: Replicas) -> None:
        self._records = records
        self._replicas = replicas

    async def page(self, workload_id: str, position: str, lines: int) -> LogPage:
        """Of all replicas together at most `lines`, each `replica-0 | ...`, replica after replica; behind a position
        everything that was written since."""
        directory = self._records.kept(workload_id)
        try:
            record, containers = await self._replicas.look(workload_id)
        except RuntimeFailure:
            if directory is None or position:
                raise
            record, containers = None, {}  # The engine is away; what was copied from it before is here.
        if position:
            return await self._since(containers, output.positions(position))
        if directory is None and record is None:
            return LogPage()
        return await self._last(directory, record, containers, lines)

    async def _last(
        self, directory: Path | None, record: WorkloadRecord | None, containers: Containers, lines: int
    ) -> LogPage:
        live: dict[int, list[str]] = {}
        seen: dict[int, int] = {}
        for index, container in containers.items() if record else ():
            copied = record.replicas[index].logged_until if record and index < len(record.replicas) else 0
            text = await self._replicas.engine.output(container["Id"], since=output.since(copied), lines=lines)
            live[index], seen[index] = output.without_times(text, copied)
        found = await asyncio.to_thread(output.last_lines_of_all, directory, live, lines)
        return LogPage(tuple(found), output.as_position(seen or {0: time.time_ns()}))

    async def _since(self, containers: Containers, before: Mapping[int, int]) -> LogPage:
        found: list[str] = []
        seen = dict(before)
        for index, container in sorted(containers.items()):
            known = before.get(index, min(before.values()))
            text = await self._replicas.engine.output(
                container["Id"], since=output.since(known), lines=LONGEST_PAGE_LINES
            )
            fresh, seen[index] = output.without_times(text, known)
            found += [f"replica-{index} | {line}" for line in fresh]
        return LogPage(tuple(found), output.as_position(seen))
