"""Is green good enough? Counted requests in, pass, fail or inconclusive out, with the numbers behind it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.service import Policy


class Answer(StrEnum):
    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    answer: Answer
    reason: str
    requests: int = 0
    errors: int = 0

    @property
    def error_rate(self) -> float | None:
        """Share from 0 to 1; None without requests, for no requests is not an error rate of zero."""
        return self.errors / self.requests if self.requests else None


def judge_traffic(traffic: SlotTraffic | None, policy: Policy, whose: str = "the new version") -> Verdict:
    """Compares the share of errors with `max_error_rate` once `min_requests` were counted.

    Missing numbers and too few requests are inconclusive, whatever the rate.
    """
    if traffic is None:
        return Verdict(Answer.INCONCLUSIVE, "no reading of the router's counters yet")
    requests, errors = traffic.requests, traffic.errors
    if requests < policy.min_requests:
        missing = policy.min_requests - requests
        reason = f"{requests} requests to {whose} so far, {missing} more are needed to tell"
        return Verdict(Answer.INCONCLUSIVE, reason, requests, errors)
    share = errors / requests
    reason = f"{errors} of {requests} requests to {whose} failed ({share:.2%}, allowed {policy.max_error_rate:.2%})"
    return Verdict(Answer.FAIL if share > policy.max_error_rate else Answer.PASS, reason, requests, errors)
