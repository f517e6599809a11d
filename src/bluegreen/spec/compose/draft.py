"""A service of `bluegreen.toml` while it is made from one of a Compose file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bluegreen.spec.compose.notes import Part
from bluegreen.spec.compose.project import Project

Table = dict[str, Any]


@dataclass(slots=True)
class Draft:
    """`part` is the service in the Compose file, `name` the one it gets. `comments` stand above the keys they name in
    the text that is written; a key that is not there is only a comment."""

    name: str
    part: Part
    project: Project
    moved_from: Path | None = None
    """The directory that relative paths mean, when the configuration is written elsewhere."""
    table: Table = field(default_factory=dict)
    container: Table = field(default_factory=dict)
    comments: dict[tuple[str, ...], list[str]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    """The environment as the container would have it with Compose, secrets too."""
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
        return "./" + re.sub(r"^(\./)+", "", expanded)


def literal(text: str) -> str:
    """With braces doubled: what Compose says has no placeholders."""
    return text.replace("{", "{{").replace("}", "}}")
