"""Is green good enough? Pass, fail or inconclusive, each with the numbers behind it and one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from bluegreen.domain.sequential import Counted, bound, divergence, surely_more
from bluegreen.domain.service import Policy
from bluegreen.domain.watch import Test, Watch


class Answer(StrEnum):
    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


WORST_FIRST = (Answer.FAIL, Answer.INCONCLUSIVE, Answer.PASS)
HOPELESS_SHARE = 0.5
"""A version of whose requests so many fail does not pass for the reason that the old one was as bad."""
LUCK = 0.05
"""More errors than blue's record shows may be luck with this probability at least."""
UNREAD_SECONDS = 5.0
"""Older counters than this, and than some looks, say nothing about now."""
UNREAD_LOOKS = 3
SUSPICION = 0.5
"""A version against which this share of the evidence for a rollback stands is not passed yet."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`measurement` says what was looked at: errors, latency, health, restarts, or the name of an analysis.

    `requests` and `events` are green's, `share` is events per request; `limit` is what is accepted, `other_share`
    what blue had. `evidence` is the logarithm of the e-value, `bound` where it would have been a failure;
    both are None where no test was made. `needed_requests` are still missing to tell, about.
    """

    answer: Answer
    reason: str
    measurement: str = ""
    requests: int = 0
    events: int = 0
    limit: float | None = None
    other_share: float | None = None
    evidence: float | None = None
    bound: float | None = None
    needed_requests: int | None = None
    value: float | None = None
    """What an analysis found."""
    forgiven: float = 0.0
    """Of `bound`: what another of the old version's own bad moments would be."""

    @property
    def share(self) -> float | None:
        """0 to 1; None without requests, for no requests is not an error rate of zero."""
        return self.events / self.requests if self.requests else None


def combined(verdicts: Sequence[Verdict]) -> Verdict:
    """The worst answer wins; of equally bad ones the first. Raises ValueError for none: nothing was looked at."""
    return min(verdicts, key=lambda verdict: WORST_FIRST.index(verdict.answer))


def judge_errors(watch: Watch | None, policy: Policy, whose: str = "the new version") -> Verdict:
    """Of the share of requests that failed. Missing numbers and too few requests never pass."""
    if watch is None:
        return Verdict(Answer.INCONCLUSIVE, "no reading of the router's counters yet", "errors")
    by = watch.yardstick
    limit = by.error_limit_at(concurrent=watch.concurrent)
    broken = f", {watch.seen.truncated} of them by breaking off in the middle" if watch.seen.truncated else ""
    question = _Question(
        measurement="errors",
        what=f"failed{broken}",
        whose=whose,
        limit=limit,
        probability=by.probability,
        blue_share=by.blue_error_share,
        accepted=limit if by.allowed_errors is None else by.allowed_errors,
        excused=limit if by.excused_errors is None else by.excused_errors,
        unrest=by.error_unrest,
    )
    return _judged(question, watch.errors, watch, policy)


def judge_latency(watch: Watch | None, policy: Policy, whose: str = "the new version") -> Verdict | None:
    """Of the share of slow requests; None when latency is not limited."""
    if watch is None or watch.yardstick.slow_milliseconds is None:
        return None
    by = watch.yardstick
    limit = by.slow_milliseconds
    assert limit is not None, "checked above"
    question = _Question(
        measurement="latency",
        what=f"took longer than {limit:g} ms",
        whose=whose,
        limit=by.slow_limit,
        probability=by.probability,
        blue_share=None,
        accepted=by.slow_limit if by.excused_slowness is None else 1.0 - policy.latency_quantile,
        excused=by.slow_limit if by.excused_slowness is None else by.excused_slowness,
        unrest=by.slow_unrest,
    )
    return _judged(question, watch.slow, watch, policy)


@dataclass(frozen=True, slots=True)
class _Question:
    measurement: str
    what: str
    whose: str
    limit: float
    probability: float
    blue_share: float | None
    """Blue's share before the switch, when it is known."""
    accepted: float
    """Up to this share green passes, whatever blue did."""
    excused: float
    """Up to this share, or a little more by luck, it passes because blue was surely as bad."""
    unrest: float
    """Evidence that the old version's worst moment would be, when that is more than luck; else 0."""

    def passes(self, counted: Counted) -> bool:
        share = counted.share or 0.0
        if share <= self.accepted or self.excused <= self.accepted:
            return share <= self.accepted
        return share < HOPELESS_SHARE and not surely_more(counted, self.excused, LUCK)

    def told(self, counted: Counted) -> str:
        share = counted.share or 0.0
        return f"{counted.events} of {counted.requests} requests to {self.whose} {self.what} ({share:.2%}"


def _judged(question: _Question, test: Test, watch: Watch, policy: Policy) -> Verdict:
    compared = watch.concurrent
    evidence = test.value(question.limit, concurrent=compared)
    other = test.other.share if compared else question.blue_share
    # Beside the old version each moment is compared with its own; alone, with the worst that it had.
    forgiven = 0.0 if compared else question.unrest
    needed_evidence = bound(question.probability) + forgiven
    before = _beside(other, compared=compared, restless=forgiven > 0.0)
    told = f"{question.told(test.mine)}, allowed {question.limit:.2%}{before})"

    def verdict(answer: Answer, reason: str, needed: int | None = None) -> Verdict:
        return Verdict(
            answer,
            reason,
            question.measurement,
            test.mine.requests,
            test.mine.events,
            question.limit,
            other,
            round(evidence, 3),
            round(needed_evidence, 3),
            needed,
            forgiven=round(forgiven, 3),
        )

    share = test.mine.share
    if question.limit == 0.0 and test.mine.events and not compared:
        return verdict(Answer.FAIL, told)
    if evidence >= needed_evidence:
        return verdict(Answer.FAIL, f"{told}; chance of this by luck < {_luck(evidence - forgiven)}")
    if watch.unread_seconds > max(UNREAD_SECONDS, UNREAD_LOOKS * policy.poll_seconds):
        # It was well then. What happens now nobody knows, and that never passes.
        unread = f"the router's counters can't be read for {watch.unread_seconds:.0f} s"
        return verdict(Answer.INCONCLUSIVE, f"{unread}; until then {told}")
    missing = policy.min_requests - min(test.mine.requests, watch.requests_in_step)
    if missing > 0 or share is None:
        missing = max(1, missing)
        reason = f"{watch.requests_in_step} requests to {question.whose} so far, {missing} more are needed to tell"
        return verdict(Answer.INCONCLUSIVE, reason + _duration(missing, watch.rate), missing)
    suspicious = evidence >= SUSPICION * needed_evidence
    both = compared and other is not None and other > question.limit
    if (share <= question.limit or both) and not suspicious:
        if question.passes(test.mine):
            return verdict(Answer.PASS, told)
        unsure = "it is not sure that the old version was as bad"
        blameless = "both sides are affected, and the new version is not to blame"
        return verdict(Answer.INCONCLUSIVE, f"{told}: {blameless if both else unsure}")
    more = _more_needed(share, question, needed_evidence - evidence)
    return verdict(Answer.INCONCLUSIVE, f"{told}: it may be luck{_still(more, watch.rate)}", more)


def _beside(other: float | None, *, compared: bool, restless: bool) -> str:
    if other is None:
        return ""
    when = " at the same time" if compared else " before, at times far more" if restless else " before"
    return f", the old version {other:.2%}{when}"


def _luck(evidence: float) -> str:
    """The e-value as a chance, rounded up to one digit, never below one in a million."""
    chance = max(1e-6, math.exp(-evidence))
    digit = 10.0 ** math.floor(math.log10(chance))
    return f"{math.ceil(chance / digit - 1e-9) * digit:.6f}".rstrip("0")


def _more_needed(share: float, question: _Question, missing_evidence: float) -> int | None:
    """Requests until the evidence suffices if they go on like this; None when they would tell nothing."""
    told = divergence(share, question.limit) if share > question.limit else 0.0
    return math.ceil(missing_evidence / told) if told > 0.0 and math.isfinite(told) else None


def _still(requests: int | None, rate: float) -> str:
    return "" if requests is None else f", about {requests} more requests will tell{_duration(requests, rate)}"


def _duration(requests: int, rate: float) -> str:
    """` (about 40 s at 5 requests/s)`; nothing while no rate is known."""
    if rate <= 0.0:
        return ""
    seconds = requests / rate
    time = f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min" if seconds < 36_000 else "hours"
    return f" (about {time} at {rate:.3g} requests/s)"
