"""An engine that is started again or does not answer, under a deployment and traffic."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psutil
import pytest
from examples.system import TERMINAL, System, until

from tests.e2e import faults
from tests.e2e.docker_system import PATIENCE_SECONDS, assert_only, configuration_for, make_images, override
from tests.e2e.docker_system import configuration as configuration
from tests.e2e.faults import SERVICE, answered_by, replicas, steady_traffic
from tests.e2e.phases import LONG, answers, ended
from tests.support.docker_engine import DockerEngine, running_engine

pytest_plugins = ["tests.e2e.fault_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

SILENT_SECONDS = 65.0
"""More than two patiences with the engine."""
AT_ONCE_SECONDS = 5.0
OWN_ADDRESSES = "[services.inference-model.container]\npublish = false\n"


@pytest.fixture(scope="module")
def lasting_engine() -> Iterator[DockerEngine]:
    """Its containers go on without it. Published ports don't: what passes connections on ends with the engine."""
    with running_engine("--live-restore") as engine:
        make_images(engine, "v1", "v2")
        yield engine


@pytest.fixture
def lasting(lasting_engine: DockerEngine, request: pytest.FixtureRequest) -> Iterator[System]:
    text = configuration_for(lasting_engine).replace("[services.inference-model.container]\n", OWN_ADDRESSES)
    system = faults.new_system(text)
    yield faults.begin(system)
    faults.finish(system, request)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_containers_that_outlive_their_engine_lose_no_request(
    lasting: System, lasting_engine: DockerEngine, how: str
) -> None:
    deployment = lasting.deploy("v2", overrides=override(monitor_seconds="8"))
    lasting.wait(deployment, "monitoring")
    pids = {process.pid for version in ("v1", "v2") for process in replicas(lasting, version)}
    with steady_traffic(lasting) as traffic:
        traffic.wait_for(20)
        getattr(lasting_engine, how)()
        try:
            traffic.wait_for(100)
        finally:
            lasting_engine.start()
        lasting.wait(deployment, "retaining", timeout_seconds=PATIENCE_SECONDS)
        assert {process.pid for version in ("v1", "v2") for process in replicas(lasting, version)} == pids
        assert [slot["restarts"] for slot in lasting.status()["slots"].values()] == [0, 0]
        lasting.call("rollback", service=SERVICE, requested_by="test")
        assert ended(lasting, deployment)["phase"] == "rolled_back"
    traffic.assert_no_request_failed()
    faults.assert_settled(lasting, "v1")
    assert_only(lasting_engine, lasting, "v1")


@pytest.mark.parametrize("phase", ["completed", "verifying", "monitoring"])
def test_containers_that_end_with_their_engine_are_started_again(
    own: System, docker_engine: DockerEngine, phase: str
) -> None:
    (own.directory / "hold-v2").touch()
    monitor_seconds = LONG if phase == "monitoring" else "1"
    deployment = own.deploy("v2", overrides=override(monitor_seconds=monitor_seconds, retain_seconds="0"))
    own.wait(deployment, "verifying")
    if phase == "completed":
        own.call("abort", service=SERVICE, requested_by="test")
        own.wait(deployment, "aborted")
    if phase == "monitoring":
        (own.directory / "hold-v2").unlink()
        own.wait(deployment, "monitoring")
    with steady_traffic(own):
        docker_engine.stop()
        docker_engine.start()
        until(lambda: answers(own, "v1") or answers(own, "v2"), "served again", timeout_seconds=PATIENCE_SECONDS)
        (own.directory / "hold-v2").unlink(missing_ok=True)
        until(lambda: _decided(own, deployment), "decided", timeout_seconds=PATIENCE_SECONDS, state=own.status)
        if own.call("deployment", deployment=deployment)["phase"] not in TERMINAL:
            own.call("rollback", service=SERVICE, requested_by="test")
    version = "v2" if ended(own, deployment)["phase"] == "completed" else "v1"
    with steady_traffic(own) as afterwards:
        until(lambda: answered_by(own) == version, f"{version} answers")
        afterwards.wait_for(50)
    faults.assert_settled(own, version)
    assert_only(docker_engine, own, version)


def test_while_the_engine_does_not_answer_a_rollback_works_at_once(own: System, docker_engine: DockerEngine) -> None:
    """Also with another deployment in preflight, which has asked the engine and waits; that one is given up first."""
    with steady_traffic(own) as traffic:
        deployment = own.deploy("v2", overrides=override(retain_seconds=LONG))
        own.wait(deployment, "retaining")
        with docker_engine.standing_still():
            own.deploy("v3")
            asked_at = time.monotonic()
            how = [own.call("rollback", service=SERVICE, requested_by="test")["how"] for _ in range(2)]
            assert answered_by(own) == "v1"
            assert time.monotonic() - asked_at < AT_ONCE_SECONDS
            assert how == ["abort", "switch"]
            traffic.wait_for(100)
        view = ended(own, deployment)
    traffic.assert_no_request_failed()
    assert view["phase"] == "rolled_back"
    faults.assert_settled(own, "v1")
    assert_only(docker_engine, own, "v1")


def test_an_engine_that_says_nothing_for_a_minute_holds_up_nothing_but_its_own_part(
    own: System, docker_engine: DockerEngine
) -> None:
    deployment = own.deploy("v2", overrides=override(monitor_seconds="2", retain_seconds="0"))
    own.wait(deployment, "monitoring")
    daemon = psutil.Process(own.daemon_pid())
    files, log_bytes = daemon.num_fds(), _log_bytes(own)
    with steady_traffic(own) as traffic:
        with docker_engine.standing_still():
            silent_since = time.monotonic()
            until(
                lambda: time.monotonic() - silent_since > SILENT_SECONDS and own.status() is not None,
                "a minute of silence",
                timeout_seconds=SILENT_SECONDS + 10,
            )
            assert own.call("deployment", deployment=deployment)["phase"] in ("monitoring", "cleaning_up")
            assert daemon.num_fds() < files + 20, "connections pile up"
            assert _log_bytes(own) < log_bytes + 100_000, "the log fills up"
        view = own.wait(deployment, "completed", timeout_seconds=PATIENCE_SECONDS)
    traffic.assert_no_request_failed()
    assert view["phase"] == "completed"
    faults.assert_settled(own, "v2")
    assert_only(docker_engine, own, "v2")


def _decided(system: System, deployment: str) -> bool:
    """It has ended, or waits for a person and says so."""
    view = system.call("deployment", deployment=deployment)
    return view["phase"] in TERMINAL or "holding" in view["reason"] or "no running one to go back to" in view["reason"]


def _log_bytes(system: System) -> int:
    return (system.directory / ".bluegreen" / "daemon.log").stat().st_size
