"""Every page against the code: what a user types exists, configurations are accepted, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cyclopts import App

from bluegreen.interfaces.cli.app import NAMES, build
from bluegreen.spec.loading import parse
from tests.docs.pages import PAGES, README, ROOT, Block, anchors, blocks_of, links, project_files

CONSOLE = [block for page in PAGES for block in blocks_of(page, "console")]
TOML = [block for page in PAGES for block in blocks_of(page, "toml")]


@pytest.fixture(scope="module")
def command_line() -> App:
    return build()


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def block_id(block: Block) -> str:
    return f"{name_of(block.page)}: {block.text.splitlines()[0]}"


@pytest.mark.parametrize("block", CONSOLE, ids=block_id)
def test_each_command_that_a_user_types_is_one(command_line: App, block: Block) -> None:
    assert block.typed, "a console block without a line that begins with '$ '"
    for arguments in block.commands("bluegreen"):
        assert arguments[0] in NAMES
        command_line.parse_args(arguments, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("block", CONSOLE, ids=block_id)
def test_each_make_target_that_a_user_types_is_one(block: Block) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for arguments in block.commands("make"):
        assert [word for word in arguments if "=" not in word and word not in targets] == []


def test_bluegreen_and_make_in_running_text_have_the_same_names() -> None:
    """`bluegreen deploy …` between backticks, outside of blocks."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    wrong = []
    for page in PAGES:
        for program, name in re.findall(r"`(bluegreen|make) ([a-z]+(?:-[a-z]+)*)[^`]*`", page.read_text()):
            if name not in (NAMES if program == "bluegreen" else targets):
                wrong.append(f"{name_of(page)}: {program} {name}")
    assert wrong == []


@pytest.mark.parametrize("block", TOML, ids=block_id)
def test_each_configuration_is_accepted(block: Block) -> None:
    parse(block.text, source=name_of(block.page), base_directory=ROOT)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in links(page):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = page.parent / parts.path if parts.path else page
        if not target.exists() or (parts.fragment and parts.fragment not in anchors(target)):
            wrong.append(link)
    assert wrong == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    """Decisions by their directory."""
    directly = {(README.parent / urlsplit(link).path).resolve() for link in links(README) if not urlsplit(link).scheme}
    missing = [name_of(page) for page in PAGES if page != README and not {page, page.parent} & directly]
    assert missing == []


def test_contributing_fits_a_page() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 60


def test_the_changelog_has_the_version_or_says_that_it_is_not_out_yet() -> None:
    titles = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert titles
    assert titles[0] == "Unreleased"


def test_no_file_names_where_this_checkout_or_its_owner_lives_or_a_package_registry() -> None:
    # The registry's name is written so that this file does not find itself.
    places = [re.escape(str(place)) + "/" for place in {ROOT, Path.home()} if len(place.parts) > 1]
    forbidden = re.compile("|".join([*places, "/ho" + "me/[a-z]", "pythonhosted" + r"\.", "pypi" + r"\.(org|python)"]))
    wrong = []
    for path in project_files():
        text = path.read_text(errors="replace")
        wrong += [f"{name_of(path)}: {match.group()}" for match in forbidden.finditer(text)]
    assert wrong == []
