"""From a Compose project to the tables of `bluegreen.toml`, and to what must be said about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluegreen.domain.errors import UsageError
from bluegreen.spec.compose import hosts
from bluegreen.spec.compose.draft import Draft
from bluegreen.spec.compose.notes import Note, Notes, Part
from bluegreen.spec.compose.project import Project, refused
from bluegreen.spec.compose.refusals import refuse_top_level
from bluegreen.spec.compose.service import translate_service
from bluegreen.spec.problems import Location, dotted, written
from bluegreen.spec.values import SERVICE_NAME_MAX_LENGTH

TABLE_ORDER = (
    "hosts", "image", "command", "workdir", "replicas", "gpus", "cpus", "memory_mb", "stateful", "protocol",
    "stop_grace_seconds", "env", "labels", "health", "container",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Imported:
    """`tables` are those of the configuration; `comments` stand above the keys they name. `lost` is not carried over,
    `changed` is, but must be looked at. `services` maps names in the Compose file to those in the tables."""

    tables: Mapping[str, Any]
    comments: Mapping[tuple[str, ...], tuple[str, ...]]
    services: Mapping[str, str]
    holds_secrets: bool
    lost: tuple[Note, ...]
    changed: tuple[Note, ...]


def translate(
    project: Project, *, entry_points: Mapping[str, Sequence[str]] | None = None, moved_from: Path | None = None
) -> Imported:
    """`entry_points` are those of images that an engine has, as it says; `moved_from` is the directory of the Compose
    file when the configuration will be in another one.

    Raises ConfigurationError with everything that Compose would refuse too, UsageError when no service is one that
    bluegreen can run.
    """
    notes = Notes()
    refuse_top_level(Part(project.tree, (), notes))
    drafts: dict[str, Draft] = {}
    for name, table in project.tree["services"].items():
        if not isinstance(table, dict):
            notes.wrong(("services", name), "must be a mapping")
            continue
        made = fit_name(name, {draft.name for draft in drafts.values()})
        part = Part(table, ("services", name), Notes())
        draft = Draft(made, part, project, entry_points or {}, moved_from)
        if _is_translated(draft, notes):
            drafts[name] = draft
    if notes.problems:
        raise refused(project.source, written(notes.problems))
    if not drafts:
        reasons = "\n".join(f"  {note.path}: {note.text}" for note in notes.lost)
        raise UsageError(f"{project.source} has no service that bluegreen can run:\n{reasons}", hint=_NO_SERVICE)
    hosts.settle(list(drafts.values()))
    for name, draft in drafts.items():
        notes.lost += draft.part.notes.lost
        notes.changed += draft.part.notes.changed
        _unset_variables(("services", name), project, notes)
    services = {draft.name: _ordered(draft) for draft in drafts.values()}
    comments = {
        ("services", draft.name, *key): tuple(texts)
        for draft in drafts.values()
        for key, texts in draft.comments.items()
    }
    return Imported(
        tables={"runtime": {"kind": "docker"}, "services": services},
        comments=comments,
        services={name: draft.name for name, draft in drafts.items()},
        holds_secrets=any(draft.holds_secrets for draft in drafts.values()),
        lost=tuple(dict.fromkeys(notes.lost)),
        changed=tuple(dict.fromkeys(notes.changed)),
    )


_NO_SERVICE = "A service needs a port that speaks HTTP, below ports or expose"


def _is_translated(draft: Draft, notes: Notes) -> bool:
    """Fills the draft. When the service is none for bluegreen, all that is said of it is why."""
    own, at = draft.part.notes, draft.part.at
    reason = translate_service(draft, Part(draft.project.tree, (), own))
    notes.problems += own.problems
    if reason:
        notes.lose(at, reason)
    elif draft.name != at[-1]:
        own.change(at, f"is called {draft.name}: a service name has only a-z, 0-9 and -, and at most 40 characters")
    return not reason


def fit_name(name: str, taken: set[str]) -> str:
    """A service name as near to that of Compose as it may be, and none of those taken."""
    bare = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:SERVICE_NAME_MAX_LENGTH].strip("-") or "service"
    made, number = bare, 2
    while made in taken:
        ending = f"-{number}"
        made, number = bare[: SERVICE_NAME_MAX_LENGTH - len(ending)].rstrip("-") + ending, number + 1
    return made


def _unset_variables(at: Location, project: Project, notes: Notes) -> None:
    said = {note.path for note in notes.lost}
    for place, names in project.unset.items():
        for name in sorted(names) if place[: len(at)] == at and dotted(place) not in said else ():
            notes.change(place, f"the variable {name} is not set here, an empty text stands in its place")


def _ordered(draft: Draft) -> dict[str, Any]:
    filled = {**draft.table, **({"container": draft.container} if draft.container else {})}
    return {key: filled[key] for key in TABLE_ORDER if key in filled}
