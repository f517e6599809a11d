"""The Prometheus text format 0.0.4."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, zip_longest

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Family:
    """One metric with its samples: a suffix of the name, labels and a value each."""

    name: str
    kind: str
    help: str
    samples: list[tuple[str, Mapping[str, str], float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> None:
        self.samples.append(("", labels, value))

    def add_histogram(self, edges: Sequence[float], counts: Sequence[int], **labels: str) -> None:
        """`counts` are those of each bucket alone; bucket `i` ends with `edges[i]`, one more is above all edges. There
        is no `_sum` unless something measured it."""
        bounds = [*map(repr, map(float, edges)), "+Inf"]
        buckets = zip_longest(bounds, counts[: len(bounds)], fillvalue=0)
        total = 0
        for bound, total in zip(bounds, accumulate(count for _, count in buckets), strict=True):
            self.samples.append(("_bucket", {**labels, "le": bound}, total))
        self.samples.append(("_count", labels, total))


def render(families: Iterable[Family]) -> str:
    """Families without samples are left out: what is not known is missing, never zero."""
    return "".join(line + "\n" for family in families if family.samples for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    help_text = family.help.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {family.name} {help_text}"
    yield f"# TYPE {family.name} {family.kind}"
    for suffix, labels, value in family.samples:
        listing = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())
        yield f"{family.name}{suffix}{f'{{{listing}}}' if listing else ''} {number(value)}"


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
