"""What the person who imports a Compose file must know, each behind the path of its key there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bluegreen.spec.problems import Location, Problem, dotted


@dataclass(frozen=True, slots=True)
class Note:
    """`path` is the key in the Compose file, `text` a reason, or what to do instead."""

    path: str
    text: str


@dataclass(slots=True)
class Notes:
    """Collected on the way through the file. `problems` make the whole import fail."""

    lost: list[Note] = field(default_factory=list)
    changed: list[Note] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def lose(self, at: Location, text: str) -> None:
        """Something is not carried over."""
        self.lost.append(Note(dotted(at), text))

    def change(self, at: Location, text: str) -> None:
        """Something is carried over, but not as it was."""
        self.changed.append(Note(dotted(at), text))

    def wrong(self, at: Location, text: str) -> None:
        """Something that Compose itself would refuse."""
        self.problems.append(Problem(at, text))


class Part:
    """A table of the Compose file. It remembers which of its keys were looked at: the others are lost."""

    def __init__(self, table: Mapping[str, Any], at: Location, notes: Notes) -> None:
        self.table = table
        self.at = at
        self.notes = notes
        self._taken: set[str] = set()

    def take(self, key: str) -> Any:
        """The value, None when there is none."""
        self._taken.add(key)
        return self.table.get(key)

    def text(self, key: str) -> str:
        """The value as text, "" when there is none."""
        value = self.take(key)
        if isinstance(value, (dict, list)):
            self.wrong(key, "must be text")
            return ""
        return plain(value)

    def flag(self, key: str) -> bool:
        """The value as true or false, false when there is none."""
        value = self.take(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        if str(value).lower() not in ("true", "false"):
            self.wrong(key, "must be true or false")
        return str(value).lower() == "true"

    def part(self, key: str) -> Part:
        """The table there, an empty one when there is none."""
        value = self.take(key)
        if value is not None and not isinstance(value, dict):
            self.wrong(key, "must be a mapping")
        return Part(value if isinstance(value, dict) else {}, (*self.at, key), self.notes)

    def items(self, key: str) -> list[Any]:
        """The list there; a single value is a list of one."""
        value = self.take(key)
        if isinstance(value, dict):
            self.wrong(key, "must be a list")
            return []
        return value if isinstance(value, list) else [] if value is None else [value]

    def rest(self) -> list[str]:
        """Keys that nobody has looked at; those that begin with `x-` are for other programs."""
        return [key for key in self.table if key not in self._taken and not key.startswith("x-")]

    def lose(self, key: str, text: str) -> None:
        self.notes.lose((*self.at, key), text)

    def change(self, key: str, text: str) -> None:
        self.notes.change((*self.at, key), text)

    def wrong(self, key: str, text: str) -> None:
        self.notes.wrong((*self.at, key), text)


def plain(value: Any) -> str:
    """A single value as Compose would write it into an environment."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
