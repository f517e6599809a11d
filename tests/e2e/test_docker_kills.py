"""kill -9 of the daemon in every phase of a deployment in containers, of the pull too."""

from __future__ import annotations

import pytest
from examples.system import System, until

from tests.e2e import faults
from tests.e2e.docker_system import assert_only, containers, server_changes
from tests.e2e.docker_system import configuration as configuration
from tests.e2e.faults import SERVICE, kill_daemon, steady_traffic
from tests.e2e.phases import Hold, ended, in_every_phase, the_daemon_dies_and_nobody_notices, versions
from tests.support.docker_engine import DockerEngine
from tests.support.registry import Registry
from tests.support.registry import registry as registry

pytest_plugins = ["tests.e2e.fault_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@in_every_phase
def test_the_daemon_dies_and_nobody_notices(shared: System, docker_engine: DockerEngine, hold: Hold) -> None:
    the_daemon_dies_and_nobody_notices(shared, hold)
    assert_only(docker_engine, shared, versions(shared)[0])


def test_the_daemon_dies_while_the_image_is_pulled(
    new: System, docker_engine: DockerEngine, registry: Registry
) -> None:
    """The registry stands still, so that the pull can't end; the next daemon begins it anew."""
    registry.log_in(new.directory)
    new.environment["DOCKER_CONFIG"] = str(new.directory)
    faults.begin(new)
    image = registry.offer(docker_engine, f"{SERVICE}:pulled", *server_changes("pulled"))
    with steady_traffic(new) as traffic:
        with registry.standing_still():
            deployment = new.call("deploy", service=SERVICE, image=image, requested_by="test")["id"]
            until(lambda: "action_started" in kinds(new, deployment), "the pull has begun")
            assert new.call("deployment", deployment=deployment)["phase"] == "preflight"
            kill_daemon(new)
            new.up()
            until(lambda: kinds(new, deployment).count("action_started") == 2, "it has begun again")
            assert [one["Labels"]["version"] for one in containers(docker_engine, new)] == ["v1"]
        view = new.wait(deployment, "retaining")
        new.call("rollback", service=SERVICE, requested_by="test")
        assert ended(new, deployment)["phase"] == "rolled_back"
    traffic.assert_no_request_failed()
    assert view["version"] == "pulled"
    assert_only(docker_engine, new, "v1")


def kinds(system: System, deployment: str) -> list[str]:
    return [event["kind"] for event in system.events(deployment)]
