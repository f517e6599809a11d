"""`bluegreen import-compose`."""

from __future__ import annotations

import dataclasses
import os
import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bluegreen.domain.errors import ConfigurationError, UsageError
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.output import note, plural, print_json, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bluegreen.spec.compose.notes import Note
    from bluegreen.spec.compose.translate import Imported

WIDTH = 120
LONGEST_PATH = 48


def import_compose(
    file: Annotated[Path, Parameter(help="The Compose file, such as compose.yaml.")],
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(name="--output", help="Write the configuration there, to a new file, instead of printing it."),
    ] = None,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Make a configuration of the HTTP services of a Compose file, and list what can't be carried over.

    Variables are filled in from the environment and from `.env` beside the file. A secret that is not in the file
    itself is not written. The Docker Engine, if one answers, is asked for the entry points of images. The list goes
    to stderr when the configuration goes to stdout.
    """
    from bluegreen.interfaces.cli.image_entry_points import entry_points
    from bluegreen.spec.compose.commands import images_with_arguments
    from bluegreen.spec.compose.project import read
    from bluegreen.spec.compose.toml import document
    from bluegreen.spec.compose.translate import translate

    if output is not None and os.path.lexists(output):
        raise UsageError(
            f"--output: {output} is there already and stays as it is", hint="Name a file that is not there"
        )
    moved = output is not None and output.absolute().parent.resolve() != file.absolute().parent.resolve()
    project = read(file, dict(os.environ))
    imported = translate(
        project,
        entry_points=entry_points(images_with_arguments(project.tree["services"]), os.environ),
        moved_from=file.absolute().parent.resolve() if moved else None,
    )
    head = [f"Made of {printable(file.name)} by bluegreen import-compose; check it with: bluegreen validate"]
    text = document(imported.tables, imported.comments, head=head)
    _must_load(text, file, file.absolute().parent)
    if output is not None:
        _write(output, text, private=imported.holds_secrets)
    if as_json:
        print_json(
            {
                "toml": text,
                "output": None if output is None else str(output),
                "services": dict(imported.services),
                "not_carried_over": [dataclasses.asdict(lost) for lost in imported.lost],
                "to_look_at": [dataclasses.asdict(changed) for changed in imported.changed],
            }
        )
        return 0
    lines = _report(imported)
    if output is None:
        print(text, end="")
        note(*lines)
    else:
        print("\n".join([*lines, f"written: {output}", f"check it: bluegreen validate --config {output}"]))
    return 0


def _must_load(text: str, file: Path, directory: Path) -> None:
    """Nothing is written that `bluegreen up` would refuse."""
    from bluegreen.spec.loading import parse

    try:
        parse(text, source=f"the configuration made of {file}", base_directory=directory)
    except ConfigurationError as error:
        error.hint = "Change these values in the Compose file, or leave the services out, and import it again"
        raise


def _write(path: Path, text: str, *, private: bool) -> None:
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(path, flags, 0o600 if private else 0o666), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            f"--output: {path} is there already and stays as it is", hint="Name a file that is not there"
        ) from None
    except OSError as error:
        raise UsageError(f"--output: {path} can't be written: {error.strerror}", hint="Name another one") from error


def _report(imported: Imported) -> list[str]:
    lines = [f"{plural(len(imported.services), 'service')}: {', '.join(imported.services.values())}"]
    for heading, notes in (("Not carried over", imported.lost), ("To look at", imported.changed)):
        if notes:
            lines += [f"{heading}:", *_aligned(notes)]
    return lines


def _aligned(notes: Sequence[Note]) -> list[str]:
    """Paths in one column, reasons in another; a path that is too long has a line of its own."""
    width = min(max(len(found.path) for found in notes), LONGEST_PATH)
    screen = min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH)
    lines: list[str] = []
    for found in notes:
        path = printable(found.path)
        reasons = textwrap.wrap(
            printable(found.text), max(screen - width - 4, 40), break_long_words=False, break_on_hyphens=False
        )
        if len(path) > width:
            lines.append(f"  {path}")
            path = ""
        lines.append(f"  {path:<{width}}  {reasons[0]}")
        lines += [f"  {'':<{width}}  {more}" for more in reasons[1:]]
    return lines
