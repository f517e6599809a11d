"""Greens in containers that are no good: none has the traffic for long, and blue is untouched."""

from __future__ import annotations

import pytest
from examples.system import System, until

from tests.e2e import faults
from tests.e2e.docker_system import assert_only, override
from tests.e2e.docker_system import configuration as configuration
from tests.e2e.faults import SERVICE, blue_untouched, image, steady_traffic
from tests.e2e.phases import ended, versions
from tests.support.docker_engine import DockerEngine

pytest_plugins = ["tests.e2e.fault_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SMOKE = """
[[services.inference-model.smoke]]
name = "first answer"
request = "GET /smoke"
max_seconds = 5
"""


@pytest.mark.parametrize(
    ("version", "settings", "words"),
    [
        ("sick", ("health.deadline_seconds=2",), ["within 2 s", "HTTP 500", "/health"]),
        ("v2", ("health.deadline_seconds=2", "container.port=9"), ["within 2 s", "does not listen"]),
        ("checked", ("health.deadline_seconds=2",), ["within 2 s", "HEALTHCHECK"]),
        ("v2", ('command=["/no-such-program"]',), ["command not found", "/no-such-program"]),
        ("v2", ('command=["/server", "9000", "--exit", "7"]', "policy.max_restarts=0"), ["crash loop", "exit code: 7"]),
        (
            "v2",
            ('command=["/server", "9000", "--eat"]', "policy.max_restarts=0", "memory_mb=16"),
            ["crash loop", "its memory of 16 MiB was used up"],
        ),
    ],
    ids=["sick", "deaf", "HEALTHCHECK", "no such command", "exits", "eats its memory"],
)
def test_a_green_that_does_not_become_healthy_never_gets_traffic(
    shared: System, docker_engine: DockerEngine, version: str, settings: tuple[str, ...], words: list[str]
) -> None:
    options = [part for setting in settings for part in ("--set", setting)]
    with blue_untouched(shared) as blue:
        done = shared.run("deploy", SERVICE, "--image", image(version), "--yes", *options)
        assert done.returncode == 1, (done.stdout, done.stderr)
    told = done.stdout + done.stderr
    for expected in [*words, "untouched", blue.version]:
        assert expected in told, told
    assert_only(docker_engine, shared, blue.version)


def test_a_smoke_request_that_fails_keeps_green_out(new: System, docker_engine: DockerEngine) -> None:
    new.config.write_text(new.config.read_text() + SMOKE)
    faults.begin(new)
    with blue_untouched(new):
        done = new.run("deploy", SERVICE, "--image", image("smokes"), "--yes")
        assert done.returncode == 1, (done.stdout, done.stderr)
    for expected in ["smoke test failed", "first answer", "expected HTTP 200, got 500", "untouched"]:
        assert expected in done.stdout + done.stderr
    assert_only(docker_engine, new, "v1")


def test_a_green_that_fails_under_traffic_is_rolled_back_by_itself(shared: System, docker_engine: DockerEngine) -> None:
    blue, _ = versions(shared)
    with steady_traffic(shared) as traffic:
        deployment = shared.deploy("fails", overrides=override(monitor_seconds="60"))
        view = shared.wait(deployment, "rolled_back")
        with steady_traffic(shared) as afterwards:
            afterwards.wait_for(50)
    assert "requests to fails (green) failed" in view["cause"]
    traffic.assert_only_bad_answers_of("fails")
    afterwards.assert_no_request_failed()
    assert set(afterwards.report.by_version) == {blue}
    faults.assert_settled(shared, blue)
    assert_only(docker_engine, shared, blue)


def test_a_green_that_uses_up_its_memory_under_traffic_is_rolled_back_and_told_of(
    shared: System, docker_engine: DockerEngine
) -> None:
    blue, _ = versions(shared)
    policy = override(monitor_seconds="60", max_restarts="0", max_error_rate="0.9")
    deployment = shared.deploy("eats", overrides={**policy, "memory_mb": "24"})
    shared.wait(deployment, "monitoring")
    with steady_traffic(shared):
        shared.wait(deployment, "rolling_back", "rolled_back")
        view = ended(shared, deployment)
    assert view["phase"] == "rolled_back"
    assert "its memory of 24 MiB was used up" in view["cause"], view["cause"]
    assert "its memory of 24 MiB was used up" in "".join(view["exit_codes"])
    until(lambda: faults.answered_by(shared) == blue, f"{blue} answers")
    faults.assert_settled(shared, blue)
    assert_only(docker_engine, shared, blue)
