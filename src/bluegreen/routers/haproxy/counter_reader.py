"""Asks HAProxy's workers what they counted, and reads what they answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bluegreen.routers.haproxy.config import COUNTERS
from bluegreen.routers.haproxy.counting import COUNTERS_PER_WORKLOAD, Reading, SideReading
from bluegreen.routers.haproxy.runtime import KEYS_PER_QUESTION, HaproxyRuntime

_ROW = re.compile(r"key=(\S+) .*?conn_cur=(\d+) gpc0=(.*)")
_NAME = re.compile(r" gpc\d+=")
_MAX_KNOWN_ROWS = 30_000


@dataclass(frozen=True, slots=True)
class WorkerReading:
    """What one worker counted: `rows` by workload, `sides` by backend."""

    rows: Mapping[str, Reading]
    sides: Mapping[str, SideReading]


class CounterReader:
    def __init__(self, haproxy: HaproxyRuntime) -> None:
        self._haproxy = haproxy
        self._rows: dict[int, CounterRows] = {}

    async def read(self, workload_ids: Sequence[str], backends: Sequence[str]) -> dict[int, WorkerReading]:
        """By pid of every worker. Raises RouterError when one that runs can't be read."""
        answers = await self._haproxy.ask_all(_question(workload_ids, backends))
        self._rows = {pid: self._rows.get(pid) or CounterRows() for pid in answers}
        return {
            pid: WorkerReading(self._rows[pid].parse(answer), parse_sides(answer)) for pid, answer in answers.items()
        }


def _question(workload_ids: Sequence[str], backends: Sequence[str]) -> str:
    if len(workload_ids) > KEYS_PER_QUESTION or len(backends) > KEYS_PER_QUESTION:
        return f"show table {COUNTERS};show stat -1 2 -1"
    rows = (f"show table {COUNTERS} key {workload_id}" for workload_id in workload_ids)
    return ";".join((*rows, *(f"show stat {backend} 2 -1" for backend in backends)))


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
                counts = tuple(map(int, _NAME.sub(" ", text).split()))
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
    columns: tuple[int, int, int] | None = None
    for line in answer.splitlines():
        if line.startswith("# pxname,"):
            names = line[2:].split(",")
            columns = names.index("cli_abrt"), names.index("wretr"), names.index("wredis")
        elif columns is not None and ",BACKEND," in line:
            fields = line.split(",", max(columns) + 1)
            aborted, retries, redispatches = (int(fields[column] or 0) for column in columns)
            found[fields[0]] = SideReading(aborted, retries + redispatches)
    return found
