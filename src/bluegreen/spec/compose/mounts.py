"""`volumes`, `tmpfs` and `secrets`: what a container finds in its file system."""

from __future__ import annotations

import re
from typing import Any

from bluegreen.spec.compose.draft import Draft, Table
from bluegreen.spec.compose.notes import Part, plain
from bluegreen.spec.container_values import FILE_NAME_PATTERN, VOLUME_PATTERN
from bluegreen.spec.problems import Location

MOST_MOUNTS, MOST_TMPFS = 64, 32
_STATE = (
    "A mount that may be written to makes the service stateful, for two versions of it run at the same time. Say in\n"
    "state_handling how they share it, or write read_only = true where it is only read."
)
_IGNORED_MODES = ("rw", "ro", "", "consistent", "cached", "delegated", "nocopy", "volume-nocopy")


def translate_mounts(draft: Draft, volumes: Part) -> None:
    """`volumes` is the table of that name beside the services."""
    mounts: list[Table] = []
    for index, entry in enumerate(draft.part.items("volumes")):
        place = (*draft.part.at, "volumes", index)
        read = _long(entry) if isinstance(entry, dict) else _short(draft, plain(entry), place)
        if read is None:
            continue
        kind, source, target, read_only = read
        if kind == "tmpfs":
            _add_tmpfs(draft, target, place)
        elif kind not in ("bind", "volume"):
            draft.part.notes.lose(
                place, f"{kind or 'this kind'}: only files, directories and named volumes are mounted"
            )
        elif not source:
            draft.part.notes.lose(place, "an anonymous volume, new in every container: use tmpfs, or name the volume")
        elif len(mounts) == MOST_MOUNTS:
            draft.part.notes.lose(place, f"a container has at most {MOST_MOUNTS} mounts")
        elif draft.claim(target, place):
            where = draft.file_path(source) if kind == "bind" else _volume_name(draft, source, volumes, place)
            if ":" in where:
                draft.part.notes.wrong(place, "must not have a colon in its path")
            mounts.append({"source": where, "target": target, "read_only": read_only})
    if mounts:
        draft.container["mounts"] = mounts
    if any(not mount["read_only"] for mount in mounts):
        draft.table["stateful"] = True
        draft.comment("stateful", text=_STATE)
        text = "may be written to, so stateful = true is written: say in state_handling how two versions share it"
        draft.part.change("volumes", text)


Read = tuple[str, str, str, bool]


def _short(draft: Draft, text: str, place: Location) -> Read | None:
    parts = text.split(":")
    if re.match(r"[A-Za-z]:[/\\][^:]*:/", text):
        draft.part.notes.lose(place, f"{text!r} is a path of Windows")
        return None
    if len(parts) > 3 or not all(parts[:2]):
        draft.part.notes.wrong(place, f"{text!r} is no volume such as ./data:/data:ro")
        return None
    if len(parts) == 1:
        return "volume", "", parts[0], False
    modes = parts[2].split(",") if len(parts) == 3 else []
    for mode in modes:
        if mode not in _IGNORED_MODES:
            draft.part.notes.lose(place, f"mode {mode!r} of the mount")
    kind = "bind" if parts[0][0] in "./~" else "volume"
    return kind, parts[0], parts[1], "ro" in modes


def _long(entry: dict[str, Any]) -> Read:
    read_only = str(entry.get("read_only", False)).lower() == "true"
    return plain(entry.get("type")) or "volume", plain(entry.get("source")), plain(entry.get("target")), read_only


def _volume_name(draft: Draft, name: str, volumes: Part, place: Location) -> str:
    """What the engine calls the volume: Compose puts the project's name in front of its own."""
    declared = volumes.take(name)
    table = declared if isinstance(declared, dict) else {}
    made = plain(table.get("name")) or (name if _is_external(table) else f"{draft.project.name}_{name}")
    if re.fullmatch(VOLUME_PATTERN, made) is None:
        draft.part.notes.wrong(place, f"{made!r} is no name of a volume")
    if made != name:
        draft.part.notes.change(place, f"the engine calls this volume {made}")
    for key in ("driver", "driver_opts"):
        if table.get(key) not in (None, "local"):
            draft.part.notes.lose(("volumes", name, key), f"the volume {made} must be there: docker volume create")
    return made


def _is_external(table: dict[str, Any]) -> bool:
    external = table.get("external")
    return bool(external) and str(external).lower() != "false"


def translate_tmpfs(draft: Draft) -> None:
    for index, entry in enumerate(draft.part.items("tmpfs")):
        path, _, options = plain(entry).partition(":")
        _add_tmpfs(draft, path, (*draft.part.at, "tmpfs", index))
        if options:
            draft.part.notes.lose(
                (*draft.part.at, "tmpfs", index), f"{options!r}: a tmpfs has the engine's own options"
            )


def _add_tmpfs(draft: Draft, path: str, place: Location) -> None:
    if len(draft.container.get("tmpfs", ())) == MOST_TMPFS:
        draft.part.notes.lose(place, f"a container has at most {MOST_TMPFS} of them")
    elif draft.claim(path, place):
        draft.container.setdefault("tmpfs", []).append(path)


def translate_secrets(draft: Draft, secrets: Part) -> None:
    """`secrets` is the table of that name beside the services."""
    found: dict[str, str] = {}
    for index, entry in enumerate(draft.part.items("secrets")):
        place = (*draft.part.at, "secrets", index)
        source = plain(entry.get("source") if isinstance(entry, dict) else entry)
        target = plain(entry.get("target") if isinstance(entry, dict) else "").removeprefix("/run/secrets/") or source
        declared = secrets.take(source)
        if not isinstance(declared, dict):
            draft.part.notes.wrong(place, f"there is no secret {source!r} below secrets")
        elif not plain(declared.get("file")):
            kind = "an environment variable" if declared.get("environment") else "outside of this file"
            text = f"the secret {source!r} is in {kind}" if "env" in kind else f"the secret {source!r} is {kind}"
            draft.part.notes.lose(
                place, f"{text}: put it into a file and name that in [services.{draft.name}.container]"
            )
        elif not re.fullmatch(FILE_NAME_PATTERN.strip("^$"), target):
            draft.part.notes.lose(place, f"{target!r}: a secret is a file in /run/secrets, of at most 64 characters")
        elif draft.claim(f"/run/secrets/{target}", place):
            found[target] = draft.file_path(plain(declared["file"]))
            if isinstance(entry, dict) and {"uid", "gid", "mode"} & entry.keys():
                draft.part.notes.lose(place, "uid, gid and mode: the file must be readable for the container's user")
    if found:
        draft.container["secrets"] = found
