"""Asks HAProxy's workers what they counted, and reads what they answer."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bluegreen.routers.haproxy.config import COUNTERS
from bluegreen.routers.haproxy.counting import COUNTERS_PER_WORKLOAD, Reading, SideReading
from bluegreen.routers.haproxy.runtime import KEYS_PER_QUESTION, HaproxyRuntime

_ROW = re.compile(r"key=(\S+) [^c]*conn_cur=(\d+) gpc0=(.*)")
_MAX_KNOWN_ROWS = 30_000
_SIDE_COLUMNS = ("cli_abrt", "srv_abrt", "wretr", "wredis")
ALL_SIDES_SECONDS = 10.0
"""How often many services are asked for what is counted by backend: it costs as much as all the rest. Who
watches a deployment asks for its service alone, and gets it each time."""


@dataclass(frozen=True, slots=True)
class WorkerReading:
    """What one worker counted: `rows` by workload, `sides` by backend, None when they were not asked for."""

    rows: Mapping[str, Reading]
    sides: Mapping[str, SideReading] | None


class CounterReader:
    def __init__(self, haproxy: HaproxyRuntime) -> None:
        self._haproxy = haproxy
        self._rows: dict[int, CounterRows] = {}
        self._all_sides_after = 0.0
        """Monotonic."""

    async def read(self, workload_ids: Sequence[str], backends: Sequence[str]) -> dict[int, WorkerReading]:
        """By pid of every worker. Raises RouterError when one that runs can't be read."""
        question, with_sides = self._question(workload_ids, backends)
        answers = await self._haproxy.ask_all(question)
        self._rows = {pid: self._rows.get(pid) or CounterRows() for pid in answers}
        return {
            pid: WorkerReading(self._rows[pid].parse(answer), parse_sides(answer) if with_sides else None)
            for pid, answer in answers.items()
        }

    def _question(self, workload_ids: Sequence[str], backends: Sequence[str]) -> tuple[str, bool]:
        """And whether it asks for the sides."""
        if len(backends) > KEYS_PER_QUESTION:
            if time.monotonic() < self._all_sides_after:
                return f"show table {COUNTERS}", False
            self._all_sides_after = time.monotonic() + ALL_SIDES_SECONDS
            return all_counters(), True
        rows = (f"show table {COUNTERS} key {workload_id}" for workload_id in workload_ids)
        return ";".join((*rows, *(f"show stat {backend} 2 -1" for backend in backends))), True


def all_counters() -> str:
    """The question for everything that a worker counted."""
    return f"show table {COUNTERS};show stat -1 2 -1"


class CounterRows:
    """Reads `show table`. Rows that say what they said last time are not taken apart again: of many services few are
    busy, and what is unchanged is the same object as before."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str, Reading]] = {}

    def parse(self, answer: str) -> dict[str, Reading]:
        """By key. A row with other counters than ours, of a process that an older version configured, tells what is in
        flight alone."""
        known, found = self._known, {}
        for key, in_flight, text in _ROW.findall(answer):
            row = known.get(key)
            if row is None or row[0] != text or row[1] != in_flight:
                # `7 gpc1=0 gpc2=3`: every second of the numbers is a counter's value, which is the quickest way to it.
                counts = tuple(map(int, text.replace(" gpc", "=").split("=")[::2]))
                if len(counts) != COUNTERS_PER_WORKLOAD:
                    counts = ()
                row = known[key] = (text, in_flight, Reading(counts, int(in_flight)))
            found[key] = row[2]
        if len(known) > _MAX_KNOWN_ROWS:
            known.clear()
        return found


def parse_sides(answer: str) -> dict[str, SideReading]:
    """Of `show stat PROXY 2 -1`, several in a row; what is no backend is left out."""
    found: dict[str, SideReading] = {}
    columns: list[int] | None = None
    for line in answer.splitlines():
        if line.startswith("# pxname,"):
            names = line[2:].split(",")
            columns = [names.index(name) for name in _SIDE_COLUMNS]
        elif columns is not None and ",BACKEND," in line:
            fields = line.split(",", max(columns) + 1)
            aborted, truncated, retries, redispatches = (int(fields[column] or 0) for column in columns)
            found[fields[0]] = SideReading(aborted, retries + redispatches, truncated)
    return found
