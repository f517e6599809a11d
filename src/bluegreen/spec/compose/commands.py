"""`entrypoint`, `command` and `working_dir`. bluegreen's `command` takes the place of both of the image's."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bluegreen.spec.compose.draft import Draft, literal
from bluegreen.spec.compose.images import entry_point_of
from bluegreen.spec.compose.notes import plain

_LOOK = "docker inspect --format '{{json .Config.Entrypoint}}'"


def translate_command(draft: Draft) -> None:
    entry, command = _words(draft, "entrypoint"), _words(draft, "command")
    image = str(draft.table.get("image", ""))
    if entry is not None:
        words = [*entry, *(command or [])]
        if not words:
            draft.part.lose("entrypoint", "empties the image's entry point and leaves no command; write command")
    elif not command:
        words = []
        if command is not None:
            draft.part.lose("command", "empties the image's command; write the whole command to do so")
    else:
        words = [*_entry_point(draft, image, command), *command]
    if words and not words[0].strip():
        draft.part.wrong("command", "must start with a program")
    elif words:
        draft.table["command"] = [literal(word) for word in words]
    directory = draft.part.text("working_dir")
    if directory.startswith("/"):
        draft.table["workdir"] = literal(directory)
    elif directory:
        draft.part.lose("working_dir", "must be an absolute path in the container; write it as workdir")


def images_with_arguments(services: Mapping[str, Any]) -> list[str]:
    """Images whose entry point must be known: services give them a command and no entry point."""
    tables = [table for table in services.values() if isinstance(table, dict)]
    return list(
        dict.fromkeys(
            plain(table.get("image"))
            for table in tables
            if table.get("command") and table.get("entrypoint") is None and table.get("image")
        )
    )


def _entry_point(draft: Draft, image: str, command: list[str]) -> Sequence[str]:
    """What must stand in front of a command that Compose hands to the image's entry point."""
    known = draft.entry_points.get(image)
    if known is None:
        known = entry_point_of(image) or None
    look = f"{_LOOK} {image or 'IMAGE'}"
    if known:
        text = f"takes the place of the image's entry point too: {shlex.join(known)} was put in front"
        draft.part.change("command", text)
    elif known is None and command[0].startswith("-"):
        text = f"has only arguments, and the image's entry point is not known here: put it in front ({look})"
        draft.part.lose("command", text)
        draft.comment("command", text=f"Put the image's entry point in front: {look}")
    elif known is None:
        text = f"takes the place of the image's entry point too; if the image has one, put it in front ({look})"
        draft.part.change("command", text)
    return known or ()


def port_in_command(draft: Draft) -> int | None:
    """What the command says in `--port`."""
    given = draft.part.table.get("command")
    text = " ".join(map(plain, given)) if isinstance(given, list) else plain(given)
    found = re.search(r"(?:^|\s)--port[ =]([1-9][0-9]{0,4})(?:\s|$)", text)
    return int(found[1]) if found and int(found[1]) <= 65535 else None


def _words(draft: Draft, key: str) -> list[str] | None:
    """None when the file says nothing. A text is split as a shell would, but not run by one."""
    value: Any = draft.part.take(key)
    if value is None:
        return None
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(word, (dict, list)) for word in value)):
        draft.part.wrong(key, "must be text or a list of text")
        return None
    if isinstance(value, list):
        return [plain(word) for word in value]
    try:
        return shlex.split(plain(value))
    except ValueError as error:
        draft.part.wrong(key, f"can't be split into words: {str(error)[:1].lower()}{str(error)[1:]}")
        return None
