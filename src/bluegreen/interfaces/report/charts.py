"""Charts as inline SVG, coloured by the page's style sheet. See docs/decisions/0031 for why there is no library."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bluegreen.interfaces.report.markup import Markup, joined, tag

WIDTH, HEIGHT = 900, 230
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 26
LABEL_WIDTH = 74
"""Marks that are closer to each other than this have their labels on two lines."""


@dataclass(frozen=True, slots=True)
class Line:
    """`values` are of steps of `step` seconds that end at `end`; None is a gap. `style` names its colour."""

    name: str
    style: str
    end: float
    step: float
    values: Sequence[float | None]

    def steps(self) -> list[tuple[float, float, float | None]]:
        """Begin, end and value of each step."""
        count = len(self.values)
        edges = [self.end - self.step * (count - position) for position in range(count + 1)]
        return [(begin, end, value) for (begin, end), value in zip(pairwise(edges), self.values, strict=True)]


@dataclass(frozen=True, slots=True)
class Mark:
    at: float
    label: str
    style: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`limit` is drawn as a dashed line with this name. `least_top` is the least that the axis ends at."""

    title: str
    description: str
    lines: Sequence[Line]
    marks: Sequence[Mark]
    start: float
    end: float
    value_text: Callable[[float], str]
    time_text: Callable[[float], str]
    limit: tuple[float, str] | None = None
    least_top: float = 1.0


def draw(chart: Chart) -> Markup:
    highest = max((value for line in chart.lines for value in line.values if value is not None), default=0.0)
    top = nice_top(max(1.02 * highest, chart.least_top, 1.25 * chart.limit[0] if chart.limit else 0.0))
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    seconds = max(chart.end - chart.start, 1e-9)

    def x(at: float) -> float:
        return round(LEFT + width * min(1.0, max(0.0, (at - chart.start) / seconds)), 1)

    def y(value: float) -> float:
        return round(TOP + height * (1.0 - min(1.0, max(0.0, value / top))), 1)

    return tag(
        "svg",
        tag("title", chart.title),
        tag("desc", chart.description),
        _grid(chart, top, y),
        _clock(chart, x),
        _limit(chart, y),
        (_path(line, chart, x, y) for line in chart.lines),
        _marks(chart, x),
        role="img",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        class_="chart",
    )


def nice_top(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 or 10 times a power of ten: its quarters are short to write."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0) if power * step >= value * (1 - 1e-9))


def _grid(chart: Chart, top: float, y: Callable[[float], float]) -> Markup:
    parts = []
    for quarter in range(5):
        value = top * quarter / 4
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), class_="grid"))
        text = chart.value_text(value)
        parts.append(tag("text", text, x=LEFT - 8, y=y(value) + 4, class_="axis", text_anchor="end"))
    return joined(parts)


def _clock(chart: Chart, x: Callable[[float], float]) -> Markup:
    parts = []
    for fifth in range(6):
        at = chart.start + (chart.end - chart.start) * fifth / 5
        anchor = "start" if fifth == 0 else "end" if fifth == 5 else "middle"
        parts.append(tag("text", chart.time_text(at), x=x(at), y=HEIGHT - 8, class_="axis", text_anchor=anchor))
    return joined(parts)


def _limit(chart: Chart, y: Callable[[float], float]) -> Markup:
    if chart.limit is None:
        return Markup()
    value, name = chart.limit
    return joined(
        tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), class_="limit"),
        tag("text", name, x=WIDTH - RIGHT, y=y(value) - 5, class_="limit-name", text_anchor="end"),
    )


def _path(line: Line, chart: Chart, x: Callable[[float], float], y: Callable[[float], float]) -> Markup:
    """A level for each step: it is what was measured over that time, and a lonely step can be seen."""
    words, drawing = [], False
    for begin, end, value in line.steps():
        if value is None or end <= chart.start or begin >= chart.end:
            drawing = False
            continue
        words.append(f"V{y(value)}" if drawing else f"M{x(begin)} {y(value)}")
        words.append(f"H{x(end)}")
        drawing = True
    return tag("path", d=" ".join(words), class_=f"line {line.style}") if words else Markup()


def _marks(chart: Chart, x: Callable[[float], float]) -> Markup:
    parts: list[Markup] = []
    last, row = -math.inf, 0
    for mark in sorted(chart.marks, key=lambda mark: mark.at):
        if not chart.start <= mark.at <= chart.end:
            continue
        place = x(mark.at)
        row = 1 - row if place - last < LABEL_WIDTH else 0
        last = place
        parts.append(tag("line", x1=place, x2=place, y1=TOP - 4, y2=HEIGHT - BOTTOM, class_=f"mark {mark.style}"))
        parts.append(tag("text", mark.label, x=place + 4, y=11 + 14 * row, class_=f"mark-name {mark.style}"))
    return joined(parts)
