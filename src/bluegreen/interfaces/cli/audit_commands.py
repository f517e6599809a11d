"""`bluegreen audit …`. Reads the audit log's file; no daemon is needed."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

from cyclopts import Parameter

from bluegreen.domain.errors import UsageError
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.location import command_line, state_directory_of
from bluegreen.interfaces.cli.output import clock_time, console, note, plural, print_json, printable, styled
from bluegreen.spec.paths import audit_log

MAX_LINES = 100_000


def verify(*, as_json: o.Json = False, config: o.Config = o.CONFIG_DEFAULT) -> int:
    """Check that nothing in the audit log was changed, removed, inserted or reordered. Exits with 1 when it was.

    Keep the hash that it prints somewhere else: whoever may write the log may also compute a new chain, but not one
    with this hash in it.
    """
    from bluegreen.stores.audit_reading import verify as verified

    path = audit_log(state_directory_of(config))
    found = verified(path)
    if as_json:
        print_json({"ok": found.ok, **dataclasses.asdict(found), "end": dataclasses.asdict(found.end)})
        return 0 if found.ok else 1
    good = plural(found.entries, "entry").replace("entrys", "entries")
    if found.ok:
        print(f"{styled('ok', 'good')}: {good}, last hash {found.end.hash}")
        return 0
    place = f"line {found.line} " if found.line else ""
    print(f"{styled('✗', 'bad')} {path}: {place}{printable(found.problem)}")
    print(f"  before it, as written: {good}, last hash {found.end.hash}")
    return 1


def list_(
    *,
    lines: Annotated[int, Parameter(name="--lines", help="At most so many, the newest.", show_default=True)] = 50,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """List who did what, through which door, and how it ended. The newest stand last."""
    from bluegreen.stores.audit_reading import latest

    if not 1 <= lines <= MAX_LINES:
        raise UsageError(f"--lines: must be between 1 and {MAX_LINES}, got {lines}")
    found = latest(audit_log(state_directory_of(config)), lines)
    if found.unreadable_lines:
        note(f"{plural(found.unreadable_lines, 'line')} can't be read, see: {command_line('audit verify', config)}")
    if as_json:
        print_json({"entries": [dataclasses.asdict(entry) for entry in found.entries]})
        return 0
    if not found.entries:
        print("nothing is in the audit log yet")
        return 0
    from rich.text import Text

    from bluegreen.interfaces.cli.tables import table

    made = table("AT", "WHO", "DOOR", "WHAT", "RESULT", "ARGUMENTS", wrap=("RESULT", "ARGUMENTS"))
    for entry in found.entries:
        arguments = json.dumps(entry.arguments, ensure_ascii=False)
        made.add_row(
            clock_time(entry.at),
            Text(printable(entry.who), style="bold"),
            Text(printable(entry.door)),
            Text(printable(entry.what)),
            Text(printable(entry.result), style="" if entry.result == "ok" else "red"),
            Text(printable(arguments), style="dim"),
        )
    console().print(made)
    return 0
