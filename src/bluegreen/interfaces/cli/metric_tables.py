"""A metric on the screen: points, then a line for each series with its course and summary; and as CSV."""

from __future__ import annotations

import csv
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from rich.console import Group, RenderableType
from rich.text import Text

from bluegreen.domain.timespans import iso
from bluegreen.interfaces.cli.metric_series import MetricChart, MetricSeries
from bluegreen.interfaces.cli.metric_values import sparkline, thinned, written
from bluegreen.interfaces.cli.output import clock_time, duration, printable
from bluegreen.interfaces.cli.tables import table

COURSE_WIDTH = 60
MOST_COLUMNS = 6
"""More series side by side are wider than a screen."""


def chart_screen(chart: MetricChart, *, with_points: bool = True) -> RenderableType:
    parts: list[RenderableType] = [_heading(chart)]
    if with_points and len(chart.series) <= MOST_COLUMNS:
        parts += [Text(), _points_table(chart)]
    parts += [Text(), _summary_table(chart)]
    parts += [
        Text(f"{clock_time(mark.at)}  ▲ {printable(mark.label)}  {mark.deployment}", style="cyan")
        for mark in chart.switches
    ]
    if with_points and len(chart.series) > MOST_COLUMNS:
        parts.append(Text(f"points of {len(chart.series)} series: --csv, --json, or one --service", style="dim"))
    return Group(*parts)


def _heading(chart: MetricChart) -> Text:
    services = {series.service for series in chart.series}
    of = f" of {services.pop()}" if len(services) == 1 else ""
    span = f"{clock_time(chart.start_at)} to {clock_time(chart.end_at)} {time.localtime(chart.end_at).tm_zone}"
    width = chart.step_seconds
    step = f"a point each {f'{width:g} s' if width < 60 else duration(width)}"
    return Text.assemble((f"{chart.metric}{of}", "bold"), f"  {chart.unit}\n", (f"{span}, {step}", "dim"))


def _short(chart: MetricChart, series: MetricSeries) -> str:
    """The slot alone where there is but one service."""
    return series.slot if series.slot and len({one.service for one in chart.series}) == 1 else series.name


def _points_table(chart: MetricChart) -> RenderableType:
    names = [_short(chart, series).upper() for series in chart.series]
    made = table("TIME", *names, "", right=names)
    for steps in _blocks(chart):
        skipped = len(steps) - 2 if _is_silent(steps[0]) else 0
        for number, step in enumerate(steps):
            if skipped > 1 and 0 < number <= skipped:
                if number == 1:
                    made.add_row("…", *[""] * len(names), Text(f"{skipped} more without a value", style="dim"))
                continue
            values = [_value_text(value, chart.unit) for value in step.values]
            made.add_row(Text(clock_time(step.at)), *values, Text(printable(step.marks), style="cyan"))
    return made


@dataclass(frozen=True, slots=True)
class _Step:
    at: float
    values: tuple[float | None, ...]
    marks: str


def _is_silent(step: _Step) -> bool:
    return not step.marks and all(value is None for value in step.values)


def _blocks(chart: MetricChart) -> Iterator[list[_Step]]:
    """Steps in a row in which nothing was measured together, every other one alone."""
    before = chart.start_at
    silence: list[_Step] = []
    for rows in zip(*(series.points for series in chart.series), strict=True):
        at = rows[0].at
        marks = "; ".join(f"▲ {mark.label}" for mark in chart.switches if before < mark.at <= at)
        step = _Step(at, tuple(point.value for point in rows), marks)
        before = at
        if _is_silent(step):
            silence.append(step)
            continue
        if silence:
            yield silence
            silence = []
        yield [step]
    if silence:
        yield silence


def _value_text(value: float | None, unit: str) -> Text:
    return Text(written(value, unit), style="dim" if value is None else "")


def _summary_table(chart: MetricChart) -> RenderableType:
    top = max((point.value or 0.0 for series in chart.series for point in series.points), default=0.0)
    course = f"0 TO {written(top, chart.unit)}"
    made = table("SERIES", course, "MIN", "AVG", "MAX", "LATEST", right=("MIN", "AVG", "MAX", "LATEST"))
    for series in chart.series:
        told = series.summary
        values = thinned([point.value for point in series.points], COURSE_WIDTH)
        made.add_row(
            Text(_short(chart, series)),
            Text(sparkline(values, top), style=series.slot),
            *(_value_text(value, chart.unit) for value in (told.min, told.avg, told.max, told.latest)),
        )
    if chart.switches:
        made.add_row(Text("traffic"), Text(_marks_line(chart), style="cyan"), *[Text()] * 4)
    return made


def _marks_line(chart: MetricChart) -> str:
    """A mark below the sparklines for each switch."""
    ends = [point.at for point in chart.series[0].points]
    width = min(COURSE_WIDTH, len(ends))
    line = [" "] * width
    for mark in chart.switches:
        step = min(bisect_left(ends, mark.at), len(ends) - 1)
        line[step * width // len(ends)] = "▲"
    return "".join(line)


def write_csv(chart: MetricChart, to: TextIO) -> None:
    """A column for each series; an empty cell where nothing was measured. Times in UTC, ends of steps."""
    writer = csv.writer(to, lineterminator="\n")
    writer.writerow(["time", *(series.name for series in chart.series)])
    writer.writerows(_csv_rows(chart))


def _csv_rows(chart: MetricChart) -> Iterator[list[str]]:
    for rows in zip(*(series.points for series in chart.series), strict=True):
        yield [iso(rows[0].at), *("" if point.value is None else repr(point.value) for point in rows)]
