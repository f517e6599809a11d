"""A service of `bluegreen.toml` while it is made from one of a Compose file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bluegreen.spec.compose.notes import Part
from bluegreen.spec.compose.project import Project
from bluegreen.spec.problems import Location

Table = dict[str, Any]


@dataclass(slots=True)
class Draft:
    """`part` is the service in the Compose file, `name` the one it gets. `comments` stand above the keys they name in
    the text that is written; a key that is not there is only a comment."""

    name: str
    part: Part
    project: Project
    entry_points: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Those of images that an engine has, as it says."""
    moved_from: Path | None = None
    """The directory that relative paths mean, when the configuration is written elsewhere."""
    table: Table = field(default_factory=dict)
    container: Table = field(default_factory=dict)
    comments: dict[tuple[str, ...], list[str]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    """The environment as the container would have it with Compose, secrets too."""
    claimed: set[str] = field(default_factory=set)
    """Paths in the container that something is mounted at."""
    named_hosts: list[str] = field(default_factory=list)
    """Hosts that the Compose file names for another router."""

    holds_secrets: bool = False
    """Whether something that looks like a secret is written into the configuration."""

    def comment(self, *key: str, text: str) -> None:
        self.comments.setdefault(key, []).append(text)

    def put(self, key: str, value: float, least: float, most: float, *, source: str) -> None:
        """A number within the limits of the key; one beyond them becomes the limit, which is said."""
        fit = min(max(value, least), most)
        if fit != value:
            self.part.change(source, f"{value:g} is outside of what {key} may be, {fit:g} is written")
        self.table[key] = type(value)(fit)

    def file_path(self, path: str) -> str:
        """A path of the Compose file as the configuration has it: absolute, or relative with a dot in front."""
        expanded = os.path.expanduser(path)  # noqa: PTH111 - as spec.convert does
        if expanded.startswith("/"):
            return expanded
        if self.moved_from is not None:
            return os.path.normpath(self.moved_from / expanded)
        bare = re.sub(r"^(\./+)+", "", expanded)
        return bare if bare.startswith("../") or bare in (".", "..") else f"./{bare}"

    def claim(self, path: str, place: Location) -> bool:
        """Whether the container can have something there: an absolute path that nothing else has taken. Says so when
        it can't."""
        if not path.startswith("/") or ":" in path or ".." in path.split("/"):
            self.part.notes.wrong(place, f"{path!r} must be an absolute path in the container")
            return False
        bare = path.rstrip("/") or "/"
        if bare in self.claimed:
            self.part.notes.lose(place, f"{path}: something else is mounted there already")
            return False
        self.claimed.add(bare)
        return True


def literal(text: str) -> str:
    """With braces doubled: what Compose says has no placeholders."""
    return text.replace("{", "{{").replace("}", "}}")
