"""Traffic as a strip of blocks, one for each half second: which version gave the answers, and how many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from examples.traffic import TrafficReport, is_success

COLUMN_SECONDS = 0.5
MAX_WIDTH = 60
LEVELS = "▁▂▃▄▅▆▇█"
COLORS = ("blue", "green", "magenta", "yellow")
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment worth an arrow below the strip, in `time.monotonic()`."""

    at: float
    text: str


def strip(report: TrafficReport, begin: float, end: float, marks: Sequence[Mark] = ()) -> list[Text]:
    """Lines for the screen; whole half seconds between `begin` and `end` only."""
    columns = int((end - begin) / COLUMN_SECONDS)
    counts = _count(report, begin, columns)
    if not counts:
        return [Text("  no requests", style="dim")]
    width = max(1, min(3, MAX_WIDTH // columns))
    highest = max(sum(rows.values()) for rows in _per_column(counts, columns))
    label = max(len(name) for name in counts)
    lines = []
    for name, row in sorted(counts.items(), key=_failures_last):
        blocks = "".join(_block(row[column], highest) * width for column in range(columns))
        lines.append(Text.assemble(f"  {name:<{label}}  ", (blocks, _style(report, name)), f"  {row.total()}"))
    for mark in marks:
        column = max(0, min(columns - 1, int((mark.at - begin) / COLUMN_SECONDS)))
        lines.append(Text(f"  {'':<{label}}  {' ' * (column * width)}▲ {mark.text}", style="bold"))
    return lines


def _count(report: TrafficReport, begin: float, columns: int) -> dict[str, Counter[int]]:
    """Answers per version and column, in the order of the versions' first appearance."""
    counts: dict[str, Counter[int]] = {}
    for begun, status, version in zip(report.begun, report.statuses, report.versions, strict=True):
        column = int((begun - begin) // COLUMN_SECONDS)
        if 0 <= column < columns:
            name = report.version_names[version] if is_success(status) else FAILED
            counts.setdefault(name, Counter())[column] += 1
    return counts


def _per_column(counts: dict[str, Counter[int]], columns: int) -> Iterator[dict[str, int]]:
    for column in range(columns):
        yield {name: rows[column] for name, rows in counts.items()}


def _style(report: TrafficReport, name: str) -> str:
    """A version keeps its color from strip to strip."""
    return "red bold" if name == FAILED else COLORS[report.version_names.index(name) % len(COLORS)]


def _failures_last(row: tuple[str, object]) -> bool:
    return row[0] == FAILED


def _block(count: int, highest: int) -> str:
    """Anything above zero is seen."""
    if count == 0:
        return "·"
    return LEVELS[min(len(LEVELS) - 1, count * len(LEVELS) // highest)]
