"""`bluegreen skill …`: the skills that teach agents the procedure, in the Agent Skills format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import bluegreen
from bluegreen.domain.errors import BluegreenError, UsageError
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.output import note

COMMON_DIRECTORY = Path(".agents/skills")
"""What most agent tools read in a project."""
CLAUDE_DIRECTORY = Path(".claude/skills")


def list_(*, config: o.Config = o.CONFIG_DEFAULT) -> int:
    """List the skills that come with bluegreen, and what each is for."""
    for skill in skills():
        print(f"{skill.name}: {description(skill)}")
    return 0


def install(
    directory: Annotated[
        Path | None,
        Parameter(help="Where to put them; .agents/skills without it, and .claude/skills as well if .claude exists."),
    ] = None,
    /,
    *,
    force: Annotated[bool, Parameter(name="--force", help="Replace files that differ, too.")] = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Write the skills for agents into a directory, each into one of its own.

    A file that is there and differs stays as it is, and the exit code is 1; `--force` replaces it.
    """
    directories = [directory] if directory is not None else [COMMON_DIRECTORY]
    if directory is None and CLAUDE_DIRECTORY.parent.is_dir():
        directories.append(CLAUDE_DIRECTORY)
    kept = [path for place in directories for skill in skills() for path in _copy(skill, place / skill.name, force)]
    for path in kept:
        note(f"kept, for it differs: {path}")
    if kept:
        note("Replace what differs with: bluegreen skill install --force" + (f" {directory}" if directory else ""))
    return 1 if kept else 0


def skills() -> list[Path]:
    """Their directories: in the package when it is installed, beside `src` in a checkout."""
    package = Path(bluegreen.__file__).parent
    for place in (package / "skills", package.parents[1] / "skills"):
        found = sorted(path.parent for path in place.glob("*/SKILL.md"))
        if found:
            return found
    raise BluegreenError("the skills are missing from this installation", hint="Install bluegreen again")


def description(skill: Path) -> str:
    """What its front matter says."""
    for line in (skill / "SKILL.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("description: "):
            return line.removeprefix("description: ")
    return ""


def _copy(skill: Path, target: Path, force: bool) -> list[Path]:
    """Writes its files and says which; returns those that differ and were kept."""
    kept = []
    for source in sorted(path for path in skill.rglob("*") if path.is_file()):
        path, content = target / source.relative_to(skill), source.read_bytes()
        try:
            before = path.read_bytes() if path.exists() else None
            if before == content:
                print(f"up to date: {path}")
            elif before is not None and not force:
                kept.append(path)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                print(f"written: {path}")
        except OSError as error:
            raise UsageError(
                f"directory: {path} can't be written: {error.strerror}", hint="Name another one"
            ) from error
    return kept
