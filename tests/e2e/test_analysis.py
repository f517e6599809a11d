"""Own analyses with the real daemon, router and processes: PromQL against a server that speaks it, and a command."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from examples.system import System, until

from tests.e2e import faults
from tests.e2e.faults import SERVICE, begin, image, steady_traffic
from tests.support.prometheus_api import PrometheusApi, error, prometheus_api

pytest_plugins = ["tests.e2e.fault_fixtures"]

QUERY = """
[metrics.prometheus]
url = "@url@"

[[services.inference-model.analysis]]
name = "errors by route"
query = 'errors{workload="{workload}", version=~"{version}"}'
condition = "result < 5%"
interval_seconds = 0.2
"""
COMMAND = """
[[services.inference-model.analysis]]
name = "accuracy"
command = ["sh", "@directory@/accuracy.sh"]
interval_seconds = 0.2
timeout_seconds = 0.2
"""
LONG = {"policy.monitor_seconds": "60"}


@pytest.fixture
def api() -> Iterator[PrometheusApi]:
    with prometheus_api() as made:
        yield made


def started(system: System, text: str, url: str = "") -> System:
    changed = text.replace("@url@", url).replace("@directory@", str(system.directory))
    system.config.write_text(system.config.read_text() + changed)
    return begin(system)


def reason_of(system: System, deployment: str) -> str:
    return str(system.call("deployment", deployment=deployment)["reason"])


def test_a_query_that_fails_moves_the_traffic_back(new: System, api: PrometheusApi) -> None:
    started(new, QUERY, api.url)
    with steady_traffic(new) as traffic:
        deployment = new.deploy("v2", overrides=LONG)
        new.wait(deployment, "monitoring")
        until(lambda: faults.answered_by(new) == "v2", "v2 has the traffic")
        api.answer = {"/health": 0.01, "/predict": 0.0714}
        view = new.wait(deployment, "rolled_back")
    traffic.assert_no_request_failed()
    assert 'analysis errors by route: {route="/predict"} is 0.0714, must be: result < 0.05' in view["cause"]
    assert api.queries[-1].startswith(f'errors{{workload="{SERVICE}-green-')
    assert api.queries[-1].endswith('version=~"v2"}')
    faults.assert_settled(new, "v1")
    shown = new.run("history", SERVICE)
    assert "0.0714" in shown.stdout
    (requested,) = [event for event in new.events(deployment) if event["kind"] == "rollback_requested"]
    found = {m["measurement"]: m for m in requested["data"]["measurements"]}
    assert found["errors by route"]["answer"] == "fail"
    assert found["errors by route"]["value"] == 0.0714


def test_a_prometheus_that_is_down_holds_and_goes_on_when_it_is_back(new: System, api: PrometheusApi) -> None:
    api.status, api.answer = 503, error("unavailable", "out of memory")
    started(new, QUERY, api.url)
    doctor = new.run("doctor")
    assert "HTTP 503: out of memory" in doctor.stdout
    assert "see whether it is well" in doctor.stdout
    with steady_traffic(new):
        deployment = new.deploy("v2", overrides={"policy.monitor_seconds": "0.5"})
        until(lambda: "holding" in reason_of(new, deployment), "it holds")
        assert "HTTP 503: out of memory" in reason_of(new, deployment)
        shown = new.run("status", SERVICE)
        assert "out of memory" in shown.stdout, shown.stdout
        api.status, api.answer = 200, 0.01
        new.wait(deployment, "retaining")
    assert "answers" in new.run("doctor").stdout


def test_a_query_that_hangs_does_not_delay_a_rollback(new: System, api: PrometheusApi) -> None:
    slow = QUERY.replace("interval_seconds = 0.2", "interval_seconds = 60\ntimeout_seconds = 60")
    started(new, slow, api.url)
    api.answer = None
    deployment = new.deploy("v2", overrides=LONG)
    new.wait(deployment, "monitoring")
    until(lambda: f"{SERVICE}-green" in str(api.queries), "the query is under way")
    began = time.monotonic()
    done = new.run("rollback", SERVICE)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 30, "it waited for the query"
    new.wait(deployment, "rolled_back")


def test_a_command_that_says_1_moves_the_traffic_back_and_anything_else_holds(new: System) -> None:
    script = new.directory / "accuracy.sh"
    script.write_text("exit 0\n")
    started(new, COMMAND)
    script.write_text("sleep 600\n")
    with steady_traffic(new):
        deployment = new.deploy("v2", overrides={"policy.monitor_seconds": "0.5"})
        until(lambda: "holding" in reason_of(new, deployment), "it holds")
        assert "still ran after 0.2 s and was killed" in reason_of(new, deployment)
        script.write_text("exit 3\n")
        until(lambda: "exited with 3" in reason_of(new, deployment), "the exit code is told")
        script.write_text('echo "$SERVICE $VERSION $GREEN_URL"; echo "accuracy 0.4"; exit 1\n')
        view = new.wait(deployment, "rolled_back")
    assert "analysis accuracy: 'sh' exited with 1: accuracy 0.4" in view["cause"]
    until(lambda: not faults.own_processes(new, "accuracy.sh"), "no command is left")
    faults.assert_settled(new, "v1")


def test_what_is_asked_can_be_changed_while_a_deployment_holds(new: System, api: PrometheusApi) -> None:
    started(new, QUERY, api.url)
    text = new.config.read_text()
    new.config.write_text(text.replace(api.url, "http://127.0.0.1:9"))
    assert new.run("reload").returncode == 0
    with steady_traffic(new):
        deployment = new.deploy("v2", overrides={"policy.monitor_seconds": "0.5"})
        until(lambda: "can't be reached" in reason_of(new, deployment), "it holds")
        new.config.write_text(text)
        done = new.run("reload")
        assert "metrics.prometheus.url" in done.stdout, done.stdout
        new.wait(deployment, "retaining")


def test_smoke_tests_are_repeated_on_green(new: System) -> None:
    smoke = f'[[services.{SERVICE}.smoke]]\nname = "file"\ncommand = ["test", "!", "-e", "{new.directory}/broken"]\n'
    started(new, smoke)
    deployment = new.deploy("v2", overrides=LONG | {"policy.smoke_interval_seconds": "0.2"})
    new.wait(deployment, "monitoring")
    (new.directory / "broken").touch()
    view = new.wait(deployment, "rolled_back")
    assert "smoke test file: 1 of 1 replicas failed" in view["cause"]
    assert image("v1") in str(new.status())
