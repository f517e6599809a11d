"""From a Compose project to the tables of `bluegreen.toml`, and to what must be said about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
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


def translate(project: Project, *, moved_from: Path | None = None) -> Imported:
    """`moved_from` is the directory of the Compose file when the configuration will be in another one.

    Raises ConfigurationError with everything that Compose would refuse too, UsageError when no service is one that
    bluegreen can run.
    """
    notes = Notes()
    top = Part(project.tree, (), notes)
    refuse_top_level(top)
    drafts: dict[str, Draft] = {}
    for name, table in top.part("services").table.items():
        draft = _translated(name, table, {made.name for made in drafts.values()}, project, top, moved_from)
        if draft is not None:
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


def _translated(
    name: str, table: Any, taken: set[str], project: Project, top: Part, moved_from: Path | None
) -> Draft | None:
    notes, at = top.notes, ("services", name)
    if not isinstance(table, dict):
        notes.wrong(at, "must be a mapping")
        return None
    own = Notes()
    made = fit_name(name, taken)
    draft = Draft(made, Part(table, at, own), project, moved_from)
    reason = translate_service(draft, Part(project.tree, (), own))
    notes.problems += own.problems
    if reason:
        # What is lost of a service that is not imported at all is of no interest.
        notes.lose(at, reason)
        return None
    if made != name:
        own.change(at, f"is called {made}: a service name has only a-z, 0-9 and -, and at most 40 characters")
    return draft


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
