"""Greens that are no good: each ends in a clear message and exit code 1, without a request failing on blue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from examples.system import System, until

from tests.e2e import faults
from tests.e2e.faults import SERVICE, blue_untouched, error_of, image, replicas, steady_traffic
from tests.e2e.green import LEAKED

pytest_plugins = ["tests.e2e.fault_fixtures"]

SMOKE_REQUEST = """
[[services.inference-model.smoke]]
name = "first answer"
request = "GET /smoke"
max_seconds = 0.5
"""
SMOKE_COMMAND = """
[[services.inference-model.smoke]]
name = "script"
command = ["sh", "-c", "trap '' TERM; echo $$ > @directory@/smoke.pid; sleep 600 & wait"]
max_seconds = 0.5
"""


@pytest.mark.parametrize(
    ("version", "settings", "words"),
    [
        ("v2", ('command=["no-such-program", "{port}"]',), ["command not found", "'no-such-program'"]),
        ("v2", ('command=["./no-such-program", "{port}"]',), ["command not found", "./no-such-program"]),
        ("v2", ("workdir=/no/such/{tag}",), ["'/no/such/v2'", "can't be entered"]),
        ("deaf", ("health.deadline_seconds=1",), ["within 1 s", "does not listen", "deaf on port"]),
        ("sick", ("health.deadline_seconds=1",), ["within 1 s", "HTTP 500", "/health"]),
        ("flapping", ("health.deadline_seconds=1",), ["within 1 s", "HTTP 500", "/health"]),
        ("stillborn", ("policy.max_restarts=0",), ["crash loop", "exit code: 7", "no such model"]),
    ],
    ids=["command not in PATH", "command not in workdir", "no workdir", "deaf", "sick", "flapping", "stillborn"],
)
def test_a_green_that_does_not_become_healthy_never_gets_traffic(
    shared: System, version: str, settings: tuple[str, ...], words: list[str]
) -> None:
    options = [part for setting in settings for part in ("--set", setting)]
    with blue_untouched(shared) as blue:
        done = shared.run("deploy", SERVICE, "--image", image(version), "--yes", *options)
        assert done.returncode == 1, (done.stdout, done.stderr)
    told = done.stdout + done.stderr
    for expected in words:
        assert expected in told, told
    assert "untouched" in told
    assert blue.version in told
    (recorded,) = [d for d in faults.history(shared) if d.id == shared.status()["deployment"]["id"]]
    assert str(recorded.phase) == "failed"
    assert recorded.cause in told


@pytest.mark.parametrize(
    ("version", "words"),
    [("smokes", ["first answer", "expected HTTP 200, got 500"]), ("hangs", ["first answer", "0.5 s"])],
    ids=["failing", "hanging"],
)
def test_a_smoke_request_that_fails_or_hangs_keeps_green_out(new: System, version: str, words: list[str]) -> None:
    _add(new, SMOKE_REQUEST)
    faults.begin(new)
    with blue_untouched(new):
        done = new.run("deploy", SERVICE, "--image", image(version), "--yes")
        assert done.returncode == 1, (done.stdout, done.stderr)
    for expected in ["smoke test failed", "untouched", *words]:
        assert expected in done.stdout + done.stderr


def test_a_smoke_command_that_hangs_keeps_green_out_and_leaves_nothing_behind(own: System) -> None:
    _add(own, SMOKE_COMMAND)
    assert own.run("reload").returncode == 0
    with blue_untouched(own):
        done = own.run("deploy", SERVICE, "--image", image("v2"), "--yes")
        assert done.returncode == 1, (done.stdout, done.stderr)
        smoke = Path(f"/proc/{(own.directory / 'smoke.pid').read_text().strip()}")
        until(lambda: not smoke.exists(), "end of the hanging smoke command")
    for expected in ["smoke test failed", "script", "0.5 s", "untouched"]:
        assert expected in done.stdout + done.stderr


def test_a_green_that_dies_while_it_waits_for_approval_is_given_up(shared: System) -> None:
    with blue_untouched(shared):
        deployment = shared.deploy("v7", overrides={"policy.auto_promote": "false", "policy.max_restarts": "0"})
        shared.wait(deployment, "awaiting_approval")
        (shared.directory / "die-v7").touch()
        view = shared.wait(deployment, "failed")
        refused = error_of(shared.run("promote", SERVICE), 1)
    assert "crash loop" in view["cause"]
    assert "untouched" in view["cause"]
    assert any("I was told to die" in line for line in view["logs"])
    assert "no deployment under way" in refused


def test_a_green_that_exits_after_it_was_healthy_is_rolled_back_by_itself(shared: System) -> None:
    """It served for a while, then its replicas exit one time after the other, under traffic."""
    version = shared.status()["slots"][shared.status()["active"]]["version"]
    with steady_traffic(shared):
        deployment = shared.deploy("v8", overrides={"policy.monitor_seconds": "60"})
        shared.wait(deployment, "monitoring")
        until(lambda: faults.answered_by(shared) == "v8", "v8 has the traffic")
        (shared.directory / "die-v8").touch()
        view = shared.wait(deployment, "rolled_back")
        with steady_traffic(shared) as afterwards:
            until(lambda: faults.answered_by(shared) == version, f"{version} has the traffic")
    afterwards.assert_no_request_failed()
    assert set(afterwards.report.by_version) == {version}
    assert any(words in view["cause"] for words in ("unhealthy", "crash loop", "failed")), view["cause"]
    assert any("I was told to die" in line for line in view["logs"])
    faults.assert_settled(shared, version)
    shown = shared.run("history", SERVICE)
    assert shown.returncode == 0
    assert deployment in shown.stdout
    assert view["cause"] in shown.stdout, shown.stdout


@pytest.mark.parametrize("how", ["aborted", "rolled back"])
def test_a_green_that_leaks_a_child_leaves_none(shared: System, how: str) -> None:
    """The child has left the process group, the session and the environment, and ignores SIGTERM."""
    version = shared.status()["slots"][shared.status()["active"]]["version"]
    automatic = "false" if how == "aborted" else "true"
    settings = {"policy.auto_promote": automatic, "policy.monitor_seconds": "60", "stop_grace_seconds": "0.3"}
    deployment = shared.deploy("leaks", overrides=settings)
    shared.wait(deployment, "awaiting_approval" if how == "aborted" else "monitoring")
    (child,) = faults.own_processes(shared, LEAKED)
    done = shared.run("abort" if how == "aborted" else "rollback", SERVICE)
    assert done.returncode == 0, done.stderr
    shared.wait(deployment, how.replace(" ", "_"))
    faults.ended(child)
    assert not replicas(shared, "leaks")
    faults.assert_settled(shared, version)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("gpus=5",), "5 GPUs needed, 4 of 8 free"),
        (("replicas=2", "gpus=3"), "6 GPUs needed, 4 of 8 free"),
        (("memory_mb=65000",), "65000 MB of memory needed, 64512 of 65536 free"),
    ],
    ids=["GPUs", "GPUs of two replicas", "memory"],
)
def test_without_room_for_green_beside_blue_nothing_is_started(
    shared: System, settings: tuple[str, ...], words: str
) -> None:
    options = [part for setting in settings for part in ("--set", setting)]
    with blue_untouched(shared):
        asked = shared.run("plan", SERVICE, "--image", image("v2"), *options)
        assert asked.returncode == 1
        assert words in asked.stdout
        done = shared.run("deploy", SERVICE, "--image", image("v2"), "--yes", "--json", *options)
        assert done.returncode == 1, (done.stdout, done.stderr)
        view = json.loads(done.stdout)
    assert view["phase"] == "failed"
    assert words in view["cause"]
    assert "[capacity]" in view["cause"], "what to do is missing"
    kinds = [event["kind"] for event in shared.events(view["id"])]
    assert "action_started" not in kinds, "something was done for a deployment that had no room"


def _add(system: System, text: str) -> None:
    system.config.write_text(system.config.read_text() + text.replace("@directory@", str(system.directory)))
