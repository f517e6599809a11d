"""The Prometheus text format 0.0.4."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, zip_longest

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Family:
    """One metric, its samples as lines. They are written when they are added, so that thousands of them can be added a
    few at a time, while others get their turn. `labels` are texts of `label_text`."""

    name: str
    kind: str
    help: str
    lines: list[str] = field(default_factory=list)

    def add(self, value: float, *labels: str) -> None:
        self.lines.append(f"{self.name}{_braced(labels)} {number(value)}\n")

    def add_histogram(self, edges: Sequence[float], counts: Sequence[int], *labels: str) -> None:
        """`counts` are those of each bucket alone; bucket `i` ends with `edges[i]`, one more is above all edges. There
        is no `_sum` unless something measured it."""
        bounds = [*map(repr, map(float, edges)), "+Inf"]
        totals = list(accumulate(counts[: len(bounds)])) or [0]
        start = f"{self.name}_bucket{{{','.join((*labels, 'le='))}"
        for bound, total in zip_longest(bounds, totals, fillvalue=totals[-1]):
            self.lines.append(f'{start}"{bound}"}} {total}\n')
        self.lines.append(f"{self.name}_count{_braced(labels)} {totals[-1]}\n")


def _braced(labels: Sequence[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""


def label_text(**labels: str) -> str:
    """`service="app",slot="blue"`."""
    return ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())


def render(families: Iterable[Family]) -> str:
    """Families without samples are left out: what is not known is missing, never zero."""
    return "".join(line for family in families if family.lines for line in (_head(family), *family.lines))


def _head(family: Family) -> str:
    help_text = family.help.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {family.name} {help_text}\n# TYPE {family.name} {family.kind}\n"


def escaped(text: str) -> str:
    """A label's value as it stands between its quotes. Lone surrogates can't be sent and become question marks."""
    clean = text.encode("utf-8", "replace").decode()
    return clean.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
