"""A metric's values as people read them, by the unit that the daemon tells. Without rich: it costs nothing to load."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from bluegreen.interfaces.cli.output import duration

BARS = "▁▂▃▄▅▆▇█"
GAP = "·"
_SIZES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def size_unit(most_bytes: float) -> tuple[float, str]:
    """The unit in which a number of bytes is short, and how many bytes it has."""
    return next(((float(size), name) for size, name in _SIZES if most_bytes >= size), (1.0, "B"))


def written(value: float | None, unit: str) -> str:
    """`-` for what was not measured."""
    if value is None:
        return "-"
    if unit.startswith("share"):
        return f"{value:.2%}".replace("%", " %")
    if unit.startswith("bytes"):
        size, name = size_unit(value)
        return f"{value / size:.1f} {name}" if size > 1 else f"{value:.0f} B"
    if unit.startswith("milliseconds"):
        return written(value / 1000, "seconds")
    if unit.startswith("seconds"):
        return f"{value * 1000:.3g} ms" if 0 < value < 1 else duration(value)
    if unit.startswith("cores"):
        return f"{value:.3f}"
    return f"{value:.0f}" if value == int(value) and "per second" not in unit else f"{value:.2f}"


def thinned(values: Sequence[float | None], width: int) -> list[float | None]:
    """At most `width` values: of several the largest, so that no peak is lost. None where nothing was measured."""
    if len(values) <= width:
        return list(values)
    edges = [round(number * len(values) / width) for number in range(width + 1)]
    groups = [[value for value in values[a:b] if value is not None] for a, b in pairwise(edges)]
    return [max(group, default=None) for group in groups]


def sparkline(values: Sequence[float | None], top: float) -> str:
    """From 0 to `top`; a dot where nothing was measured."""
    if top <= 0:
        return "".join(GAP if value is None else BARS[0] for value in values)
    steps = len(BARS) - 1
    return "".join(GAP if v is None else BARS[round(min(v, top) / top * steps)] for v in values)
