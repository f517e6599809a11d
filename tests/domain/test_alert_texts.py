"""What people are told about deployments."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bluegreen.domain.actions import RaiseAlert
from bluegreen.domain.alert_texts import ending_alert, needs_attention
from bluegreen.domain.deployment import Deployment, Phase, requested
from bluegreen.domain.events import DeploymentRequested
from tests.domain.small_world import BLUE

EVENT = DeploymentRequested("registry.example:5000/app:v2", "blue-green", (100,), "ada", blue=BLUE, generation=1)
DEPLOYMENT: Deployment = replace(requested("app-x", "app", 0.0, EVENT), cause="12 of 100 requests failed.")


@pytest.mark.parametrize(
    ("ending", "name", "severity", "command"),
    [
        (Phase.COMPLETED, "deploy-complete", "info", "bluegreen status app"),
        (Phase.ROLLED_BACK, "deploy-rollback", "warning", "bluegreen events app-x"),
        (Phase.FAILED, "deploy-failed", "warning", "bluegreen events app-x"),
        (Phase.ABORTED, "deploy-aborted", "info", "bluegreen events app-x"),
    ],
)
def test_each_ending(ending: Phase, name: str, severity: str, command: str) -> None:
    alert = ending_alert(replace(DEPLOYMENT, ending=ending))
    assert (alert.alert, alert.severity, alert.version, alert.next_command) == (name, severity, "v2", command)
    assert alert.message.endswith(f". Next: {command}")
    assert ".." not in alert.message
    if ending is not Phase.COMPLETED:
        assert "12 of 100 requests failed" in alert.message
        assert alert.cause == DEPLOYMENT.cause


def test_a_rollback_says_what_has_the_traffic_now() -> None:
    message = ending_alert(replace(DEPLOYMENT, ending=Phase.ROLLED_BACK)).message
    assert f"rolled back from {DEPLOYMENT.image} to {BLUE.image}: 12 of 100" in message


def test_a_completed_deployment_says_why_it_was_accepted() -> None:
    alert = ending_alert(replace(DEPLOYMENT, ending=Phase.COMPLETED, cause="", verdict="0 of 33 requests failed"))
    assert alert.cause == "0 of 33 requests failed"


def test_the_way_back_is_offered_as_long_as_there_is_one() -> None:
    watched = replace(DEPLOYMENT, phase=Phase.MONITORING)
    assert needs_attention(watched, "it fails", topic="a").next_command == "bluegreen rollback app"
    assert needs_attention(watched, "it fails", topic="a", way_back=False).next_command == "bluegreen events app-x"
    without = replace(watched, blue=None)
    assert needs_attention(without, "it fails", topic="a").next_command == "bluegreen events app-x"


def test_a_command_that_is_in_the_sentence_is_not_said_twice() -> None:
    watched = replace(DEPLOYMENT, phase=Phase.MONITORING)
    alert = needs_attention(watched, "it fails. Go back with: bluegreen rollback app", topic="a")
    assert alert.message.count("bluegreen rollback app") == 1
    assert alert.severity == "critical"


def test_ids_are_the_same_for_the_same_trouble_only() -> None:
    def id_of(topic: str, numbers: str, deployment: str = "app-x") -> str:
        return replace(needs_attention(DEPLOYMENT, f"trouble {numbers}", topic=topic)).id_in(deployment)

    assert id_of("a", "1 of 2") == id_of("a", "3 of 4")
    assert len({id_of("a", ""), id_of("b", ""), id_of("a", "", "app-y")}) == 3
    assert RaiseAlert("deploy-complete", "info", "m").id_in("app-x") == "app-x:deploy-complete"
