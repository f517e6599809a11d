"""A metric as a picture. matplotlib is an extra, slow to import, and loaded only when a picture is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from bluegreen.domain.errors import BluegreenError, UsageError
from bluegreen.interfaces.cli.metric_series import MetricChart, MetricSeries
from bluegreen.interfaces.cli.metric_values import size_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS = (".png", ".svg")
COLORS = {"blue": "#1f77b4", "green": "#2ca02c"}
"""As the slots are called; other series take matplotlib's own."""
UNIT_WIDTH = 40
LABEL_ROWS = 3
LETTER_SHARE = 0.0068
"""Of the width of the picture, about what a letter of a label takes."""


def check_plot_file(path: Path) -> None:
    """Before anything is asked or drawn. Raises UsageError."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"--plot: {path.name!r} ends with {path.suffix or 'no ending'!r}, pictures can be {' or '.join(ENDINGS)}",
            hint=f"Write it as --plot {path.stem or 'metric'}.png",
        )
    if not path.parent.is_dir():
        raise UsageError(f"--plot: there is no directory {path.parent}", hint="Make it first")
    if path.is_dir():
        raise UsageError(f"--plot: {path} is a directory", hint="Name a file that ends with .png or .svg")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "--plot: pictures need matplotlib, which is not installed", hint="pip install 'bluegreen[plot]'"
        ) from error


def plot(chart: MetricChart, path: Path) -> None:
    """Raises BluegreenError when there is nothing to draw, or the file can't be written."""
    if not chart.measured:
        raise BluegreenError(
            f"--plot: no picture was made, nothing of {chart.metric} was measured in that time",
            hint="Take a longer time with --since, or see: bluegreen status",
        )
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Text stays text in an SVG, and the same numbers give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "bluegreen"}):
        figure = Figure(figsize=(10, 4.5), dpi=150, layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, chart)
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        try:
            figure.savefig(path, metadata=metadata)
        except OSError as error:
            raise BluegreenError(f"--plot: {path} can't be written: {error.strerror or error}") from error


def _draw(axes: Axes, chart: MetricChart) -> None:
    scale, unit = _scale(chart)
    for series in chart.series:
        _draw_series(axes, series, chart.start_at, scale)
    services = {series.service for series in chart.series}
    rows = label_rows(chart)
    title = f"{chart.metric}{f' of {services.pop()}' if len(services) == 1 else ''}"
    axes.set_title(title, loc="left", pad=8 + 11 * (1 + max(rows, default=-1)))
    axes.set_ylabel(fill(unit, UNIT_WIDTH))
    axes.set_xlim(_moment(chart.start_at), _moment(chart.end_at))
    most = max(point.value or 0.0 for series in chart.series for point in series.points)
    axes.set_ylim(0, most * scale * 1.1 or 1.0)
    _draw_times(axes)
    _draw_switches(axes, chart, rows)
    axes.grid(alpha=0.25)
    axes.legend(loc="best", frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_series(axes: Axes, series: MetricSeries, start_at: float, scale: float) -> None:
    """Each value is level over its step: a slope would let a rate fall before the switch. A step without a value is a
    gap: nobody knows what was in it."""
    values = [math.nan, *(math.nan if point.value is None else point.value * scale for point in series.points)]
    times = [_moment(start_at), *(_moment(point.at) for point in series.points)]
    # Not clipped, so that a line of zeros is seen on the axis.
    axes.plot(
        times, values, drawstyle="steps-pre", label=series.name, color=COLORS.get(series.slot), clip_on=False, zorder=3
    )


def _draw_times(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    zone = datetime.now().astimezone().tzinfo
    locator = AutoDateLocator(tz=zone)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))  # type: ignore[no-untyped-call]
    axes.set_xlabel(f"time ({datetime.now().astimezone().tzname()})")


def label_rows(chart: MetricChart) -> list[int]:
    """The row above the picture for the label of each switch, so that near ones don't lie on each other."""
    ends = [-1.0] * LABEL_ROWS
    rows = []
    for mark in chart.switches:
        at = (mark.at - chart.start_at) / (chart.end_at - chart.start_at)
        half = len(mark.label) * LETTER_SHARE / 2
        # When all are taken, the one that is free the soonest.
        row = next((row for row, end in enumerate(ends) if end <= at - half), ends.index(min(ends)))
        ends[row] = at + half
        rows.append(row)
    return rows


def _draw_switches(axes: Axes, chart: MetricChart, rows: Sequence[int]) -> None:
    for mark, row in zip(chart.switches, rows, strict=True):
        at = _moment(mark.at)
        axes.axvline(at, color="0.35", linestyle="--", linewidth=1)
        axes.annotate(
            mark.label,
            (at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3 + 11 * row),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            color="0.25",
        )


def _scale(chart: MetricChart) -> tuple[float, str]:
    """What values are multiplied by, and the unit they have then."""
    if chart.unit.startswith("share"):
        return 100.0, chart.unit.replace("share of", "percent of", 1).replace(", 0 to 1", "")
    if chart.unit.startswith("bytes"):
        most = max(point.value or 0.0 for series in chart.series for point in series.points)
        size, name = size_unit(most)
        return 1 / size, chart.unit.replace("bytes", name, 1)
    return 1.0, chart.unit


def _moment(epoch_seconds: float) -> float:
    """As matplotlib counts: days since the epoch."""
    return epoch_seconds / 86_400
