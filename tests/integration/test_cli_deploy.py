"""`bluegreen deploy` as a person and as a build server see it, against a fake daemon."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pexpect
import pytest

from bluegreen.control import views as v
from bluegreen.domain.errors import Refused
from tests.integration.cli_support import (
    Walk,
    bluegreen,
    command,
    deployment,
    environment,
    event,
    fake_daemon,
    good_walk,
    service,
    status,
    write_configuration,
)
from tests.integration.test_cli_queries import plan


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_configuration(tmp_path)


def on_a_terminal(config: Path, *arguments: str) -> Any:
    """The command line on a pseudo terminal of 40 lines and 140 columns."""
    program, *rest = command(*arguments)
    env = environment(config)
    env.pop("COLUMNS")
    return pexpect.spawn(program, rest, env=env, encoding="utf-8", timeout=20, dimensions=(40, 140), cwd=config.parent)


def failed_walk() -> Walk:
    cause = "green of 'shop' was not healthy within 60 s (HTTP 503); blue is untouched"
    words = {"cause": cause, "logs": ("loading weights", "weights are cut off"), "exit_codes": ("replica 0: exit 3",)}
    request = event(1, "deployment_requested", requested_by="ada", image="registry/shop:v2", strategy="blue-green")
    return Walk(
        ({"phase": "starting"}, [request, event(2, "preflight_passed", checks=[], blue_found="")]),
        ({"phase": "cleaning_up", "cause": cause}, [event(3, "deployment_failing", cause=cause)]),
        ({"phase": "failed", "ended_at": time.time(), **words}, [event(4, "deployment_failed")]),
    )


def test_lines_for_a_build_server(config: Path) -> None:
    with fake_daemon(config, **good_walk().answers()) as daemon:
        result = bluegreen(config, "deploy", "shop", "--image", "v2", "--set", "replicas=2", "--note", "friday")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    command_at = next(index for index, line in enumerate(lines) if "bluegreen rollback shop" in line)
    switch_at = next(index for index, line in enumerate(lines) if "traffic moved" in line)
    assert command_at < switch_at, "the way back is known before the switch"
    assert "acknowledged in 0.4 ms" in lines[switch_at]
    for phase, what in [("starting", "the new version is started"), ("verifying", "2/2 replicas healthy")]:
        assert any(phase in line and what in line for line in lines)
    assert "✓ shop now runs v2" in result.stdout
    assert "rollback is instant until" in result.stdout
    assert "\x1b" not in result.stdout, "no terminal, no escape sequences"
    asked = daemon.asked("deploy")[0]
    assert (asked["image"], asked["overrides"], asked["note"]) == ("v2", {"replicas": "2"}, "friday")


def test_json_is_the_final_deployment_only(config: Path) -> None:
    walk = good_walk()
    with fake_daemon(config, **walk.answers()):
        result = bluegreen(config, "deploy", "shop", "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout)["phase"] == "retaining"
    assert result.stderr == ""


def test_wait_chooses_the_moment(config: Path) -> None:
    switched, completed = good_walk(), good_walk()
    completed.scenes += (({"phase": "completed", "ended_at": time.time()}, [event(8, "deployment_completed")]),)
    with fake_daemon(config, **switched.answers()):
        result = bluegreen(config, "deploy", "shop", "--wait", "switched")
    assert result.returncode == 0
    assert switched.view.phase == "monitoring"
    assert "goes on watching" in result.stdout
    with fake_daemon(config, **completed.answers()):
        assert bluegreen(config, "deploy", "shop", "--wait", "completed").returncode == 0
    assert completed.view.phase == "completed"


def test_a_failure_is_exit_code_1_with_cause_and_last_words(config: Path) -> None:
    with fake_daemon(config, **failed_walk().answers()):
        result = bluegreen(config, "deploy", "shop")
        again = bluegreen(config, "deploy", "shop", "--json")
    assert result.returncode == again.returncode == 1
    for expected in ("✗ shop-abc234 failed", "HTTP 503", "weights are cut off", "replica 0: exit 3", "never touched"):
        assert expected in result.stdout
    assert json.loads(again.stdout)["phase"] == "failed"


def test_a_rollback_of_its_own_is_exit_code_1_and_says_who_has_the_traffic(config: Path) -> None:
    walk = good_walk()
    now = time.time()
    walk.scenes = (
        *walk.scenes[:4],
        (
            {"phase": "rolling_back"},
            [event(7, "rollback_requested", cause="5 % errors", requested_by="", automatic=True)],
        ),
        (
            {"phase": "rolled_back", "cause": "5 % errors", "rollback_milliseconds": 0.3, "ended_at": now},
            [event(8, "deployment_rolled_back")],
        ),
    )
    with fake_daemon(config, **walk.answers()):
        result = bluegreen(config, "deploy", "shop")
    assert result.returncode == 1
    assert "rolling back by itself: 5 % errors" in result.stdout
    assert "registry/shop:v1 has all traffic again (0.3 ms)" in result.stdout


def test_a_refused_deployment_is_exit_code_1(config: Path) -> None:
    with fake_daemon(config, deploy=Refused("deployment shop-zzz is monitoring", hint="bluegreen status shop")):
        result = bluegreen(config, "deploy", "shop")
    assert (result.returncode, result.stdout) == (1, "")
    assert "shop-zzz" in result.stderr


def test_monitoring_that_holds_is_said_clearly(config: Path) -> None:
    walk = good_walk()
    holding = "holding: 3 requests are too few to judge. Accept green with: bluegreen promote shop"
    walk.scenes = (*walk.scenes[:4], ({"reason": holding}, []), ({"reason": holding}, []), walk.scenes[4])
    with fake_daemon(config, **walk.answers()):
        result = bluegreen(config, "deploy", "shop")
    held = [line for line in result.stdout.splitlines() if "HOLDING" in line]
    assert len(held) == 1, "said once, not each time that it looks"
    assert "bluegreen promote shop" in held[0] and "bluegreen rollback shop" in held[0]


def canary_walk(**options: Any) -> Walk:
    """From preflight to retention, over a step of 10 %."""
    good = good_walk()
    request = event(1, "deployment_requested", requested_by="ada", image="shop:v2", strategy="canary", steps=[10, 100])
    both = [{"color": "blue", "weight": 90}, {"color": "green", "weight": 10}]
    preflight = ({"phase": "starting", "steps": (10, 100)}, [request, *good.scenes[0][1][1:]])
    step = (
        {"phase": "monitoring", "share": 10, "reason": "watching v2 (green) at 10 % (step 1 of 2) for 5 s more"},
        [event(6, "traffic_switched", targets=both, generation=5, milliseconds=0.4)],
    )
    growing = (
        {"phase": "switching", "reason": "starting 1 more replica"},
        [event(7, "step_passed", verdict="0 errors", requests=50, errors=0)],
    )
    all_of_it = [event(8, "traffic_switched", targets=[{"color": "green", "weight": 100}], milliseconds=1)]
    passed = [event(9, "monitoring_passed", verdict="0 errors", requests=500, errors=0)]
    ends = (good.scenes[3][0], all_of_it), (good.scenes[4][0], passed)
    return Walk(preflight, *good.scenes[1:3], step, growing, *ends, **options)


def test_a_canary_has_switched_when_all_of_the_traffic_has_moved(config: Path) -> None:
    with fake_daemon(config, **canary_walk().answers()):
        result = bluegreen(config, "deploy", "shop", "--strategy", "canary", "--wait", "switched")
    assert result.returncode == 0, result.stderr
    assert "90 % to blue, 10 % to green" in result.stdout
    assert result.stdout.index("100 % to green") < result.stdout.index("✓ shop now runs v2")
    assert "monitoring passed" not in result.stdout, "it returned at the switch"


def test_a_canary_step_that_holds_says_what_a_promotion_does(config: Path) -> None:
    walk = canary_walk()
    no_room = {"reason": "holding: at 10 %, no room", "attention": "green can't grow for its next share"}
    walk.scenes = (
        *walk.scenes[:4],
        ({"reason": "holding: at 10 % (step 1 of 2): 3 requests so far"}, []),
        walk.scenes[4],
        (no_room, []),
        ({"attention": "", "reason": "checking green once more"}, []),
        *walk.scenes[5:],
    )
    with fake_daemon(config, **walk.answers()):
        result = bluegreen(config, "deploy", "shop", "--strategy", "canary")
    told, grows = [line for line in result.stdout.splitlines() if "HOLDING" in line]
    assert "Let green have 100 %: bluegreen promote shop" in told
    assert "green can't grow for its next share. It goes on by itself" in grows
    assert "promote" not in grows, "a promotion makes no room"


def test_the_screen_of_a_canary_tells_its_steps(config: Path) -> None:
    walk = canary_walk(hold_at=4)
    with fake_daemon(config, **walk.answers(), plan=plan()):
        terminal = on_a_terminal(config, "deploy", "shop", "--strategy", "canary", "--yes")
        for expected in ("monitoring at 10 %", "step 1 of 2", "monitoring at 100 %", "retaining"):
            terminal.expect(expected)
        walk.hold_at = None
        terminal.expect("now runs v2")
        terminal.close()


def test_a_daemon_that_restarts_is_waited_for(config: Path) -> None:
    walk = good_walk(hold_at=2)
    with fake_daemon(config, **walk.answers()) as daemon:
        process = subprocess.Popen(
            command("deploy", "shop"), env=environment(config), stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        read = _read_until(process, "the new version is started")
        daemon.stop()
        read += _read_until(process, "not running")
        walk.hold_at = None
        daemon.start()
        rest, _ = process.communicate(timeout=20)
    assert process.returncode == 0, read + rest
    assert "✓ shop now runs v2" in rest


def _read_until(process: subprocess.Popen[str], text: str) -> str:
    read = ""
    assert process.stdout is not None
    for line in process.stdout:
        read += line
        if text in line:
            return read
    raise AssertionError(f"ended without {text!r}:\n{read}")


def test_a_daemon_that_stays_away_is_exit_code_3(config: Path) -> None:
    with fake_daemon(config, **good_walk(hold_at=2).answers()) as daemon:
        process = subprocess.Popen(
            command("deploy", "shop"),
            env=environment(config),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        _read_until(process, "the new version is started")
        daemon.stop()
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "continues at the next `bluegreen up`" in errors
    assert "bluegreen rollback shop" in errors


def test_the_screen_on_a_terminal(config: Path) -> None:
    walk = good_walk(hold_at=4)
    with fake_daemon(config, **walk.answers(), plan=plan()):
        terminal = on_a_terminal(config, "deploy", "shop")
        terminal.expect("Requirements")
        terminal.expect("Deploy\\? ")
        terminal.sendline("y")
        terminal.expect("bluegreen rollback shop")
        for expected in ("switching", "monitoring", "SLOT", "blue", "120.0", "0.00 %"):
            terminal.expect(expected)
        walk.hold_at = None
        terminal.expect("now runs v2")
        terminal.expect("rollback is instant until")
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 0


def test_no_is_an_answer(config: Path) -> None:
    with fake_daemon(config, **good_walk().answers(), plan=plan()) as daemon:
        terminal = on_a_terminal(config, "deploy", "shop")
        terminal.expect("Deploy\\? ")
        terminal.sendline("")
        terminal.expect("nothing was changed")
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 1
    assert daemon.asked("deploy") == []


def test_nobody_is_asked_about_what_is_not_possible(config: Path) -> None:
    missing = plan(possible=False, requirements=(v.RequirementView("room", False, "wants 4 GPUs, 2 are free"),))
    with fake_daemon(config, **good_walk().answers(), plan=missing) as daemon:
        terminal = on_a_terminal(config, "deploy", "shop")
        terminal.expect("error: .*wants 4 GPUs")
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 1
    assert daemon.asked("deploy") == []


def test_ctrl_c_leaves_and_the_deployment_goes_on(config: Path) -> None:
    walk = good_walk(hold_at=2)
    with fake_daemon(config, **walk.answers()) as daemon:
        terminal = on_a_terminal(config, "deploy", "shop", "--yes")
        terminal.expect("verifying")
        terminal.sendintr()
        terminal.expect("goes on in the daemon")
        terminal.expect("bluegreen status shop --watch")
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 130
    assert daemon.asked("abort") == daemon.asked("rollback") == []


def test_watching_the_status_until_ctrl_c(config: Path) -> None:
    with fake_daemon(config, status=status(deployment(phase="monitoring", reason="watching green"))):
        terminal = on_a_terminal(config, "status", "shop", "--watch")
        for _ in range(2):
            terminal.expect("watching green")
        terminal.sendintr()
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 130


def test_logs_are_followed_through_a_rotation(config: Path, tmp_path: Path) -> None:
    log = tmp_path / "replica-0.log"
    log.write_text("old\n")
    view = v.LogsView("shop", "green", "shop-2", ("old",), (str(log),))
    with fake_daemon(config, logs=view):
        process = subprocess.Popen(
            command("logs", "shop", "--follow"), env=environment(config), stdout=subprocess.PIPE, text=True
        )
        try:
            _read_until(process, "old")
            _until_it_is_open(process.pid, log)
            with log.open("a") as file:
                file.write("before\nlast ")
            assert _read_until(process, "before") == "before\n"
            with log.open("a") as file:
                file.write("words\n")
            log.rename(tmp_path / "replica-0.log.1")
            log.write_text("after\n")
            assert _read_until(process, "after") == "last words\nafter\n"
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _until_it_is_open(pid: int, path: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if any(link.resolve() == path for link in Path(f"/proc/{pid}/fd").iterdir()):
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} was not opened")


def test_up_when_it_runs_already_says_so_and_deploys_what_is_missing(config: Path) -> None:
    empty = service(slots={"blue": v.SlotView(), "green": v.SlotView()}, active=None, route=None)
    nameless = service(name="search", image="", active=None, deployment=None)
    walk = good_walk()
    shown = [status(services=(empty, nameless, service(name="old")))]

    def status_answer(request: dict[str, Any]) -> v.StatusView:
        return shown[0] if not request["service"] else status(walk.view)

    with fake_daemon(config, **{**walk.answers(), "status": status_answer}) as daemon:
        result = bluegreen(config, "up", "--deploy")
    assert result.returncode == 0, result.stderr
    assert "up already" in result.stdout
    assert "search has no version and no configured image" in result.stderr
    assert [asked["service"] for asked in daemon.asked("deploy")] == ["shop"]
    assert "✓ shop now runs v2" in result.stdout


def test_up_shows_the_daemons_last_words_and_its_exit_code(config: Path) -> None:
    config.write_text(config.read_text() + "\n[capacity]\nnonsense = 1\n")
    result = bluegreen(config, "up")
    assert result.returncode in (1, 2)
    assert result.stderr.startswith("error: ")
    assert result.stdout == ""


def test_down_waits_for_the_daemon_to_end(config: Path) -> None:
    daemon_process = subprocess.Popen(["sleep", "60"])

    def shutdown(request: dict[str, Any]) -> v.MessageView:
        daemon_process.kill()
        daemon_process.wait()
        return v.MessageView("daemon, router and 2 workloads stop")

    try:
        with fake_daemon(config, status=status(pid=daemon_process.pid), shutdown=shutdown) as daemon:
            result = bluegreen(config, "down", "--keep-workloads")
    finally:
        daemon_process.kill()
        daemon_process.wait()
    assert (result.returncode, result.stdout) == (0, "daemon, router and 2 workloads stop\n")
    assert daemon.asked("shutdown") == [{"keep_workloads": True, "force": False, "daemon_only": False}]
