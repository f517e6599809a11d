"""What HAProxy counts of every request, and where: rules for its configuration, and what the counters mean. Pure.

A request is counted when the head of its answer passes, in one bucket of the latency histogram; their sum is the number
of requests. Every condition costs, so the rules stop soon after the bucket was found, and the fastest come first: the
slower the answers, the fewer there are to count.

`http-after-response allow` ends the rules of its section only: those of the backend (statuses) come first, then those
of the frontend (latency).
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass

from bluegreen.domain.latency import EDGES_MILLISECONDS
from bluegreen.domain.model import SlotTraffic

BUCKETS = len(EDGES_MILLISECONDS) + 1
INFORMATIONAL, REDIRECTED, REFUSED, FAILED, FAILED_RPC, IN_PLACE, HUNG_UP = range(BUCKETS, BUCKETS + 7)
"""Positions after the histogram: answers of 1xx, 3xx, 4xx and 5xx, gRPC statuses that are errors, the router's own
answers of 500 and above, and clients that hung up before the answer. 2xx, the most, are what is left of the requests:
nothing is spent on them."""
COUNTERS_PER_WORKLOAD = BUCKETS + 7

GRPC_FAULTS = (2, 4, 8, 12, 13, 14, 15)
"""UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: the server's
fault."""

_HUNG_UP = "{ status 400 } !{ var(txn.replica) -m found }"

ARRIVAL = "http-request set-var(txn.began) date(0,us)"

_STOPS_MILLISECONDS = (0.5, 2, 10, 50)
"""Edges after which the rules may stop."""
_DOUBTED_MICROSECONDS = 100_000
"""A clock is set when it is wrong by more than this (ntpd: 128 ms); less is mended by going faster or slower."""

Counts = tuple[int, ...]
"""The counters of one workload in one process, by position; () when there is no row for it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one HAProxy process says about one workload."""

    counts: Counts = ()
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class SideReading:
    """What one HAProxy process says about one backend, whoever is in it: no rule sees these."""

    aborted: int = 0
    retries: int = 0
    truncated: int = 0

    def since(self, before: SideReading) -> SideReading:
        """What came after that reading. One that counts less has begun anew, and all of it is new."""
        steps = [now - then for now, then in zip(astuple(self), astuple(before), strict=True)]
        return SideReading(*steps) if min(steps) >= 0 else self

    def plus(self, other: SideReading) -> SideReading:
        return SideReading(*map(operator.add, astuple(self), astuple(other)))


def indented(rules: Iterable[str]) -> list[str]:
    """As lines of a section."""
    return [f"  {rule}" for rule in rules]


def status_rules(protocol: str) -> list[str]:
    """Of a backend. A replica's answer of 400 and above leaves a mark, so that the router's own can be told apart.

    For a client that hung up HAProxy makes an answer of 400 that nobody gets. It is no answer, hence no request:
    without its arrival the rules of the frontend count it nowhere.

    Of gRPC answers only those without a message show their status in the head ("trailers-only"); the status of others
    comes in the trailers, which no rule of HAProxy sees.
    """
    grpc = []
    if protocol == "h2c":
        faults = " ".join(map(str, GRPC_FAULTS))
        grpc = [_increment(FAILED_RPC, f"{{ res.hdr(grpc-status) {faults} }} {{ status lt 500 }}")]
    return [
        "http-response set-var(txn.replica) bool(true) if { status ge 400 }",
        *grpc,
        "http-after-response allow if { status 200:299 }",
        f"http-after-response unset-var(txn.began) if {_HUNG_UP}",
        _increment(HUNG_UP, _HUNG_UP),
        f"http-after-response allow if {_HUNG_UP}",
        _increment(INFORMATIONAL, "{ status lt 200 }"),
        _increment(REDIRECTED, "{ status 300:399 }"),
        _increment(REFUSED, "{ status 400:499 }"),
        _increment(FAILED, "{ status ge 500 }"),
        _increment(IN_PLACE, "{ status ge 500 } !{ var(txn.replica) -m found }"),
    ]


def latency_rules() -> list[str]:
    """Of the frontend. HAProxy 2.8 tells microseconds by the wall clock alone, which may be set meanwhile. What is
    negative or took long is compared with HAProxy's own timers (milliseconds, monotonic), and they win. Of an answer
    of the router itself they know nothing: it counts where the wall clock puts it, a negative time as fast."""
    doubted = [edge for edge in _EDGES if edge <= _DOUBTED_MICROSECONDS]
    return [
        "http-after-response set-var(txn.took) date(0,us),sub(txn.began)",
        *_buckets(doubted, 0),
        # Queue, connection, answer; -1 when there was none of it.
        "http-after-response set-var-fmt(txn.queued) %Tw",
        "http-after-response set-var-fmt(txn.connecting) %Tc",
        "http-after-response set-var-fmt(txn.waited) %Tr",
        "http-after-response set-var(txn.timers) var(txn.queued),add(txn.connecting),add(txn.waited),mul(1000)"
        " if { var(txn.waited) -m int ge 0 }",
        "http-after-response set-var(txn.took) var(txn.timers)"
        " if { var(txn.timers) -m found }"
        f" !{{ var(txn.took),sub(txn.timers),add({_DOUBTED_MICROSECONDS}) -m int 0:{2 * _DOUBTED_MICROSECONDS} }}",
        *_buckets(_EDGES, None),
        _increment(len(_EDGES), f"{{ var(txn.took) -m int ge {_EDGES[-1] + 1} }}"),
    ]


_EDGES = [round(edge * 1000) for edge in EDGES_MILLISECONDS]


def _buckets(edges: Sequence[int], lowest: int | None) -> Iterator[str]:
    """One increment for each bucket up to the last edge, and stops. `lowest` None counts what is negative as fast."""
    stops = {round(edge * 1000) for edge in _STOPS_MILLISECONDS} | {edges[-1]}
    lower = since_stop = "le" if lowest is None else f"{lowest}:"
    for position, edge in enumerate(edges):
        yield _increment(position, f"{{ var(txn.took) -m int {_range(lower, edge)} }}")
        if edge in stops:
            yield f"http-after-response allow if {{ var(txn.took) -m int {_range(since_stop, edge)} }}"
            since_stop = f"{edge + 1}:"
        lower = f"{edge + 1}:"


def _range(lower: str, upper: int) -> str:
    return f"le {upper}" if lower == "le" else f"{lower}{upper}"


def _increment(position: int, condition: str) -> str:
    return f"http-after-response sc-inc-gpc({position},0) if {condition}"


def traffic_of(counts: Counts, in_flight: int, side: SideReading, before: SlotTraffic | None = None) -> SlotTraffic:
    """`before` is what was said of the workload last. A request that is being counted while the counters are read may
    be in some of them only: what follows from a difference waits for it instead of going back."""
    latency = counts[:BUCKETS]
    requests = sum(latency)
    if not counts:
        counts = (0,) * COUNTERS_PER_WORKLOAD
    others = counts[INFORMATIONAL], counts[REDIRECTED], counts[REFUSED], counts[FAILED]
    succeeded = max(0, requests - sum(others))
    if before is not None and before.statuses:
        succeeded = max(succeeded, before.statuses[1])
    errors = min(requests, counts[FAILED] + counts[FAILED_RPC]) + side.truncated
    return SlotTraffic(
        # A stream of HTTP/2 that is reset before its head passes no rule: it is known as a truncated answer alone.
        requests=max(requests, errors),
        errors=errors,
        in_flight=in_flight,
        latency=latency,
        statuses=(others[0], succeeded, *others[1:]) if latency else (),
        connection_errors=min(requests, counts[IN_PLACE]),
        # HAProxy counts those of both kinds by backend, those without an answer we count by workload.
        aborted=max(side.aborted, counts[HUNG_UP]),
        retries=side.retries,
        truncated=side.truncated,
    )
