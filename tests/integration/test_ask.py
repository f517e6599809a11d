"""`bluegreen ask`: the command that it shows is the command that it runs, and nothing changes without a yes."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pexpect
import pytest

from bluegreen.control import views as v
from bluegreen.control.gate import parse
from bluegreen.control.operations import OPERATIONS
from bluegreen.domain.errors import Refused
from bluegreen.domain.grammar import Understood, understand
from bluegreen.domain.model import Resources
from bluegreen.interfaces.cli.app import build
from tests.integration.cli_support import (
    bluegreen,
    command,
    deployment,
    environment,
    fake_daemon,
    good_walk,
    service,
    status,
    write_configuration,
)

PAGE = (Path(__file__).parents[2] / "docs" / "ask.md").read_text()
SENTENCES = re.findall(r"^\| ([^|]+?) \| `bluegreen [^`]+` \|$", PAGE, re.MULTILINE)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_configuration(tmp_path)


def rolled_back() -> v.RollbackView:
    return v.RollbackView("switch", "all traffic of shop is on blue (v1) again", 1.2, True, None)


def on_a_terminal(config: Path, *arguments: str) -> Any:
    program, *rest = command(*arguments)
    return pexpect.spawn(
        program, rest, env=environment(config), encoding="utf-8", timeout=20, dimensions=(40, 140), cwd=config.parent
    )


@pytest.mark.parametrize("sentence", SENTENCES)
def test_arguments_and_command_line_are_accepted_and_mean_the_same(sentence: str) -> None:
    found = understand(sentence, ("inference-model", "api"))
    assert isinstance(found, Understood)
    parse(OPERATIONS[found.operation], dict(found.arguments))
    function, bound, _ = build().parse_args(list(found.words), exit_on_error=False, print_error=False)
    assert function.__name__ == found.operation
    given = dict(found.arguments)
    given["settings"] = tuple(f"{key}={value}" for key, value in given.pop("overrides", {}).items())
    given["message"] = given.pop("note", "")
    for name, value in bound.arguments.items():
        if name not in ("detach",):
            assert given.get(name, value) == value


def test_a_deployment_is_followed_like_that_of_the_command(config: Path) -> None:
    with fake_daemon(config, **good_walk().answers()) as daemon:
        result = bluegreen(config, "ask", "Deploy shop v2 using blue-green with 3 replicas", "--yes")
    assert result.returncode == 0, result.stderr
    (request,) = daemon.asked("deploy")
    assert request["service"] == "shop"
    assert request["image"] == "v2"
    assert request["overrides"] == {"replicas": "3"}
    assert "→ bluegreen deploy shop --image v2 --strategy blue-green --set replicas=3" in result.stderr
    assert "✓ shop now runs v2" in result.stdout


def test_without_a_terminal_and_a_yes_nothing_is_changed_and_the_command_is_printed(config: Path) -> None:
    with fake_daemon(config, rollback=rolled_back()) as daemon:
        result = bluegreen(config, "ask", "roll back shop because errors went up")
        as_json = bluegreen(config, "ask", "roll back shop", "--json")
    assert result.returncode == as_json.returncode == 2
    assert "bluegreen rollback shop --reason 'errors went up'" in result.stderr
    assert daemon.asked("rollback") == []


def test_with_yes_it_is_done_and_the_reason_is_kept(config: Path) -> None:
    with fake_daemon(config, rollback=rolled_back()) as daemon:
        result = bluegreen(config, "ask", "roll back shop because errors went up", "--yes")
    assert result.returncode == 0, result.stderr
    assert "all traffic of shop is on blue" in result.stdout
    (request,) = daemon.asked("rollback")
    assert request["reason"] == "errors went up"


@pytest.mark.parametrize(("answer", "asked", "exit_code"), [("y", 1, 0), ("n", 0, 1), ("", 0, 1), ("maybe", 0, 1)])
def test_on_a_terminal_it_asks(config: Path, answer: str, asked: int, exit_code: int) -> None:
    with fake_daemon(config, rollback=rolled_back()) as daemon:
        terminal = on_a_terminal(config, "ask", "undo the last deployment of shop")
        terminal.expect_exact("→ bluegreen rollback shop")
        terminal.expect_exact("Do it? [y/N] ")
        assert daemon.asked("rollback") == []
        terminal.sendline(answer)
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == exit_code
    assert len(daemon.asked("rollback")) == asked


def test_a_deployment_on_a_terminal_is_asked_about_once(config: Path) -> None:
    with fake_daemon(config, **good_walk().answers()) as daemon:
        terminal = on_a_terminal(config, "ask", "deploy shop v2 in the background")
        terminal.expect_exact("Do it? [y/N] ")
        terminal.sendline("y")
        terminal.expect_exact("has begun")
        terminal.expect(pexpect.EOF)
    assert len(daemon.asked("deploy")) == 1


def test_looking_is_not_asked_about(config: Path) -> None:
    history = v.HistoryView("shop", (deployment(),))
    with fake_daemon(config, status=status(), history=history) as daemon:
        assert "shop" in bluegreen(config, "ask", "how is shop doing?").stdout
        result = bluegreen(config, "ask", "what happened to shop yesterday", "--json")
    assert json.loads(result.stdout) == json.loads(json.dumps(dataclasses.asdict(history)))
    assert "not used: yesterday" in result.stderr
    assert daemon.asked("history") == [{"service": "shop", "limit": 20}]


def test_what_was_not_understood_is_said_with_examples(config: Path) -> None:
    with fake_daemon(config) as daemon:
        result = bluegreen(config, "ask", "deploy shop v2 if the moon is full", "--yes")
        as_json = bluegreen(config, "ask", "deploy shopp v2", "--yes", "--json")
    assert result.returncode == as_json.returncode == 2
    assert "condition" in result.stderr
    assert "service: shop" in result.stderr
    examples = re.findall(r"^  (bluegreen ask .*)$", result.stderr, re.MULTILINE)
    assert len(examples) == 3
    for line in examples:
        assert isinstance(understand(shlex.split(line)[2], ("shop", "search")), Understood)
    said = json.loads(as_json.stdout)
    assert said["understood"] is False
    assert "did you mean 'shop'" in said["problem"]
    assert {operation for operation, _ in daemon.requests} == {"services"}


def test_without_a_daemon_the_services_are_those_of_the_file(config: Path) -> None:
    result = bluegreen(config, "ask", "status of search")
    assert result.returncode == 3
    assert "→ bluegreen status search" in result.stderr
    assert bluegreen(config, "ask", "status of nothing").returncode == 2


def test_a_refusal_of_the_operation_is_that_of_the_command(config: Path) -> None:
    refused = Refused("strategy: 'canary' is not one of blue-green", hint="Leave --strategy out for blue-green")
    with fake_daemon(config, deploy=refused) as daemon:
        result = bluegreen(config, "ask", "do a canary release of shop v3", "--yes")
    assert result.returncode == 1
    assert "error: strategy: 'canary'" in result.stderr
    assert daemon.asked("deploy")[0]["strategy"] == "canary"


@pytest.mark.parametrize(
    ("sentence", "operation", "right"),
    [
        ("promote green of shop", "promote", True),
        ("promote blue of shop", "promote", False),
        ("switch shop back to blue", "rollback", True),
        ("switch shop back to green", "rollback", False),
    ],
)
def test_a_color_that_is_named_must_be_the_one(config: Path, sentence: str, operation: str, right: bool) -> None:
    answers = {"status": status(deployment()), "rollback": rolled_back(), "promote": deployment()}
    with fake_daemon(config, **answers) as daemon:
        result = bluegreen(config, "ask", sentence, "--yes")
    assert len(daemon.asked(operation)) == int(right)
    assert result.returncode == (0 if right else 1), result.stderr
    assert right or "it says" in result.stderr


def test_going_back_to_what_has_the_traffic_is_refused(config: Path) -> None:
    settled = v.StatusView((service(None),), "HAProxy", True, "127.0.0.1:8080", 1, "0.1.0")
    with fake_daemon(config, status=settled, rollback=rolled_back()) as daemon:
        result = bluegreen(config, "ask", "switch shop back to blue", "--yes")
    assert result.returncode == 1
    assert "has the traffic already" in result.stderr
    assert daemon.asked("rollback") == []


def test_terminal_control_in_a_sentence_is_not_repeated(config: Path) -> None:
    with fake_daemon(config):
        result = bluegreen(config, "ask", "deploy shop v2\x1b[2J", "--yes")
    assert result.returncode == 2
    assert "\x1b" not in result.stderr


def test_who_is_asked_about_a_deployment_is_told_the_image(config: Path) -> None:
    walk = good_walk().answers()
    plan = v.PlanView("shop", "registry/shop:v1", "blue-green", True, (), (), (), "green", 1, Resources())
    with fake_daemon(config, **walk, plan=plan) as daemon:
        terminal = on_a_terminal(config, "ask", "deploy shop")
        terminal.expect_exact("brings registry/shop:v1, the configured image")
        terminal.expect_exact("Do it? [y/N] ")
        terminal.sendline("n")
        terminal.expect(pexpect.EOF)
    assert daemon.asked("plan")[0]["service"] == "shop"
    assert daemon.asked("deploy") == []
