"""The pages of the documentation, and what is in them."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `language` is "" when none is given."""

    page: Path
    language: str
    text: str

    @property
    def typed(self) -> list[str]:
        """What a user types: the lines after `$ `, without comments."""
        return [line[2:].partition("  #")[0].strip() for line in self.text.splitlines() if line.startswith("$ ")]

    def commands(self, program: str) -> Iterator[list[str]]:
        """Each call of a program in it, as its arguments."""
        for line in self.typed:
            words = shlex.split(line)
            if words[0] == program:
                yield words[1:]


def blocks(text: str, page: Path, *languages: str) -> list[Block]:
    found = (Block(page, language, body) for language, body in _BLOCK.findall(text))
    return [block for block in found if not languages or block.language in languages]


def blocks_of(page: Path, *languages: str) -> list[Block]:
    return blocks(page.read_text(), page, *languages)


def links(page: Path) -> list[str]:
    """Targets of the links of a page, those in fenced blocks left out."""
    return _LINK.findall(_BLOCK.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may be called."""
    headings = re.findall(r"^#+ (.*)$", _BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def project_files() -> list[Path]:
    """The files that are in the repository, or will be with the next commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        found = [ROOT / line for line in listed.stdout.splitlines()]
    else:  # A copy without its history.
        skipped = {".venv", "build", "dist"}
        inside = (path for path in ROOT.rglob("*") if not skipped & set(path.relative_to(ROOT).parts))
        found = [path for path in inside if not any(_is_cache(part) for part in path.relative_to(ROOT).parts)]
    return [path for path in found if path.is_file()]


def _is_cache(name: str) -> bool:
    return (
        name == "__pycache__" or name.endswith(("_cache", ".egg-info")) or name in (".hypothesis", ".bluegreen", ".git")
    )
