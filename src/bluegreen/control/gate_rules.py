"""Rules of access that depend on what is asked, beyond the scope of the operation."""

from __future__ import annotations

from bluegreen.domain.access import Caller, Scope
from bluegreen.domain.errors import Forbidden


def scope_for_traffic(caller: Caller, parameter: str) -> None:
    """Raises Forbidden for who may start versions but not move traffic."""
    if not caller.scope.includes(Scope.SWITCH):
        raise Forbidden(
            f"{parameter}: this moves traffic, which takes scope switch, and {caller.name} has {caller.scope}",
            hint="A person can let it through: bluegreen approve SERVICE",
        )
