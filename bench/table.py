"""What a figure says: rows with what was measured, the target and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

COLUMNS = ("figure", "measured", "target", "result", "verdict")


@dataclass(frozen=True, slots=True)
class Row:
    """`met` None means that there is nothing to judge: a number that explains another, or one that could not
    be had, which `result` then says."""

    name: str
    measured: str
    target: str
    result: str
    met: bool | None = None

    @property
    def verdict(self) -> str:
        if self.met is None:
            return "-" if self.target == "" else "not measured"
        return "met" if self.met else "MISSED"


def information(name: str, measured: str, result: str) -> Row:
    """A number without a target."""
    return Row(name, measured, "", result)


def unavailable(name: str, measured: str, target: str, reason: str) -> Row:
    return Row(name, measured, target, f"not available: {reason}")


def render(title: str, rows: Sequence[Row]) -> str:
    lines = [COLUMNS, *((row.name, row.measured, row.target, row.result, row.verdict) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    written = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([title, written[0], rule, *written[1:]])


def percentile(values: Sequence[float], percent: float) -> float:
    """Of at least one value; the nearest rank."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def median(values: Sequence[float]) -> float:
    return percentile(values, 50)
