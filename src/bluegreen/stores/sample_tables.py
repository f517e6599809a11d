"""What is asked of and written to the tables of the metrics store. Blocking: only in the store's own thread."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import asdict

from bluegreen.control.metric_ports import Batch
from bluegreen.domain.model import Color, Resources, Workload
from bluegreen.domain.sample import Sample
from bluegreen.domain.tiers import TIERS, Covered, Segment, segments
from bluegreen.stores.sample_blocks import decode, encode, milliseconds

log = logging.getLogger(__name__)

DRIFT_MILLISECONDS = 20
REACH_MILLISECONDS = 90_000
"""How far a sample before or after a stretch of time may still have something to say of it."""


class SampleTables:
    """Of one session. Times of the session in milliseconds."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._series: dict[str, int] = {}
        self._damaged_blocks = 0
        database.execute("BEGIN IMMEDIATE")
        self.drop_slices([row[0] for row in database.execute("SELECT id FROM slices WHERE NOT ready")])
        self.session = database.execute("INSERT INTO sessions (shift) VALUES (0)").lastrowid or 0
        database.execute("COMMIT")
        self._shift: int | None = 0

    def set_shift(self, shift: int) -> None:
        """Written when it changed by more than clocks drift between two writes."""
        if self._shift is None or abs(shift - self._shift) > DRIFT_MILLISECONDS:
            self._database.execute("UPDATE sessions SET shift = ? WHERE id = ?", (shift, self.session))
            self._shift = shift

    def append(self, batches: Sequence[Batch]) -> None:
        """In the transaction of the caller. No slice reaches over the end of one of the next tier."""
        newest = max(milliseconds(batch.samples[-1].at) for batch in batches)
        width = round(TIERS[1].slice_seconds * 1000)
        edge = newest // width * width
        for after, until in ((-1, edge), (edge, newest)):
            parts = [Batch(batch.workload, _between(batch.samples, after, until)) for batch in batches]
            if any(part.samples for part in parts):
                self._append([part for part in parts if part.samples])

    def _append(self, batches: Sequence[Batch]) -> None:
        began = min(milliseconds(batch.samples[0].at) for batch in batches) - 1
        ended = max(milliseconds(batch.samples[-1].at) for batch in batches)
        number = self.begin_slice(0, began, ended)
        for batch in batches:
            series = self._series_of(batch.workload, milliseconds(batch.samples[0].at))
            self.put(number, series, batch.samples)
            self._database.execute("UPDATE spans SET ended = ? WHERE series = ?", (ended, series))
        self.finish_slice(number)

    def begin_slice(self, tier: int, began: int, ended: int, *, session: int | None = None) -> int:
        """Nobody sees it until it is finished."""
        own = self.session if session is None else session
        statement = "INSERT INTO slices (session, tier, began, ended) VALUES (?, ?, ?, ?)"
        return self._database.execute(statement, (own, tier, began, ended)).lastrowid or 0

    def put(self, number: int, series: int, samples: Sequence[Sample]) -> None:
        self._database.execute("INSERT INTO blocks VALUES (?, ?, ?)", (number, series, encode(samples)))

    def finish_slice(self, number: int) -> None:
        self._database.execute("UPDATE slices SET ready = 1 WHERE id = ?", (number,))

    def drop_slices(self, numbers: Collection[int]) -> None:
        for number in numbers:
            self._database.execute("DELETE FROM blocks WHERE slice = ?", (number,))
            self._database.execute("DELETE FROM slices WHERE id = ?", (number,))

    def workloads(self, start: int, end: int) -> list[Workload]:
        """`start` and `end` since the epoch."""
        found = self._database.execute(
            """SELECT series.document FROM series JOIN spans ON spans.series = series.id
               JOIN sessions ON sessions.id = series.session
               WHERE spans.ended + sessions.shift > ? AND spans.began + sessions.shift < ? ORDER BY series.id""",
            (start, end),
        )
        return list({(known := _workload(document)).id: known for (document,) in found}.values())

    def read(
        self, workload_ids: Collection[str], start: int, end: int, step_seconds: float, columns: Collection[str]
    ) -> dict[str, list[Sample]]:
        """`start` and `end` since the epoch; so are the samples."""
        found: dict[str, list[Sample]] = {}
        planned: dict[int, list[Segment]] = {}
        for workload_id in workload_ids:
            for series, session, shift in self._series_in(workload_id, start, end):
                own = (start - shift - REACH_MILLISECONDS, end - shift + REACH_MILLISECONDS)
                if session not in planned:
                    planned[session] = segments(self.covered(session), *own, step_seconds)
                samples = found.setdefault(workload_id, [])
                for segment in planned[session]:
                    bounds = (max(segment.began, own[0]), min(segment.ended, own[1]))
                    stored = self.samples(session, segment.tier, series, *bounds, columns)
                    samples += [sample.shifted(shift / 1000) for sample in stored] if shift else stored
        return {workload_id: samples for workload_id, samples in found.items() if samples}

    def covered(self, session: int) -> list[Covered]:
        """From when to when each tier of a session has samples."""
        found: list[Covered] = []
        for tier in range(len(TIERS)):
            began, ended = self._database.execute(
                "SELECT min(began), max(ended) FROM slices WHERE session = ? AND tier = ? AND ready", (session, tier)
            ).fetchone()
            found.append(None if began is None else (began, ended))
        return found

    def samples(
        self,
        session: int,
        tier: int,
        series: int,
        after: float,
        until: float,
        columns: Collection[str] | None = None,
    ) -> list[Sample]:
        """Those with an `at` after `after` and not after `until`, ascending. A damaged block is a gap."""
        blocks = self._database.execute(
            """SELECT blocks.data FROM slices CROSS JOIN blocks ON blocks.slice = slices.id AND blocks.series = ?
               WHERE slices.session = ? AND slices.tier = ? AND slices.ended > ? AND slices.began < ? AND slices.ready
               ORDER BY slices.ended""",
            (series, session, tier, after, until),
        )
        found: list[Sample] = []
        for (data,) in blocks:
            try:
                found += decode(data, columns)
            except ValueError as error:
                self._damaged_blocks += 1
                if self._damaged_blocks == 1:
                    log.error("%s; it is shown as a gap, and so are others like it", error)
        return [sample for sample in found if after < milliseconds(sample.at) <= until]

    def _series_in(self, workload_id: str, start: int, end: int) -> list[tuple[int, int, int]]:
        """(series, session, shift) of a workload where they may have something to say of this time."""
        return self._database.execute(
            """SELECT series.id, series.session, sessions.shift FROM series
               JOIN spans ON spans.series = series.id JOIN sessions ON sessions.id = series.session
               WHERE series.workload = ? AND spans.ended + sessions.shift > ? AND spans.began + sessions.shift < ?
               ORDER BY series.session""",
            (workload_id, start - REACH_MILLISECONDS, end + REACH_MILLISECONDS),
        ).fetchall()

    def _series_of(self, workload: Workload, began: int) -> int:
        known = self._series.get(workload.id)
        if known is None:
            row = self._database.execute(
                "SELECT id FROM series WHERE session = ? AND workload = ?", (self.session, workload.id)
            ).fetchone()
            known = row[0] if row else self._add_series(workload, began)
            self._series[workload.id] = known
        return known

    def _add_series(self, workload: Workload, began: int) -> int:
        document = json.dumps({**asdict(workload), "labels": dict(workload.labels)}, separators=(",", ":"))
        added = self._database.execute(
            "INSERT INTO series (session, workload, document) VALUES (?, ?, ?)", (self.session, workload.id, document)
        )
        self._database.execute("INSERT INTO spans VALUES (?, ?, ?)", (added.lastrowid, began - 1, began))
        return added.lastrowid or 0

    def forget(self) -> None:
        """What was thought to be written was not: the transaction failed."""
        self._series.clear()
        self._shift = None


def _between(samples: Sequence[Sample], after: int, until: int) -> Sequence[Sample]:
    return [sample for sample in samples if after < milliseconds(sample.at) <= until]


def _workload(document: str) -> Workload:
    fields = json.loads(document)
    fields["color"] = Color(fields["color"])
    fields["resources"] = Resources(**fields["resources"])
    return Workload(**fields)
