"""The skills for agents: the format, and that every call in them is one that the operations take."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from bluegreen.control.gate import parse
from bluegreen.control.operations import OPERATIONS
from bluegreen.interfaces.cli.app import build, run
from bluegreen.interfaces.cli.skill_commands import description, skills
from tests.docs.pages import ROOT, Block, blocks_of

SKILLS = [path / "SKILL.md" for path in skills()]
BY_TOOL = {operation.tool: operation for operation in OPERATIONS.values()}
CALLS = [block for page in SKILLS for block in blocks_of(page, "json")]
COMMANDS = [block for page in SKILLS for block in blocks_of(page, "console")]
SIX_TOOLS = ("workload_submit", "workload_get", "workload_list", "workload_stop", "metrics_query", "alert_create")


def name_of(page: Path) -> str:
    return page.parent.name


def block_id(block: Block) -> str:
    return f"{block.page.parent.name}: {block.text[:60].strip()}"


def front_matter(page: Path) -> dict[str, Any]:
    opening, matter, body = page.read_text().split("---\n", 2)
    assert opening == ""
    assert body.strip()
    found = import_module("yaml").safe_load(matter)  # It comes with schemathesis, without types.
    assert isinstance(found, dict)
    return found


def test_there_are_the_two_that_the_issue_names_and_one_copy_of_each() -> None:
    assert [name_of(page) for page in SKILLS] == ["blue-green-deploy", "canary-release"]
    assert [page.parents[1] for page in SKILLS] == [ROOT / "skills"] * 2
    assert list((ROOT / "src").rglob("SKILL.md")) == []


@pytest.mark.parametrize("page", SKILLS, ids=name_of)
def test_the_front_matter_follows_the_format(page: Path) -> None:
    matter = front_matter(page)
    assert set(matter) <= {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
    assert matter["name"] == name_of(page)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", matter["name"])
    assert len(matter["name"]) <= 64
    assert 1 <= len(matter["description"]) <= 1024
    assert 1 <= len(matter["compatibility"]) <= 500
    assert all(isinstance(value, str) for value in matter["metadata"].values())
    assert description(page.parent) == matter["description"]


@pytest.mark.parametrize("page", SKILLS, ids=name_of)
def test_it_is_short_enough_to_be_read_whole(page: Path) -> None:
    assert len(page.read_text().splitlines()) < 500
    assert len(page.read_text()) < 5000 * 4  # Recommended: fewer than 5000 tokens, of about four characters each.


@pytest.mark.parametrize("block", CALLS, ids=block_id)
def test_each_call_is_one_that_the_tool_takes(block: Block) -> None:
    call = json.loads(block.text)
    assert set(call) == {"tool", "arguments"}
    parse(BY_TOOL[call["tool"]], call["arguments"])


@pytest.mark.parametrize("block", COMMANDS, ids=block_id)
def test_each_command_is_one_that_the_command_line_takes(block: Block) -> None:
    app = build()
    commands = list(block.commands("bluegreen"))
    assert len(commands) == len(block.typed)
    for arguments in commands:
        app.parse_args(arguments, exit_on_error=False, print_error=False)


def test_tools_in_running_text_exist() -> None:
    for page in SKILLS:
        named = re.findall(r"`((?:bluegreen|workload|metrics|alert)_\w+)`", page.read_text())
        assert set(named) <= set(BY_TOOL), name_of(page)


def test_the_walk_uses_the_six_tools_in_the_order_of_the_procedure() -> None:
    page = SKILLS[0].read_text()
    by_hand = page[page.index("## The same walk by hand") : page.index("### Back, by hand")]
    called = [
        json.loads(text)["tool"] for text in re.findall(r"^```json\n(.*?)^```$", by_hand, re.MULTILINE | re.DOTALL)
    ]
    assert called == [
        "workload_list", "workload_submit", "workload_get", "metrics_query", "workload_submit", "metrics_query",
        "workload_stop", "alert_create",
    ]  # fmt: skip
    assert set(called) == set(SIX_TOOLS)


# -- bluegreen skill ---------------------------------------------------------------------------------------------------


def files_in(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_install_writes_them_into_the_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "some" / "where"
    assert run(["skill", "install", str(target)]) == 0
    assert files_in(target) == files_in(ROOT / "skills")
    assert str(target / "canary-release" / "SKILL.md") in capsys.readouterr().out


def test_without_a_directory_they_go_where_agent_tools_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["skill", "install"]) == 0
    assert files_in(tmp_path / ".agents" / "skills") == files_in(ROOT / "skills")
    assert not (tmp_path / ".claude").exists()
    (tmp_path / ".claude").mkdir()
    assert run(["skill", "install"]) == 0
    assert files_in(tmp_path / ".claude" / "skills") == files_in(ROOT / "skills")


def test_what_was_changed_is_kept_unless_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = tmp_path / "blue-green-deploy" / "SKILL.md"
    changed.parent.mkdir()
    changed.write_text("mine")
    assert run(["skill", "install", str(tmp_path)]) == 1
    assert changed.read_text() == "mine"
    assert str(changed) in capsys.readouterr().err
    assert (tmp_path / "canary-release" / "SKILL.md").exists()
    assert run(["skill", "install", str(tmp_path), "--force"]) == 0
    assert files_in(tmp_path) == files_in(ROOT / "skills")
    capsys.readouterr()
    assert run(["skill", "install", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("up to date") == 2


def test_a_directory_that_is_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run(["skill", "install", str(tmp_path / "file")]) == 2
    assert "directory: " in capsys.readouterr().err


def test_list_names_each_with_its_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["skill", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["blue-green-deploy", "canary-release"]
