"""What green did since the switch, folded reading by reading into counts and evidence. Pure: time is an argument."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bluegreen.domain.arrivals import Arrivals, Second
from bluegreen.domain.baseline import Baseline
from bluegreen.domain.latency import EDGES_MILLISECONDS, edge_at_least, slower_than, slowest
from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.sequential import Counted, Evidence, gains_against_other
from bluegreen.domain.service import Policy


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What green is measured by, fixed when the watch begins.

    `slow_milliseconds` is None when latency is not judged. `probability` is the chance that one test blames a good
    green; the tests of a deployment share what its policy allows.
    """

    error_limit: float
    slow_milliseconds: float | None = None
    slow_limit: float = 0.01
    probability: float = 0.001
    blue_error_share: float | None = None
    allowed_errors: float | None = None
    """The limit while both sides get traffic: what hits both is seen there, and needs no record. None: the same."""
    error_unrest: float = 0.0
    slow_unrest: float = 0.0
    """Evidence that is forgiven while green is alone: the old version's own worst moments would be as much."""
    excused_errors: float | None = None
    excused_slowness: float | None = None
    """Up to which share green may pass; None: up to the limit."""

    def error_limit_at(self, *, concurrent: bool) -> float:
        return self.allowed_errors if concurrent and self.allowed_errors is not None else self.error_limit


def yardstick(policy: Policy, baseline: Baseline | None, *, concurrent: bool) -> Yardstick:
    """`concurrent` is whether the strategy has steps on which both sides get traffic."""
    record = baseline or Baseline()
    allowed_slowness = 1.0 - policy.latency_quantile
    slow_milliseconds, slow_limit, excused_slowness = None, allowed_slowness, allowed_slowness
    if policy.max_latency_ms is not None:
        slow_milliseconds = edge_at_least(policy.max_latency_ms)
    elif policy.max_latency_increase is not None:
        relative = record.slow_limit(slow_limit, policy.max_latency_increase, policy.min_requests)
        if relative is not None:
            slow_milliseconds, slow_limit = relative
            excused_slowness = record.excused_slowness(slow_milliseconds, allowed_slowness, policy.min_requests)
    tests = (2 if concurrent else 1) * (1 if slow_milliseconds is None else 2)
    probability = policy.false_rollback_probability / tests
    error_limit = record.error_limit(policy.max_error_rate, policy.min_requests)
    return Yardstick(
        error_limit=error_limit,
        slow_milliseconds=slow_milliseconds,
        slow_limit=slow_limit,
        probability=probability,
        error_unrest=record.error_unrest(error_limit, probability),
        slow_unrest=record.slow_unrest(slow_milliseconds, slow_limit, probability) if slow_milliseconds else 0.0,
        blue_error_share=record.error_share(policy.min_requests),
        allowed_errors=policy.max_error_rate,
        excused_errors=record.excused_errors(policy.max_error_rate, policy.min_requests),
        excused_slowness=excused_slowness,
    )


@dataclass(frozen=True, slots=True)
class Test:
    """One question about green, `errors` or `slow`: its counts, and the evidence that speaks against green.

    `alone` is the evidence against the limit; `beside` the one against blue, while both get traffic.
    """

    mine: Counted = Counted()
    other: Counted = Counted()
    alone: Arrivals = Arrivals()
    beside: Evidence = Evidence()

    def after(self, asked: Asked, limit: float, seconds: float, *, concurrent: bool = False) -> Test:
        counted = replace(
            self,
            mine=self.mine.plus(asked.mine),
            other=self.other.plus(asked.other),
            alone=self.alone.after(asked.mine, asked.came, seconds, limit, asked.in_flight),
        )
        if not concurrent or asked.mixed:
            return counted
        return replace(counted, beside=self.beside.after(gains_against_other(asked.mine, asked.other), seconds))

    def value(self, limit: float, *, concurrent: bool = False) -> float:
        """The evidence against green. While both sides get traffic, green must be beyond the limit and worse than blue:
        what is allowed is no reason, and neither is what hits both."""
        if not concurrent:
            return self.alone.value(limit)
        return self.beside.value if limit == 0.0 else min(self.alone.value(limit), self.beside.value)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one reading says to a test. `came` has the events of `mine` by the earliest second in which their requests
    can have come, `in_flight` those that wait for an answer: failed ones often come at once and good ones after seconds
    of work, and right after a switch the few that are there are no fair sample. (Slow answers come last: for them
    nobody waits.) `mixed` requests came partly with another share of the traffic: events that hit both sides alike
    would look like those of the side that had more just then, so that they compare nothing."""

    mine: Counted
    other: Counted
    came: Mapping[int, int]
    in_flight: int = 0
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """Since the first switch of a deployment. `seen` and `seen_blue` are the last readings of the router's counters."""

    yardstick: Yardstick
    errors: Test = Test()
    slow: Test = Test()
    seconds: float = 0.0
    concurrent: bool = False
    seen: SlotTraffic = SlotTraffic()
    seen_blue: SlotTraffic | None = None
    before_step: int = 0
    """Requests to green before the step that is being watched."""
    mixed: bool = False
    """The next reading has requests of this step and of the one before."""
    unread_seconds: float = 0.0
    """How long ago the counters were read last."""

    @property
    def requests_in_step(self) -> int:
        return max(0, self.errors.mine.requests - self.before_step)

    @property
    def rate(self) -> float:
        """Requests to green per second since the watch began; 0 when none came."""
        return self.errors.mine.requests / self.seconds if self.seconds > 0 else 0.0

    def next_step(self, by: Yardstick | None = None) -> Watch:
        """From here on another share of the traffic is watched, by another yardstick if there is one. What was counted
        as slow by another limit tells nothing about this one."""
        by = by or self.yardstick
        slow = self.slow if by.slow_milliseconds == self.yardstick.slow_milliseconds else Test()
        return replace(self, yardstick=by, slow=slow, before_step=self.errors.mine.requests, mixed=True)

    def resumed(self, by: Yardstick, green: SlotTraffic, blue: SlotTraffic | None) -> Watch:
        """After a time in which nobody counted: these are the counters now, and only what comes after them is new."""
        slow = self.slow if by.slow_milliseconds == self.yardstick.slow_milliseconds else Test()
        return replace(self, yardstick=by, slow=slow, seen=green, seen_blue=blue, mixed=False)

    def after(self, seconds: float, green: SlotTraffic, blue: SlotTraffic | None, *, concurrent: bool) -> Watch:
        """`seconds` since the watch began, `green` and `blue` the counters as they are now. The first reading of green
        counts whole, for before the switch it had no traffic; that of blue counts from here on."""
        mine = grown(self.seen, green)
        other = SlotTraffic()
        if blue is not None and self.seen_blue is not None:
            other = grown(self.seen_blue, blue)
        seconds = max(self.seconds, seconds)
        by = self.yardstick
        errors, slow = self.errors, self.slow
        if self.concurrent and not concurrent:
            # What hit both sides was no reason to roll back, and is none now that green is alone.
            waiting = self.seen.in_flight
            errors = replace(errors, alone=Arrivals(last=Second(0, in_flight=waiting), waited=waiting))
            slow = replace(slow, alone=Arrivals())
        failed = Counted(mine.requests, mine.errors), Counted(other.requests, other.errors)
        error_limit = by.error_limit_at(concurrent=concurrent)
        asked = self._asked(mine, *failed, green.in_flight, mine.truncated)
        errors = errors.after(asked, error_limit, seconds, concurrent=concurrent)
        if by.slow_milliseconds is not None:
            lasted = _slow(mine, by.slow_milliseconds), _slow(other, by.slow_milliseconds)
            slow = slow.after(self._asked(mine, *lasted), by.slow_limit, seconds, concurrent=concurrent)
        return replace(
            self,
            errors=errors,
            slow=slow,
            seconds=seconds,
            concurrent=concurrent,
            seen=green,
            seen_blue=blue,
            mixed=False,
        )

    def _asked(
        self, traffic: SlotTraffic, mine: Counted, other: Counted, in_flight: int = 0, truncated: int = 0
    ) -> Asked:
        """Which of the answers the events were is not known: the slowest, to be safe. They came after the last reading,
        less what they took. How long those took that broke off is not known, so `came` does not have them; their heads
        were counted as good answers before."""
        came: dict[int, int] = {}
        dated = mine.events - min(truncated, mine.events)
        slow_ones = slowest(traffic.latency, dated)
        if rest := dated - sum(slow_ones):
            came[int(self.seconds)] = rest
        for events, milliseconds in zip(slow_ones, EDGES_MILLISECONDS, strict=False):
            second = int(max(0.0, self.seconds - milliseconds / 1000))
            if events:
                came[second] = came.get(second, 0) + events
        return Asked(mine, other, came, in_flight, self.mixed)


def _slow(counted: SlotTraffic, milliseconds: float) -> Counted:
    if math.isinf(milliseconds):
        return Counted(sum(counted.latency), 0)
    return Counted(sum(counted.latency), slower_than(counted.latency, milliseconds))


def grown(before: SlotTraffic, after: SlotTraffic) -> SlotTraffic:
    """What came between two readings. A counter that is smaller than before began anew: the whole of it is new."""
    if after.requests < before.requests or after.errors < before.errors:
        before = SlotTraffic()
    older = before.latency or (0,) * len(after.latency)
    return SlotTraffic(
        requests=after.requests - before.requests,
        errors=after.errors - before.errors,
        truncated=max(0, after.truncated - before.truncated),
        latency=tuple(max(0, new - old) for old, new in zip(older, after.latency, strict=False)),
    )
