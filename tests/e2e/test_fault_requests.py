"""Requests that can't be granted: refused at once with what to do, and nothing is touched."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from examples.system import System

from tests.e2e import faults
from tests.e2e.faults import SERVICE, blue_untouched, error_of, image, open_stream

pytest_plugins = ["tests.e2e.fault_fixtures"]

REQUEST_COMMANDS = [
    ("deploy", "--image", image("v2"), "--yes"),
    ("plan", "--image", image("v2")),
    ("rollback",),
    ("promote",),
    ("abort",),
    ("history",),
    ("logs",),
    ("status",),
]


def test_an_unknown_service_is_named_with_the_nearest_one(shared: System) -> None:
    with blue_untouched(shared), ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda words: shared.run(words[0], "inference-modell", *words[1:]), REQUEST_COMMANDS))
    for result in done:
        told = error_of(result, 2)
        assert "no service 'inference-modell'" in told
        assert "Did you mean 'inference-model'?" in told


def test_the_image_that_runs_already_is_refused(shared: System) -> None:
    with blue_untouched(shared) as blue:
        for wanted in (image(blue.version), blue.version):
            told = error_of(shared.run("deploy", SERVICE, "--image", wanted, "--yes"), 1)
            assert f"{image(blue.version)} is what '{SERVICE}' runs already" in told
            assert "--force" in told
        before = len(faults.history(shared))
        planned = shared.run("plan", SERVICE, "--image", image(blue.version))
        assert "deploy refuses it" in planned.stdout
    assert len(faults.history(shared)) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--set", "replicas=many"), "replicas"),
        (("--set", "replicas=0", "--set", "health.rise=0"), "health.rise: must be ≥ 1, got 0"),
        (("--set", "no_such_key=1"), "no_such_key"),
        (("--image", "a b"), "a b' is not an image reference"),
        (("--image", "../../etc:passwd"), "is not an image reference"),
        (("--strategy", "purple"), "'purple' is not one of"),
    ],
    ids=["no number", "out of range", "unknown key", "image with a space", "image with a path", "unknown strategy"],
)
def test_what_cannot_be_meant_is_wrong_usage(shared: System, options: tuple[str, ...], words: str) -> None:
    given = options if "--image" in options else ("--image", image("v2"), *options)
    before = len(faults.history(shared))
    told = error_of(shared.run("deploy", SERVICE, "--yes", *given), 2)
    assert words in told
    assert len(faults.history(shared)) == before


def test_of_two_deployments_at_once_the_second_is_refused_with_the_firsts_id(shared: System) -> None:
    """Held before the switch, so that the first one is still under way when the second is answered."""
    (shared.directory / "hold-v5").touch()
    options = ("--yes", "--detach", "--set", "policy.auto_promote=false")
    with blue_untouched(shared):
        before = len(faults.history(shared))
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda _: shared.run("deploy", SERVICE, "--image", image("v5"), *options), range(2)))
        first, second = sorted(both, key=lambda done: done.returncode)
        assert first.returncode == 0, first.stderr
        told = error_of(second, 1)
        deployment = re.search(rf"{SERVICE}-[0-9a-z]{{6}}", first.stdout)
        assert deployment is not None
        assert deployment[0] in told
        assert "one deployment at a time" in told
        assert f"bluegreen abort {SERVICE}" in told
        assert len(faults.history(shared)) == before + 1
        assert shared.run("abort", SERVICE).returncode == 0
        shared.wait(deployment[0], "aborted")


def test_a_deployment_during_a_rollback_is_refused(shared: System) -> None:
    """The rollback is held open by a stream that green still serves; the traffic itself is back at once."""
    blue = faults.Blue.of(shared)
    deployment = shared.deploy("v6", overrides={"policy.monitor_seconds": "60", "policy.drain_timeout_seconds": "2"})
    shared.wait(deployment, "monitoring")
    with open_stream(shared):
        assert shared.run("rollback", SERVICE).returncode == 0
        assert faults.answered_by(shared) == blue.version
        told = error_of(shared.run("deploy", SERVICE, "--image", image("v2"), "--yes"), 1)
        assert shared.call("deployment", deployment=deployment)["phase"] == "rolling_back", "the test was too slow"
        view = shared.wait(deployment, "rolled_back")
    assert deployment in told
    assert "rolling_back" in told
    assert view["cut_requests"] == 1
    faults.assert_settled(shared, blue.version)


def test_rollback_with_nothing_to_roll_back_to(new: System) -> None:
    new.up()
    told = error_of(new.run("rollback", SERVICE), 1)
    assert "no earlier version to go back to" in told
    faults.begin(new)
    with blue_untouched(new):
        told = error_of(new.run("rollback", SERVICE), 1)
    assert "no earlier version to go back to" in told
    assert f"bluegreen history {SERVICE}" in told


def test_promote_and_abort_without_a_deployment_are_refused(shared: System) -> None:
    with blue_untouched(shared):
        for command in ("promote", "abort"):
            assert "no deployment under way" in error_of(shared.run(command, SERVICE), 1)


def test_without_a_daemon_every_command_says_so(new: System) -> None:
    with ThreadPoolExecutor(2) as pool:
        commands = [words for words in REQUEST_COMMANDS if words[0] != "rollback"]
        done = list(pool.map(lambda words: new.run(words[0], SERVICE, *words[1:]), commands))
    for result in done:
        told = error_of(result, 3)
        assert "not running" in told
        assert "bluegreen up" in told


def test_json_errors_leave_stdout_empty(shared: System) -> None:
    done = shared.run("deploy", "nobody", "--image", image("v2"), "--yes", "--json")
    assert "nobody" in error_of(done, 2)
    assert done.stdout == ""
