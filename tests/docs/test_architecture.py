"""The architecture page against the code."""

from __future__ import annotations

from pathlib import Path

from bluegreen.domain.diagram import mermaid

ROOT = Path(__file__).parents[2]


def test_the_state_diagram_is_the_one_of_the_table() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    drawn = page.split("<!-- state-diagram -->")[1].split("<!-- /state-diagram -->")[0].strip()
    assert drawn == f"```mermaid\n{mermaid()}\n```"


def test_every_folder_of_the_house_is_on_the_page() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    folders = [path.name for path in (ROOT / "src" / "bluegreen").iterdir() if (path / "__init__.py").exists()]
    assert [name for name in folders if f"`{name}/" not in page] == []


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
