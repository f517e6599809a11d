"""What the demonstration promised against what was counted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from examples.traffic import NO_STATUS, TrafficReport, is_success

SWITCH_PATIENCE_SECONDS = 0.05
"""More than a switch takes: what began earlier than this before an acknowledgement began before that switch."""


@dataclass(frozen=True, slots=True)
class Move:
    """The traffic went from one version to another: the router's acknowledgement, `at` in `time.monotonic()`."""

    old: str
    new: str
    at: float
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table. `must` None: nothing is promised."""

    name: str
    value: str
    must: str | None = None

    @property
    def missed(self) -> bool:
        return self.must is not None and self.value != self.must


def figures(report: TrafficReport, moves: Sequence[Move], rollback_seconds: float) -> list[Figure]:
    """`moves`: the switch to v2.0, its rollback, the switch to the faulty v2.2, its automatic rollback.
    `rollback_seconds` is how long the rollback command took as a whole."""
    (to_good, _), (from_good, _), (to_faulty, _), (from_faulty, _) = spans = list(_spans(moves))
    late = [_on_old_side(report, move, until) for move, until in spans]
    own = _own_errors(report, to_faulty, from_faulty)
    return [
        Figure("requests sent", str(report.sent)),
        Figure("requests failed", str(report.failed - own), "0"),
        Figure(f"switch {to_good.old} → {to_good.new}: acknowledged after", _milliseconds(to_good)),
        Figure(f"  requests on the old side ({to_good.old}) after that", str(late[0]), "0"),
        Figure(f"rollback {from_good.old} → {from_good.new}: acknowledged after", _milliseconds(from_good)),
        Figure("  the whole command, from typing to its end", f"{rollback_seconds * 1000:.0f} ms"),
        Figure(f"  requests on the old side ({from_good.old}) after that", str(late[1]), "0"),
        Figure("requests on v2.1, which is broken", str(report.by_version.get("v2.1", 0)), "0"),
        Figure(f"errors of {to_faulty.new} itself under real traffic, counted apart", str(own)),
        Figure("  from the first of them to the automatic rollback", _noticed(report, to_faulty, from_faulty)),
        Figure(f"  requests on the old side ({from_faulty.old}) after that", str(late[3]), "0"),
    ]


def table(rows: Sequence[Figure]) -> Table:
    made = Table(box=box.SIMPLE_HEAD, header_style="dim")
    made.add_column("what was counted")
    made.add_column("measured", justify="right", no_wrap=True)
    made.add_column("must be", justify="right", no_wrap=True)
    for row in rows:
        verdict = "" if row.must is None else f"{row.must} {'[red]✗[/]' if row.missed else '[green]✓[/]'}"
        made.add_row(row.name, f"[{'red bold' if row.missed else 'bold'}]{row.value}[/]", verdict)
    return made


def _spans(moves: Sequence[Move]) -> Iterator[tuple[Move, float]]:
    """Each move, and how long what it brought about held."""
    for move, following in itertools.zip_longest(moves, moves[1:]):
        yield move, math.inf if following is None else following.at - SWITCH_PATIENCE_SECONDS


def _on_old_side(report: TrafficReport, move: Move, until: float) -> int:
    return sum(
        1
        for begun, version, status in zip(report.begun, report.versions, report.statuses, strict=True)
        if move.at < begun < until and status != NO_STATUS and report.version_names[version] == move.old
    )


def _error_moments(report: TrafficReport, to_faulty: Move) -> list[float]:
    """When the requests began that the faulty version itself answered with an error."""
    return [
        begun
        for begun, version, status in zip(report.begun, report.versions, report.statuses, strict=True)
        if status != NO_STATUS and not is_success(status) and report.version_names[version] == to_faulty.new
    ]


def _own_errors(report: TrafficReport, to_faulty: Move, from_faulty: Move) -> int:
    """Only those between the two switches: any other is one that the deployment caused."""
    first = to_faulty.at - SWITCH_PATIENCE_SECONDS
    return sum(first < moment < from_faulty.at for moment in _error_moments(report, to_faulty))


def _noticed(report: TrafficReport, to_faulty: Move, from_faulty: Move) -> str:
    moments = _error_moments(report, to_faulty)
    return f"{(from_faulty.at - min(moments)) * 1000:.0f} ms" if moments else "-"


def _milliseconds(move: Move) -> str:
    return f"{move.milliseconds:.1f} ms"
