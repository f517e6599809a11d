"""A service's own questions about green while it is watched: PromQL, commands, smoke tests once more.

Each answer is pass, fail or inconclusive. Whatever is no clear answer (no data, not a number, nobody who answers) is
inconclusive, with a sentence that says what to do; it never passes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bluegreen.domain.analysis_condition import ResultCondition
from bluegreen.domain.service import Analysis, ServiceSpec
from bluegreen.domain.verdict import Answer, Verdict

STALE_INTERVALS = 3
"""An answer that is older than this many intervals tells nothing any more."""
SMOKE_FAILURE_LIMIT = 2
"""Rounds: a replica that crashes once and is restarted may be asked in between, and `max_restarts` allows for that."""
_MAX_LABELS_SHOWN = 200


def questions(spec: ServiceSpec) -> tuple[Analysis, ...]:
    """What is asked about green while it is watched: the service's analyses, and its smoke tests when they repeat."""
    every = spec.policy.smoke_interval_seconds
    repeated = (
        Analysis(
            f"smoke test {test.name}",
            smoke=test.name,
            interval_seconds=every,
            timeout_seconds=test.max_seconds,
            failure_limit=SMOKE_FAILURE_LIMIT,
        )
        for test in spec.smoke
    )
    return (*spec.analyses, *(repeated if every > 0 else ()))


@dataclass(frozen=True, slots=True)
class Element:
    """One series of a query's result. `at` is the moment it is valid for, in seconds since the epoch, as its source
    says."""

    value: float
    at: float
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As PromQL writes it: `{route="/predict"}`; `result` when it has no labels."""
        pairs = ", ".join(f'{name}="{value}"' for name, value in self.labels.items() if name != "__name__")
        name = self.labels.get("__name__", "")
        shown = f"{name}{{{pairs}}}" if pairs else name
        shown = "".join(character if character.isprintable() else " " for character in shown)
        return (shown if len(shown) <= _MAX_LABELS_SHOWN else shown[: _MAX_LABELS_SHOWN - 1] + "…") or "result"


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What came of a query: elements, or in `problem` why there are none and what to do."""

    elements: tuple[Element, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended. `exit_code` is None when it did not end by itself, then `problem` says why; negative for a
    signal."""

    exit_code: int | None
    last_line: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer of one analysis: a phrase that goes behind its name, and the value that decided, if there is one."""

    answer: Answer
    phrase: str
    value: float | None = None


def judge_query(
    condition: ResultCondition, result: QueryResult, *, now: float, max_age_seconds: float = math.inf
) -> Finding:
    """Every element must meet the condition. One that does not is a failure whatever the others are; one that is no
    number, or older than `max_age_seconds` at `now` (seconds since the epoch), is neither."""
    if result.problem:
        return Finding(Answer.INCONCLUSIVE, result.problem)
    if not result.elements:
        return Finding(
            Answer.INCONCLUSIVE,
            "the query found nothing; check its labels against what is scraped, "
            "or add `or vector(0)` where nothing means zero",
        )
    unclear = [element for element in result.elements if _what_is_unclear(element, now, max_age_seconds)]
    clear = [element for element in result.elements if element not in unclear]
    broken = [element for element in clear if not condition.holds(element.value)]
    if broken:
        others = f" (and {len(broken) - 1} more of {len(result.elements)} series)" if len(broken) > 1 else ""
        told = f"{broken[0].name} is {broken[0].value:.6g}{others}, must be: {condition}"
        return Finding(Answer.FAIL, told, broken[0].value)
    if unclear:
        return Finding(Answer.INCONCLUSIVE, _what_is_unclear(unclear[0], now, max_age_seconds))
    return _passing(condition, clear)


def _what_is_unclear(element: Element, now: float, max_age_seconds: float) -> str:
    """ "" for an element that can be compared."""
    if not math.isfinite(element.value):
        text = "NaN" if math.isnan(element.value) else f"{element.value:+g}".replace("inf", "Inf")
        return (
            f"{element.name} is {text}, mostly a division by zero while there is no traffic; "
            "it clears up with traffic, or guard the divisor in the query"
        )
    if (age := now - element.at) > max_age_seconds:
        return (
            f"{element.name} is {age:.0f} s old, more than metrics.prometheus.max_sample_age_seconds "
            f"({max_age_seconds:g}); check that it still scrapes, and both clocks"
        )
    return ""


def _passing(condition: ResultCondition, elements: Sequence[Element]) -> Finding:
    if len(elements) == 1:
        (only,) = elements
        return Finding(Answer.PASS, f"{only.name} is {only.value:.6g}, as must be: {condition}", only.value)
    values = [element.value for element in elements]
    told = f"{len(values)} series from {min(values):.6g} to {max(values):.6g}, as must be: {condition}"
    return Finding(Answer.PASS, told)


def judge_command(program: str, result: CommandResult) -> Finding:
    """0 is pass, 1 is fail; anything else means that the command itself could not tell."""
    said = f": {result.last_line}" if result.last_line else ""
    if result.exit_code == 0:
        return Finding(Answer.PASS, f"{program!r} exited with 0{said}")
    if result.exit_code == 1:
        return Finding(Answer.FAIL, f"{program!r} exited with 1{said}")
    if result.exit_code is None:
        return Finding(Answer.INCONCLUSIVE, f"{program!r} {result.problem}{said}; try it by hand")
    how = f"was ended by signal {-result.exit_code}" if result.exit_code < 0 else f"exited with {result.exit_code}"
    return Finding(Answer.INCONCLUSIVE, f"{program!r} {how}{said}; only 0 (pass) and 1 (fail) are answers")


def judge_smoke(results: Sequence[tuple[bool, str]]) -> Finding:
    """Of one round over the replicas: for each whether it passed, and what was said. No replica is no answer."""
    if not results:
        return Finding(Answer.INCONCLUSIVE, "no replica listens")
    failed = [said for ok, said in results if not ok]
    if failed:
        return Finding(Answer.FAIL, f"{len(failed)} of {len(results)} replicas failed: {failed[0]}")
    return Finding(Answer.PASS, f"passed on all of {len(results)} replicas")


@dataclass(frozen=True, slots=True)
class Standing:
    """What one analysis has answered since the phase began. Times are seconds of a clock that never jumps."""

    last: Finding | None = None
    answered_at: float = 0.0
    failed_in_a_row: int = 0
    """An inconclusive answer neither adds to the row nor ends it: silence does not acquit."""
    failure: Finding | None = None
    """The last failing answer."""

    def after(self, finding: Finding, at: float) -> Standing:
        failed, failure = self.failed_in_a_row, self.failure
        if finding.answer is Answer.FAIL:
            failed, failure = failed + 1, finding
        elif finding.answer is Answer.PASS:
            failed = 0
        return Standing(finding, at, failed, failure)


def judge_analysis(analysis: Analysis, standing: Standing, now: float) -> Verdict:
    """What the answers add up to at `now`. It fails once `failure_limit` failing ones have come in a row; it passes
    while the last one does, so at least one must have come in this phase."""
    last = standing.last
    if last is None:
        return _verdict(analysis, Answer.INCONCLUSIVE, "has not answered yet")
    stale = STALE_INTERVALS * max(analysis.interval_seconds, analysis.timeout_seconds)
    if (age := now - standing.answered_at) > stale:
        told = f"last answered {age:.0f} s ago, more than {stale:g} s: {last.phrase}"
        return _verdict(analysis, Answer.INCONCLUSIVE, told, last)
    failure, row = standing.failure, standing.failed_in_a_row
    if failure is not None and row >= analysis.failure_limit:
        times = f" ({row} times in a row)" if row > 1 else ""
        return _verdict(analysis, Answer.FAIL, failure.phrase + times, failure)
    if last.answer is Answer.FAIL:
        told = f"{last.phrase} ({row} in a row, {analysis.failure_limit} make a failure)"
        return _verdict(analysis, Answer.INCONCLUSIVE, told, last)
    return _verdict(analysis, last.answer, last.phrase, last)


def _verdict(analysis: Analysis, answer: Answer, phrase: str, finding: Finding | None = None) -> Verdict:
    condition = analysis.condition
    return Verdict(
        answer,
        f"{analysis.name if analysis.smoke else f'analysis {analysis.name}'}: {phrase}",
        analysis.name,
        limit=condition.parts[0].threshold if condition is not None and len(condition.parts) == 1 else None,
        value=finding.value if finding is not None else None,
    )
