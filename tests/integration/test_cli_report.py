"""`bluegreen report`, as a process that asks a daemon which is not one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bluegreen.domain.errors import UnknownName
from tests.domain.test_report_rendering import view
from tests.integration.cli_support import bluegreen, environment, fake_daemon, write_configuration
from tests.integration.test_cli_queries import as_json
from tests.support.pages import Page

REPORT = view("v2")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_configuration(tmp_path)


def test_without_options_it_is_text_and_json_is_the_answer(config: Path) -> None:
    with fake_daemon(config, report=REPORT) as daemon:
        plain, explicit = bluegreen(config, "report", "app-2"), bluegreen(config, "report", "app-2", "--md")
        answer = bluegreen(config, "report", "app-2", "--json")
    assert plain.stdout == explicit.stdout
    assert plain.stdout.startswith("# app: v2 → v2\n")
    assert json.loads(answer.stdout) == as_json(REPORT)
    assert daemon.asked("report")[0]["deployment"] == "app-2"


def test_both_files_at_once_and_a_report_may_be_written_over(config: Path, tmp_path: Path) -> None:
    page, text = tmp_path / "report.html", tmp_path / "report.md"
    with fake_daemon(config, report=REPORT):
        for _ in range(2):
            result = bluegreen(config, "report", "app-2", "--html", str(page), "--md", str(text))
            assert (result.stdout, result.stderr) == ("", f"written: {page}\nwritten: {text}\n")
        shown = bluegreen(config, "report", "app-2", "--html", "-")
    assert Page.of(page.read_text()).text.count("Rolled back") == 2
    assert text.read_text().startswith("# app")
    assert shown.stdout == page.read_text()
    assert {path.name for path in tmp_path.iterdir()} >= {"report.html", "report.md"}
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".report")] == []


def test_nothing_else_is_written_over(config: Path, tmp_path: Path) -> None:
    before = config.read_text()
    with fake_daemon(config, report=REPORT):
        result = bluegreen(config, "report", "app-2", "--html", str(config))
        nowhere = bluegreen(config, "report", "app-2", "--html", str(tmp_path / "no" / "where.html"))
    assert (result.returncode, config.read_text()) == (2, before)
    assert "is there already and is no report" in result.stderr
    assert nowhere.returncode == 1
    assert "can't be written: No such file or directory" in nowhere.stderr


def test_errors_and_contradictions_are_said(config: Path) -> None:
    unknown = UnknownName("deployment: there is no deployment 'app-9'", hint="Did you mean 'app-2'?")
    with fake_daemon(config, report=unknown):
        result = bluegreen(config, "report", "app-9")
        both = bluegreen(config, "report", "app-2", "--html", "x.html", "--json")
        eaten = bluegreen(config, "report", "app-2", "--html", "--md")
    assert result.returncode == 2
    assert "Did you mean 'app-2'?" in result.stderr
    assert (both.returncode, eaten.returncode) == (2, 2)
    assert "--html: needs a file" in eaten.stderr
    assert "--json" in both.stderr
    assert environment(config)["BLUEGREEN_CONFIG"] == str(config)
