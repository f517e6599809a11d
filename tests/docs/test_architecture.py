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


def test_no_two_decisions_have_the_same_number() -> None:
    """Gaps may be: people who write at the same time are given ranges."""
    numbers = [path.name[:4] for path in (ROOT / "docs" / "decisions").glob("*.md")]
    assert all(number.isdigit() for number in numbers)
    assert len(set(numbers)) == len(numbers)
