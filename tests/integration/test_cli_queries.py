"""The command line against a fake daemon: what is read, how errors leave, exit codes."""

from __future__ import annotations

import dataclasses
import json
import socket
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import pytest

from bluegreen import __version__
from bluegreen.control import views as v
from bluegreen.domain.errors import BluegreenError, Refused, UnknownName
from bluegreen.domain.model import Resources
from bluegreen.interfaces.cli.app import run
from bluegreen.spec.paths import daemon_socket
from tests.integration.cli_support import (
    bluegreen,
    deployment,
    environment,
    event,
    fake_daemon,
    good_walk,
    service,
    status,
    write_configuration,
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_configuration(tmp_path)


def as_json(view: Any) -> Any:
    return json.loads(json.dumps(dataclasses.asdict(view)))


def plan(**changes: Any) -> v.PlanView:
    requirement = v.RequirementView("room", True, "4 of 8 GPUs are free")
    view = v.PlanView(
        "shop", "registry/shop:v2", "blue-green", True, (requirement,), ("start", "switch"), (), "green", 2, Resources()
    )
    return dataclasses.replace(view, **changes)


def test_version_needs_nothing_and_is_quick(tmp_path: Path) -> None:
    bluegreen(tmp_path / "none.toml", "version")
    took = []
    for _ in range(3):
        began = time.monotonic()
        result = bluegreen(tmp_path / "none.toml", "version")
        took.append(time.monotonic() - began)
        assert result.stdout == f"bluegreen {__version__}\n"
        assert result.returncode == 0
    assert min(took) <= 0.2


def test_the_daemon_not_running_is_exit_code_3_and_says_what_to_type(config: Path) -> None:
    for arguments in (["status"], ["deploy", "shop"], ["events", "shop-1"], ["reload"], ["down"]):
        result = bluegreen(config, *arguments)
        assert result.returncode == 3
        assert result.stdout == ""
        assert "error: the daemon is not running" in result.stderr
        assert "bluegreen up" in result.stderr


def test_a_daemon_that_goes_away_while_answering_is_exit_code_3(config: Path) -> None:
    path = daemon_socket(config.parent / "state")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(30)
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        result = bluegreen(config, "services")
    assert result.returncode == 3
    assert "went away" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["stats"], 'Did you mean "status"'),
        (["status", "--jsn"], "Did you mean --json"),
        (["deploy"], "SERVICE"),
        (["deploy", "shop", "--set", "replicas"], "KEY=VALUE"),
        (["deploy", "shop", "--set", "a=1", "--set", "a=2"], "twice"),
        (["deploy", "shop", "--detach", "--wait", "switched"], "--wait"),
        (["deploy", "shop", "--wait", "never"], "monitored"),
        (["logs", "shop", "--slot", "red"], "blue"),
        (["logs", "shop", "--follow", "--json"], "--json"),
        (["up", "--foreground", "--deploy"], "--foreground"),
        (["status", "--config", "missing.toml"], "missing.toml"),
    ],
)
def test_wrong_usage_is_exit_code_2_on_stderr_with_a_way_out(config: Path, arguments: list[str], expected: str) -> None:
    result = bluegreen(config, *arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "operation", "view"),
    [
        (["status"], "status", status(deployment(phase="retaining"))),
        (["status", "shop"], "status", status()),
        (["plan", "shop"], "plan", plan()),
        (["promote", "shop"], "promote", deployment(phase="switching")),
        (["abort", "shop"], "abort", deployment(phase="cleaning_up")),
        (["rollback", "shop"], "rollback", v.RollbackView("switch", "back", 0.5, True, deployment())),
        (["history", "shop"], "history", v.HistoryView("shop", (deployment(logs=("a", "b")),))),
        (["logs", "shop"], "logs", v.LogsView("shop", "blue", "shop-1", ("one", "two"), ())),
        (["services"], "services", v.ServicesView(("shop",))),
        (["reload"], "reload", v.ReloadView(("services.shop.replicas",), ())),
        (["deploy", "shop", "--detach"], "deploy", deployment()),
    ],
)
def test_json_is_the_daemons_answer_and_nothing_else(
    config: Path, arguments: list[str], operation: str, view: object
) -> None:
    with fake_daemon(config, **{operation: view}):
        result = bluegreen(config, *arguments, "--json")
        plain = bluegreen(config, *arguments)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == as_json(view)
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout


def test_config_may_stand_before_the_command_and_is_repeated_in_hints(config: Path, tmp_path: Path) -> None:
    other = write_configuration_in(tmp_path / "else where")
    with fake_daemon(other, services=v.ServicesView(("a", "b"))):
        before = bluegreen(config, "--config", str(other), "services")
        after = bluegreen(config, "services", f"--config={other}")
    gone = bluegreen(config, "services", "--config", str(other))
    assert before.stdout == after.stdout == "a\nb\n"
    assert f"bluegreen up --config '{other}'" in gone.stderr


def write_configuration_in(directory: Path) -> Path:
    directory.mkdir()
    return write_configuration(directory)


def test_the_daemons_errors_keep_message_hint_and_exit_code(config: Path) -> None:
    unknown = UnknownName("service: there is no service 'shp'", hint="Did you mean 'shop'?")
    refused = Refused("service: 'shop' has no deployment under way", hint="Its past ones: bluegreen history shop")
    with fake_daemon(config, status=unknown, abort=refused):
        wrong, not_now = bluegreen(config, "status", "shp"), bluegreen(config, "abort", "shop", "--json")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "error: service: there is no service 'shp'\nDid you mean 'shop'?\n"
    assert (not_now.returncode, not_now.stdout) == (1, "")
    assert "bluegreen history shop" in not_now.stderr


def test_an_unexpected_error_is_one_line_and_a_traceback_only_when_asked_for(config: Path) -> None:
    with fake_daemon(config, history={"service": "shop", "deployments": [{"id": "a"}]}, status={"services": 5}):
        short = bluegreen(config, "status")
        debug = bluegreen(config, "history", "shop", BLUEGREEN_DEBUG="1")
    assert short.returncode == 1
    assert "StatusView" in short.stderr
    assert "Traceback" not in short.stderr
    assert debug.returncode == 1


def test_status_shows_every_slot_and_where_the_deployment_stands(config: Path) -> None:
    walk = deployment(phase="monitoring", reason="watching [red]green[/red] for 12 s more")
    with fake_daemon(config, status=status(walk)):
        result = bluegreen(config, "status")
    for expected in ("shop", "● blue", "○ green", "v1", "v2", "2/2", "100 %", "120.0", "monitoring", "generation 4"):
        assert expected in result.stdout
    assert "[red]green[/red]" in result.stdout, "what comes from outside is never markup"


def test_status_of_an_empty_service_says_what_to_type(config: Path) -> None:
    empty = service(slots={"blue": v.SlotView(), "green": v.SlotView()}, active=None, route=None)
    with fake_daemon(config, status=status(services=(empty,), router_alive=False, router="it is down")):
        result = bluegreen(config, "status")
    assert "bluegreen deploy shop" in result.stdout
    assert "it is down" in result.stderr


def test_plan_that_is_not_possible_is_exit_code_1(config: Path) -> None:
    missing = v.RequirementView("room", False, "wants 4 GPUs, 2 are free")
    with fake_daemon(config, plan=plan(possible=False, requirements=(missing,))) as daemon:
        result = bluegreen(config, "plan", "shop", "--image", "v9", "--set", "replicas=3", "--set", "env.A=b=c")
    assert result.returncode == 1
    assert "✗ room: wants 4 GPUs, 2 are free" in result.stdout
    asked = daemon.asked("plan")[0]
    assert asked["image"] == "v9"
    assert asked["overrides"] == {"replicas": "3", "env.A": "b=c"}
    assert asked["requested_by"]


def test_history_shows_outcomes_and_the_reports_of_what_went_wrong(config: Path) -> None:
    now = time.time()
    bad = deployment(
        phase="failed", cause="green was not healthy within 60 s", logs=("boom \x1b[2J", "last words"),
        exit_codes=("replica 0: 3",), ended_at=now + 5,
    )  # fmt: skip
    with fake_daemon(config, history=v.HistoryView("shop", (bad,))):
        result = bluegreen(config, "history", "shop", "--details")
    for expected in ("shop-abc234", "failed", "not healthy within 60 s", "last words", "replica 0: 3", "5.0 s"):
        assert expected in result.stdout
    assert "\x1b[2J" not in result.stdout, "a workload's log must not steer the terminal"


def test_events_follow_prints_json_lines_until_the_end(config: Path) -> None:
    log = [event(1, "deployment_requested"), event(4, "verified"), event(9, "deployment_completed")]

    def answer(request: dict[str, Any]) -> v.EventsView:
        news = [found for found in log if found.sequence > request["after"]][:1]
        return v.EventsView(tuple(news), ended=request["after"] >= 4, phase="completed")

    with fake_daemon(config, events=answer) as daemon:
        followed = bluegreen(config, "events", "shop-abc234", "--follow", "--json")
        once = bluegreen(config, "events", "shop-abc234")
    assert [json.loads(line) for line in followed.stdout.splitlines()] == [as_json(found) for found in log]
    assert followed.returncode == 0
    assert daemon.asked("events")[1]["wait_seconds"] > 0, "it waits in the daemon instead of asking all the time"
    assert len(once.stdout.splitlines()) == 1
    assert "deployment_requested" in once.stdout


def test_validate_prints_every_problem_at_once(config: Path) -> None:
    assert bluegreen(config, "validate").stdout == "ok: 2 services\n"
    config.write_text(config.read_text().replace('path = "/"', 'path = "/", rise = 0', 1) + "\n[capacity]\ngpu = 1\n")
    result = bluegreen(config, "validate")
    assert result.returncode == 2
    assert "services.shop.health.rise" in result.stderr
    assert "capacity.gpu" in result.stderr


def test_a_broken_file_does_not_stop_a_question_to_the_daemon(config: Path) -> None:
    config.write_text(config.read_text() + "\n[capacity]\nnonsense = 1\n")
    with fake_daemon(config):
        assert bluegreen(config, "services").returncode == 0
    config.write_text("[daemon\n")
    result = bluegreen(config, "services")
    assert result.returncode == 2
    assert "line 1" in result.stderr


def test_doctor_finds_what_is_there_and_what_is_missing(config: Path) -> None:
    with fake_daemon(config, status=status()):
        up = bluegreen(config, "doctor", "--json")
    found = {finding["name"]: finding for finding in json.loads(up.stdout)["findings"]}
    assert {"python", "haproxy", "configuration", "state directory", "daemon", "router", "GPUs"} <= set(found)
    assert found["daemon"]["ok"] and found["python"]["ok"] and found["state directory"]["ok"]
    config.write_text('[router]\nhaproxy = "/no/such/haproxy"\n')
    down = bluegreen(config, "doctor")
    assert down.returncode == 1
    assert "/no/such/haproxy" in down.stdout
    assert "→ bluegreen up" in down.stdout


def test_rollback_without_a_daemon_goes_to_the_router_directly(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def direct_rollback(config_path: Path, service: str, requested_by: str) -> v.RollbackView:
        assert (config_path, service) == (config, "shop")
        assert requested_by
        return v.RollbackView("switch", "all traffic of shop is on blue again", 0.7, False, None)

    composition_root = types.ModuleType("bluegreen.main")
    vars(composition_root)["direct_rollback"] = direct_rollback
    monkeypatch.setitem(sys.modules, "bluegreen.main", composition_root)
    assert run(["rollback", "shop", "--config", str(config)]) == 0
    told = capsys.readouterr()
    assert "the daemon is not running" in told.err
    assert "switching the router directly" in told.err
    assert told.out == "✓ all traffic of shop is on blue again (0.7 ms)\n"
    assert run(["rollback", "shop", "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recorded"] is False


def test_rollback_with_a_hanging_daemon_does_not_wait_for_it(config: Path) -> None:
    path = daemon_socket(config.parent / "state")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        began = time.monotonic()
        result = bluegreen(config, "rollback", "nonsense")
        took = time.monotonic() - began
    assert "did not answer within 3 s" in result.stderr
    assert 3 <= took < 15


def test_rollback_by_a_new_walk_waits_until_it_has_the_traffic(config: Path) -> None:
    walk = good_walk()
    begun = v.RollbackView("deploy", "v1 is started again", None, True, walk.view)
    with fake_daemon(config, **{**walk.answers(), "rollback": begun}):
        result = bluegreen(config, "rollback", "shop", "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout)["deployment"]["phase"] in ("monitoring", "retaining")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(config: Path, shell: str) -> None:
    result = bluegreen(config, "completion", shell)
    assert result.returncode == 0
    for name in ("deploy", "rollback", "history"):
        assert name in result.stdout


def test_completion_offers_the_services_of_the_configuration(config: Path) -> None:
    result = bluegreen(config, "__complete", "status", "s")
    assert "shop" in result.stdout
    assert "search" in result.stdout


def test_output_that_nobody_reads_any_more_is_no_error(config: Path) -> None:
    lines = v.LogsView("shop", "blue", "shop-1", tuple("x" * 200 for _ in range(5000)), ())
    with fake_daemon(config, logs=lines):
        shell = f"{sys.executable} -m bluegreen logs shop | head -n 1"
        result = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {shell}"], env=environment(config), capture_output=True, text=True,
            timeout=30, check=False,
        )  # fmt: skip
    assert result.stdout == "x" * 200 + "\n"
    assert "Traceback" not in result.stderr and "Exception" not in result.stderr


def test_an_answer_without_an_explanation_names_the_log(config: Path) -> None:
    with fake_daemon(config, services=BluegreenError("it broke", hint="daemon.log")):
        result = bluegreen(config, "services")
    assert (result.returncode, result.stderr) == (1, "error: it broke\ndaemon.log\n")


def test_a_deployment_under_way_says_what_it_waits_for_and_the_history_which_share_it_has(config: Path) -> None:
    reason = "watching v2 (green) at 10 % (step 1 of 3) for 5 s more"
    view = deployment(phase="monitoring", share=10, steps=(10, 50, 100), reason=reason)
    with fake_daemon(config, deployment=view, history=v.HistoryView("shop", (view,))):
        assert reason in bluegreen(config, "deployment", "shop-abc234").stdout
        assert "monitoring at 10 %" in bluegreen(config, "history", "shop").stdout
