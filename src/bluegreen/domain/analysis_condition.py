"""What a query's result must be: `result < 0.05`, `result >= 0.9 and result <= 1.1`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from bluegreen.domain.alert_rules import OPERATORS
from bluegreen.domain.errors import UsageError

MAX_CHARACTERS = 200
_EXAMPLE = "Write result OPERATOR NUMBER, such as result < 0.05 or result >= 99.5%; several with `and` between"
_PART = re.compile(
    r"\s*result\s*(>=|<=|==|!=|>|<)\s*([+-]?[0-9]{1,15}(?:\.[0-9]{1,12})?(?:e[+-]?[0-9]{1,2})?)\s*(%?)\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Comparison:
    operator: str
    threshold: float

    def holds(self, value: float) -> bool:
        return OPERATORS[self.operator](value, self.threshold)

    def __str__(self) -> str:
        return f"result {self.operator} {self.threshold!r}".removesuffix(".0")


@dataclass(frozen=True, slots=True)
class ResultCondition:
    """Every part must hold. Written as text it can be parsed again."""

    parts: tuple[Comparison, ...]

    def holds(self, value: float) -> bool:
        return all(part.holds(value) for part in self.parts)

    def __str__(self) -> str:
        return " and ".join(map(str, self.parts))


def parse_result_condition(text: str) -> ResultCondition:
    """Raises UsageError; its message goes behind the key's path."""
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"has at most {MAX_CHARACTERS} characters, got {len(text)}", hint=_EXAMPLE)
    parts = re.split(r"(?<=[\s0-9%])and(?=\s)", text, flags=re.IGNORECASE)
    condition = ResultCondition(tuple(_comparison(part, text) for part in parts))
    if not _can_hold(condition):
        raise UsageError(f"{text!r} can never hold", hint=_EXAMPLE)
    return condition


def _can_hold(condition: ResultCondition) -> bool:
    """Whether some number meets it: if any does, then one at, just below or just above a threshold does."""
    thresholds = [part.threshold for part in condition.parts]
    return any(
        condition.holds(number)
        for threshold in thresholds
        for number in (math.nextafter(threshold, -math.inf), threshold, math.nextafter(threshold, math.inf))
    )


def _comparison(part: str, text: str) -> Comparison:
    matched = _PART.fullmatch(part)
    if matched is None:
        raise UsageError(f"{text!r} is not understood", hint=_EXAMPLE)
    operator, number, percent = matched.groups()
    return Comparison(operator, float(number) / (100 if percent else 1))
