"""Keeps the metrics store small: makes coarser slices of finer ones, and drops what has been kept for long enough.

All of it begins anew from what is in the file, so a crash in between costs nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from bluegreen.domain.sample import thinned
from bluegreen.domain.tiers import TIERS
from bluegreen.stores.sample_tables import SampleTables


class Upkeep:
    """`steps()` yields between small pieces of work, each of which leaves the file in order."""

    def __init__(self, database: sqlite3.Connection, tables: SampleTables, max_bytes: int) -> None:
        self._database = database
        self._tables = tables
        self._max_bytes = max_bytes
        self._dropped = True

    def steps(self) -> Iterator[None]:
        unfinished = self._database.execute("SELECT id FROM slices WHERE NOT ready").fetchall()
        self._tables.drop_slices([row[0] for row in unfinished])
        sessions = [row[0] for row in self._database.execute("SELECT DISTINCT session FROM slices ORDER BY session")]
        for session in sessions:
            for tier in range(len(TIERS) - 1):
                yield from self._coarsen(session, tier)
        for tier in range(len(TIERS)):
            yield from self._drop_old(tier)
        yield from self._drop_surplus()
        if self._dropped:
            self._drop_empty_series()

    def _coarsen(self, session: int, tier: int) -> Iterator[None]:
        """Makes every slice of the next tier for whose time all samples are there."""
        width = round(TIERS[tier + 1].slice_seconds * 1000)
        while True:
            done, newest = self._ended(session, tier + 1), self._ended(session, tier)
            first = self._database.execute(
                "SELECT min(began) FROM slices WHERE session = ? AND tier = ? AND ended > ? AND ready",
                (session, tier, done),
            ).fetchone()[0]
            if first is None:
                return
            began = max(done, first)
            ended = (began // width + 1) * width
            if session == self._tables.session and not self._has_later(session, tier, ended):
                return
            yield from self._make(session, tier, began, min(ended, newest))

    def _ended(self, session: int, tier: int) -> int:
        found = self._database.execute(
            "SELECT max(ended) FROM slices WHERE session = ? AND tier = ? AND ready", (session, tier)
        ).fetchone()[0]
        return -1 if found is None else int(found)

    def _has_later(self, session: int, tier: int, moment: int) -> bool:
        """Whether no more samples will come that belong before this moment."""
        later = "SELECT 1 FROM slices WHERE session = ? AND tier = ? AND began >= ? AND ready LIMIT 1"
        return self._database.execute(later, (session, tier, moment)).fetchone() is not None

    def _make(self, session: int, tier: int, began: int, ended: int) -> Iterator[None]:
        made = self._tables.begin_slice(tier + 1, began, ended, session=session)
        members = self._database.execute(
            """SELECT DISTINCT blocks.series FROM slices CROSS JOIN blocks ON blocks.slice = slices.id
               WHERE slices.session = ? AND slices.tier = ? AND slices.ended > ? AND slices.began < ?
               AND slices.ready""",
            (session, tier, began, ended),
        ).fetchall()
        for (series,) in members:
            samples = self._tables.samples(session, tier, series, began, ended)
            if samples:
                self._tables.put(made, series, thinned(samples, TIERS[tier + 1].step_seconds))
            yield
        self._tables.finish_slice(made)
        yield

    def _drop_old(self, tier: int) -> Iterator[None]:
        """By how much time the newer slices cover, not by the clock, which may be wrong."""
        kept, covered = round(TIERS[tier].kept_seconds * 1000), 0
        old: list[tuple[int, int, int]] = []
        newest_first = "SELECT id, session, began, ended FROM slices WHERE tier = ? AND ready ORDER BY id DESC"
        for number, session, began, ended in self._database.execute(newest_first, (tier,)).fetchall():
            if covered > kept:
                old.append((number, session, ended))
            covered += ended - began
        until: dict[int, int] = {}
        for number, session, ended in reversed(old):
            if session not in until:
                newest = max(other[2] for other in old if other[1] == session)
                until[session] = newest if tier + 1 == len(TIERS) else self._coarser_until(session, tier, newest)
            if ended <= until[session]:
                self._tables.drop_slices([number])
                self._dropped = True
                yield

    def _coarser_until(self, session: int, tier: int, ended: int) -> int:
        """Where the last slice of the next tier ends that is over by then: up to there it says all, and no slice of
        this tier reaches over that moment."""
        found = self._database.execute(
            "SELECT max(ended) FROM slices WHERE session = ? AND tier = ? AND ready AND ended <= ?",
            (session, tier + 1, ended),
        ).fetchone()[0]
        return -1 if found is None else int(found)

    def _drop_surplus(self) -> Iterator[None]:
        """When the file is too big all the same, the oldest minutes go first."""
        while self._used_bytes() > self._max_bytes:
            oldest = self._database.execute(
                "SELECT id FROM slices WHERE ready ORDER BY tier DESC, id LIMIT 1"
            ).fetchone()
            if oldest is None:
                return
            self._tables.drop_slices([oldest[0]])
            self._dropped = True
            yield

    def _used_bytes(self) -> int:
        pages, free, size = (
            int(self._database.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def _drop_empty_series(self) -> None:
        """Of workloads and former sessions of which no slice is left."""
        self._dropped = False
        self._database.execute(
            "DELETE FROM sessions WHERE id < ? AND NOT EXISTS (SELECT 1 FROM slices WHERE session = sessions.id)",
            (self._tables.session,),
        )
        self._database.execute(
            """DELETE FROM series WHERE coalesce((SELECT ended FROM spans WHERE series = series.id)
               < (SELECT min(began) FROM slices WHERE slices.session = series.session), session < ?)""",
            (self._tables.session,),
        )
        self._database.execute("DELETE FROM spans WHERE series NOT IN (SELECT id FROM series)")
