"""Who gets which side while two versions share a service's traffic: by chance, the same side for the same user, or
the one a request asks for. Pure.

The rules come between the drawing of a number and its use, and act on it: below 0 is the first side of the route (the
old version), the rest the second. They are there only for services that ask for them, and do nothing while one side
has all the traffic: so nothing here can reach a side without a share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bluegreen.domain.service import ServiceSpec

_SHARED = "{ var(txn.share) -m found }"


def side_rules(services: Sequence[ServiceSpec], *, only: bool) -> list[str]:
    """`only`: there is one service, and its name is in no variable."""
    return [rule for spec in services for rule in _rules(spec, _SHARED if only else _of(spec))]


def _of(spec: ServiceSpec) -> str:
    return f"{_SHARED} {{ var(txn.service) -m str {spec.name} }}"


def _rules(spec: ServiceSpec, when: str) -> Iterator[str]:
    canary = spec.canary
    if canary.sticky:
        kind, _, name = canary.sticky.partition(":")
        user = f"req.cook({name})" if kind == "cookie" else f"req.fhdr({name})"
        # Mixed with green's id: another deployment tries its first step on other users.
        yield f"  http-request set-var(txn.new) var(txn.route),field(3,|),field(2,/) if {when}"
        draw = f"{user},concat(/,txn.new),xxh32,mod(100),sub(txn.share)"
        yield f"  http-request set-var(txn.draw) {draw} if {when} {{ {user} -m len ge 1 }}"
    asked = [f"req.cook({canary.force_cookie})"] if canary.force_cookie else []
    asked += [f"req.fhdr({canary.force_header})"] if canary.force_header else []
    if asked:
        yield f"  http-request set-var(txn.first) var(txn.route),field(1,/),field(2,.) if {when}"
    for side in asked:
        # In a process that is leaving, a side may be an address instead of a name: then nobody can ask for it.
        known = f"{when} {{ var(txn.first) -m str blue green }} {{ {side},lower -m str blue green }}"
        yield f"  http-request set-var(txn.draw) int(0) if {known}"
        yield f"  http-request set-var(txn.draw) int(-1) if {known} {{ {side},lower,strcmp(txn.first) eq 0 }}"
