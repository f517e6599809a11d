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
_NEWCOMER = "{ var(txn.newcomer) -m found }"


def side_rules(services: Sequence[ServiceSpec], *, only: bool) -> list[str]:
    """`only`: there is one service, and its name is in no variable."""
    return [rule for spec in services for rule in _rules(spec, _SHARED if only else _of(spec, _SHARED))]


def cookie_rules(services: Sequence[ServiceSpec], *, only: bool, secure: bool) -> list[str]:
    """Tells those who came without the cookie which value they were given; `secure`: for browsers on HTTPS alone."""
    attributes = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
    return [
        f'  http-response add-header Set-Cookie "{_name(spec)}=%[var(txn.newcomer)]{attributes}"'
        f" if {_NEWCOMER if only else _of(spec, _NEWCOMER)}"
        for spec in services
        if spec.canary.set_cookie
    ]


def _of(spec: ServiceSpec, condition: str) -> str:
    return f"{condition} {{ var(txn.service) -m str {spec.name} }}"


def _name(spec: ServiceSpec) -> str:
    return spec.canary.sticky.partition(":")[2]


def _rules(spec: ServiceSpec, when: str) -> Iterator[str]:
    canary = spec.canary
    if canary.sticky:
        name = _name(spec)
        user = f"req.cook({name})" if canary.sticky.startswith("cookie:") else f"req.fhdr({name})"
        # Mixed with green's id: another deployment tries its first step on other users.
        number = "concat(/,txn.new),xxh32,mod(100),sub(txn.share)"
        yield f"  http-request set-var(txn.new) var(txn.route),field(3,|),field(2,/) if {when}"
        yield f"  http-request set-var(txn.draw) {user},{number} if {when} {{ {user} -m len ge 1 }}"
        if canary.set_cookie:
            yield f"  http-request set-var(txn.newcomer) uuid() if {when} !{{ {user} -m len ge 1 }}"
            given = f"{when} {_NEWCOMER}"
            yield f"  http-request set-var(txn.draw) var(txn.newcomer),{number} if {given}"
    asked = [f"req.cook({canary.force_cookie})"] if canary.force_cookie else []
    asked += [f"req.fhdr({canary.force_header})"] if canary.force_header else []
    if asked:
        yield f"  http-request set-var(txn.first) var(txn.route),field(1,/),field(2,.) if {when}"
    for side in asked:
        # In a process that is leaving, a side may be an address instead of a name: then nobody can ask for it.
        known = f"{when} {{ var(txn.first) -m str blue green }} {{ {side},lower -m str blue green }}"
        yield f"  http-request set-var(txn.draw) int(0) if {known}"
        yield f"  http-request set-var(txn.draw) int(-1) if {known} {{ {side},lower,strcmp(txn.first) eq 0 }}"
