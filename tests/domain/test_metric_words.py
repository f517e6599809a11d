"""A metric's values, its course as bars and the labels of switches, without a daemon."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bluegreen.interfaces.cli.metric_plot import LABEL_ROWS, label_rows
from bluegreen.interfaces.cli.metric_series import MetricChart, MetricPoint, MetricSeries, MetricSummary, SwitchMark
from bluegreen.interfaces.cli.metric_tables import chart_screen, write_csv
from bluegreen.interfaces.cli.metric_values import BARS, GAP, sparkline, thinned, written

VALUES = st.lists(st.none() | st.floats(0, 1e12), max_size=300)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "requests per second", "-"),
        (0.0512, "share of requests, 0 to 1", "5.12 %"),
        (92.0, "requests per second", "92.00"),
        (3.0, "restarts since the workload began", "3"),
        (512.0, "bytes of memory", "512 B"),
        (1.5 * 2**30, "bytes of memory", "1.5 GiB"),
        (0.0123, "seconds", "12.3 ms"),
        (7322.0, "seconds", "2 h 2 min"),
        (250.0, "milliseconds", "250 ms"),
        (1.25, "cores", "1.250"),
    ],
)
def test_values_are_written_by_their_unit(value: float | None, unit: str, text: str) -> None:
    assert written(value, unit) == text


@given(VALUES, st.integers(1, 60))
def test_a_course_has_no_more_bars_than_fit_and_loses_no_peak(values: list[float | None], width: int) -> None:
    thin = thinned(values, width)
    assert len(thin) == min(len(values), width)
    assert max(filter(None, thin), default=None) == max(filter(None, values), default=None)


@given(VALUES, st.floats(0, 1e12))
def test_a_bar_for_each_value_and_a_dot_for_each_gap(values: list[float | None], top: float) -> None:
    bars = sparkline(values, top)
    assert [bar == GAP for bar in bars] == [value is None for value in values]
    assert set(bars) <= {*BARS, GAP}


def test_zero_is_the_lowest_bar_and_the_top_the_highest() -> None:
    assert sparkline([0.0, None, 5.0, 10.0], 10.0) == "▁·▅█"
    assert sparkline([0.0, None], 0.0) == "▁·"


def series(slot: str, *values: float | None, service: str = "shop") -> MetricSeries:
    known = [value for value in values if value is not None]
    summary = MetricSummary(min(known), max(known), sum(known) / len(known), known[-1]) if known else EMPTY
    points = tuple(MetricPoint(1000.0 + 10 * number, value) for number, value in enumerate(values, 1))
    return MetricSeries(service, slot, (f"{service}-{slot}-1",), points, summary)


EMPTY = MetricSummary(None, None, None, None)
SWITCH = SwitchMark(1025.0, "shop-abc", {"green": 100, "blue": 0}, {"green": "v2", "blue": "v1"})


def chart(
    *lines: MetricSeries, switches: tuple[SwitchMark, ...] = (), unit: str = "requests per second"
) -> MetricChart:
    count = len(lines[0].points)
    return MetricChart("request_rate", unit, 1000.0, 1000.0 + 10 * count, 10.0, lines, switches)


def screen(shown: MetricChart) -> str:
    console = Console(width=160, file=io.StringIO(), color_system=None)
    console.print(chart_screen(shown))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_the_screen_marks_the_switch_in_its_step_and_below_the_course() -> None:
    text = screen(chart(series("blue", 80, 80, 40, 0), series("green", None, None, 40, 80), switches=(SWITCH,)))
    (row,) = [line for line in text.splitlines() if line.count("40.00") == 2]
    assert row.endswith("▲ 100 % to green (v2)")
    lines = {line.split()[0]: line for line in text.splitlines() if line.split()}
    assert "██▅▁" in lines["blue"] and "··▅█" in lines["green"]
    assert lines["traffic"].index("▲") - lines["green"].index("··▅█") == 2


def test_a_long_silence_is_told_in_one_line() -> None:
    text = screen(chart(series("blue", *[None] * 30, 5.0, None, 5.0)))
    assert "28 more without a value" in text
    assert text.count("5.00") >= 2
    assert len(text.splitlines()) < 18


def test_many_series_have_no_points_side_by_side_but_their_summaries() -> None:
    text = screen(chart(*(series("", 1.0, 2.0, service=f"shop{number}") for number in range(10))))
    assert "points of 10 series: --csv" in text
    assert all(f"shop{number} " in text for number in range(10))


def test_csv_has_an_empty_cell_for_a_gap_and_every_digit() -> None:
    to = io.StringIO()
    write_csv(chart(series("blue", 1 / 3, None), series("green", None, 2.0)), to)
    assert to.getvalue().splitlines() == [
        "time,shop blue,shop green",
        "1970-01-01T00:16:50.000Z,0.3333333333333333,",
        "1970-01-01T00:17:00.000Z,,2.0",
    ]


@given(st.lists(st.floats(1000, 1600), max_size=20))
def test_labels_of_switches_have_rows_and_far_ones_the_first(moments: list[float]) -> None:
    marks = tuple(SwitchMark(at, "d", {"green": 100}, {"green": "v2"}) for at in sorted(moments))
    rows = label_rows(chart(series("blue", *[1.0] * 60), switches=marks))
    assert len(rows) == len(marks)
    assert all(0 <= row < LABEL_ROWS for row in rows)
    far = all(after - before > 100 for before, after in zip(sorted(moments), sorted(moments)[1:], strict=False))
    assert not far or set(rows) <= {0}
