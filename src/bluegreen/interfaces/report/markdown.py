"""The report as Markdown that can be read as it is, in a terminal too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import tzinfo

from bluegreen import __version__
from bluegreen.control.report_views import ReportSeriesView, ReportView
from bluegreen.interfaces.report import content as c
from bluegreen.interfaces.report.markup import seen
from bluegreen.interfaces.report.recognition import SIGNATURE

COLUMNS = 60
"""Width of a sparkline."""
BLOCKS = "▁▂▃▄▅▆▇█"
_SPECIAL = re.compile(
    r"[\\`*~\[\]|]|(?<!\w)_|_(?!\w)|<(?=[A-Za-z/!?])|&(?=[#A-Za-z])|^>|^[#+=-]+(?=\s|$)|(?<=^\d)[.)](?=\s)"
)
"""What could be markup where it stands. A `<` before a number is none, and people read this in a terminal too."""


def markdown(view: ReportView, zone: tzinfo) -> str:
    """Times are written for `zone`."""
    clock = c.Clock(zone)
    word, _ = c.outcome(view)
    parts = [
        f"# {_text(c.title(view))}",
        f"**{word}** · deployment {_text(view.deployment.id)}",
        _text(view.headline),
        "\n".join(f"- {name}: {_text(value)}" for name, value in c.facts(view, clock)),
    ]
    if view.next:
        parts += ["## What to do next", "\n".join(f"- `{x.command}` {_text(x.why)}" for x in view.next)]
    parts += ["## Phases", _table(c.phase_table(view, clock))]
    parts += ["## Traffic around the switch", *_charts(view, clock)]
    parts += ["## Verdicts", *_decisions(view, clock)]
    if view.record:
        parts += ["## The old version's record", _table(c.record_table(view))]
    if view.deployment.logs:
        count = len(view.deployment.logs)
        parts += [f"## Last {count} log lines of the new version", _fenced(view.deployment.logs)]
    parts += ["## Events", _table(c.event_table(view, clock, routine=False))]
    parts.append(f"Made {clock.full(view.made_at)}{SIGNATURE}{__version__}.")
    return "\n\n".join(parts) + "\n"


def _text(text: str) -> str:
    """On one line, and nothing in it is markup."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(seen(text).split()))


def _table(table: c.Table) -> str:
    rows = [[_text(cell) for cell in row] for row in (table.columns, *table.rows)]
    widths = [max(len(row[position]) for row in rows) for position in range(len(table.columns))]
    if table.columns[-1] not in table.numbers:
        # It is as long as its texts; filling it up would only make lines wrap.
        widths[-1] = len(rows[0][-1])

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if column in table.numbers else cell.ljust(width)
            for cell, width, column in zip(cells, widths, table.columns, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    ruler = [
        "-" * (width - 1) + ":" if column in table.numbers else "-" * width
        for column, width in zip(table.columns, (max(3, width) for width in widths), strict=True)
    ]
    return "\n".join([line(rows[0]), f"| {' | '.join(ruler)} |", *map(line, rows[1:])])


def _fenced(lines: Sequence[str]) -> str:
    """A block that its content can't end: its fence is longer than any in it."""
    text = "\n".join(seen(line) for line in lines)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _charts(view: ReportView, clock: c.Clock) -> list[str]:
    parts = [_text(note)] if (note := c.series_note(view)) else []
    for which, (title, metrics) in c.METRIC_TITLES.items():
        found = c.series_of(view, metrics)
        if missing := c.why_empty(found):
            parts.append(f"{title}: {missing}")
            continue
        parts.append(f"{title}, {clock.short(view.window_start)} to {clock.short(view.window_end)}:")
        parts.append(_fenced(_sparklines(view, found, c.VALUE_TEXTS[which])))
    return parts


def _sparklines(view: ReportView, found: Sequence[ReportSeriesView], text: c.ValueText) -> list[str]:
    names = [c.series_name(series) for series in found]
    width = max(map(len, names))
    top = max((value for series in found for value in series.values if value is not None), default=0.0)
    lines = []
    for name, series in zip(names, found, strict=True):
        known = [value for value in series.values if value is not None]
        told = f"{text(min(known))} to {text(max(known))}" if known else "not measured"
        lines.append(f"{name:<{width}}  {_sparkline(view, series, top)}  {told}")
    marks = _marks(view)
    return [*lines, *(f"{'':<{width}}  {line}" for line in marks)]


def _column(view: ReportView, at: float) -> int:
    share = (at - view.window_start) / max(view.window_end - view.window_start, 1e-9)
    return min(COLUMNS - 1, max(0, int(share * COLUMNS)))


def _sparkline(view: ReportView, series: ReportSeriesView, top: float) -> str:
    """The highest value in each column, so that a short one is seen; `·` where nothing was measured."""
    cells: list[float | None] = [None] * COLUMNS
    for position, value in enumerate(series.values):
        end = series.end_at - series.step_seconds * (len(series.values) - 1 - position)
        first, last = _column(view, end - series.step_seconds), _column(view, end - 1e-6)
        for column in range(first, last + 1):
            if value is not None:
                cells[column] = max(value, cells[column] or 0.0)
    return "".join("·" if cell is None else _block(cell, top) for cell in cells)


def _block(value: float, top: float) -> str:
    if value <= 0.0 or top <= 0.0:
        return BLOCKS[0]
    return BLOCKS[min(len(BLOCKS) - 1, max(1, round(value / top * (len(BLOCKS) - 1))))]


def _marks(view: ReportView) -> list[str]:
    """An arrow below each moment at which traffic moved."""
    return [
        " " * _column(view, move.at) + f"▲ {c.move_label(move)}"
        for move in view.moves
        if view.window_start <= move.at <= view.window_end
    ]


def _decisions(view: ReportView, clock: c.Clock) -> list[str]:
    if not view.decisions:
        return ["Nothing was decided from measurements."]
    parts = []
    for decision in view.decisions:
        parts += [f"### {_text(c.decision_title(decision, clock))}", _text(decision.reason)]
        if decision.verdicts:
            parts.append(_table(c.verdict_table(decision)))
    note = c.evidence_note(view)
    return [*parts, note] if note else parts
