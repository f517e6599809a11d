"""docs/configuration.md against the model that checks the file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest

from bluegreen.spec.keys import NOT_SET, REQUIRED, ConfigurationKey, configuration_keys
from bluegreen.spec.placeholders import PLACEHOLDERS
from tests.docs.pages import ROOT, blocks_of

PAGE = ROOT / "docs" / "configuration.md"
KEYS = configuration_keys()


def rows_by_table() -> dict[str, set[str]]:
    """Rows of the tables below each heading that is the name of a TOML table."""
    sections = re.split(r"^## `\[+(.+?)\]+`$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    pairs = zip(sections[::2], sections[1::2], strict=True)
    return {name: {line for line in text.splitlines() if line.startswith("| `")} for name, text in pairs}


def expected_row(key: ConfigurationKey) -> str:
    default = key.default if key.default in (REQUIRED, NOT_SET) else f"`{key.default}`"
    return f"| `{key.path.rpartition('.')[2]}` | {key.type} | {default} | {key.description} |"


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_each_key_is_there_with_type_default_and_meaning(key: ConfigurationKey) -> None:
    table = key.path.rpartition(".")[0].replace("[]", "")
    assert expected_row(key) in rows_by_table()[table]


def test_no_key_is_there_that_the_file_does_not_know() -> None:
    known = {expected_row(key) for key in KEYS}
    placeholders = {f"| `{{{name}}}`" for name in PLACEHOLDERS}
    listed = {row for rows in rows_by_table().values() for row in rows}
    strange = {row for row in listed - known if row.partition(" | ")[0] not in placeholders}
    assert strange == set()


def test_each_key_is_in_an_example() -> None:
    shown = {path for block in blocks_of(PAGE, "toml") for path in paths_in(tomllib.loads(block.text))}
    assert {key.path for key in KEYS} - shown == set()


def test_each_placeholder_is_explained() -> None:
    rows = rows_by_table()["services.NAME"]
    assert [name for name in PLACEHOLDERS if not any(row.startswith(f"| `{{{name}}}` ") for row in rows)] == []


def paths_in(table: dict[str, object], prefix: str = "") -> Iterator[str]:
    """Each key as `configuration_keys` writes it."""
    for name, value in table.items():
        path = f"{prefix}{'NAME' if prefix == 'services.' else name}"
        yield path
        if isinstance(value, dict):
            yield from paths_in(value, f"{path}.")
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    yield from paths_in(item, f"{path}[].")
