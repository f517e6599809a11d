"""Verdicts on real traffic: bad and slow greens go back, what is not green's fault is not held against it, and who
can't tell says what is missing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
from examples.system import System, until

from tests.e2e import faults
from tests.e2e.faults import SERVICE, Traffic, begin, json_of, steady_traffic
from tests.support.prometheus_api import PrometheusApi, prometheus_api

pytest_plugins = ["tests.e2e.fault_fixtures"]

LONG = {"policy.monitor_seconds": "60"}
"""Longer than any verdict here takes: what ends before was decided by the numbers."""
BRIEF = {"policy.monitor_seconds": "1"}
CANARY = """
[services.inference-model.canary]
steps = [50, 100]
observe_seconds = 1
"""
SENTENCE = re.compile(
    r"(?P<errors>\d+) of (?P<requests>\d+) requests to (?P<version>\S+) \(green\) failed \((?P<share>[\d.]+)%, "
    r"allowed 1\.00%, the old version (?P<other>[\d.]+)%(?P<when> before| at the same time)\); "
    r"chance of this by luck < (?P<luck>0\.\d+)"
)


@pytest.fixture
def api() -> Iterator[PrometheusApi]:
    with prometheus_api() as made:
        yield made


def add(system: System, text: str) -> None:
    system.config.write_text(system.config.read_text() + text)


def record_of_blue(system: System, traffic: Traffic, requests: int = 200) -> None:
    """So much traffic on blue, measured, that green can be held against it."""
    traffic.wait_for(requests)
    system.call("metrics_query", metric="request_rate", labels={"app": SERVICE}, startTime="-1m")


def reason_of(system: System, deployment: str) -> str:
    return str(system.call("deployment", deployment=deployment)["reason"])


def decided(system: System, deployment: str) -> dict[str, Any]:
    """The verdicts of the last decision as the report has them, by what was measured."""
    view = json_of(system.run("report", deployment, "--json"))
    return {verdict["measurement"]: verdict for verdict in view["decisions"][-1]["verdicts"]}


@pytest.mark.parametrize(
    ("version", "strategy"),
    [("fails-20", "blue-green"), ("fails-2", "blue-green"), ("fails-5", "canary")],
    ids=["5 %", "50 %", "20 % on a canary step"],
)
def test_a_bad_version_goes_back_and_the_log_says_why_with_all_numbers(
    new: System, version: str, strategy: str
) -> None:
    add(new, CANARY.replace("observe_seconds = 1", "observe_seconds = 60"))
    begin(new)
    with steady_traffic(new, rate_per_second=100) as traffic:
        record_of_blue(new, traffic)
        deployment = new.deploy(version, strategy=strategy, overrides=LONG)
        view = new.wait(deployment, "rolled_back")
    traffic.assert_only_bad_answers_of(version)
    faults.assert_settled(new, "v1")
    assert traffic.report.by_version.keys() == {"v1", version}

    said = SENTENCE.search(view["cause"])
    assert said, view["cause"]
    assert (said["version"], said["other"]) == (version, "0.00")
    assert said["when"] == (" before" if strategy == "blue-green" else " at the same time")
    assert float(said["luck"]) <= 0.001
    requests, errors = int(said["requests"]), int(said["errors"])
    assert 0 < requests <= traffic.report.by_version[version]
    assert 0 < errors <= traffic.report.by_status[500]
    assert float(said["share"]) == pytest.approx(100 * errors / requests, abs=0.005)

    verdict = decided(new, deployment)["errors"]
    assert (verdict["answer"], verdict["requests"], verdict["events"]) == ("fail", requests, errors)
    assert (verdict["share"], verdict["limit"], verdict["other_share"]) == (errors / requests, 0.01, 0.0)
    assert verdict["evidence"] >= verdict["bound"] >= math.log(1000) - 0.001
    (requested,) = [event for event in new.events(deployment) if event["kind"] == "rollback_requested"]
    (stored,) = [m for m in requested["data"]["measurements"] if m["measurement"] == "errors"]
    assert (stored["requests"], stored["events"], stored["evidence"]) == (requests, errors, verdict["evidence"])
    # Every door says it in the same words.
    newest = json_of(new.run("history", SERVICE, "--json"))["deployments"][0]
    assert (newest["id"], newest["phase"], newest["cause"]) == (deployment, "rolled_back", view["cause"])
    assert (newest["requests"], newest["errors"]) == (requests, errors)
    assert json_of(new.run("status", SERVICE, "--json"))["services"][0]["deployment"]["cause"] == view["cause"]
    assert said[0] in new.run("report", deployment, "--md").stdout.replace("\\", "")


@pytest.mark.parametrize(
    "limits",
    [{"policy.max_latency_ms": "200"}, {"policy.max_latency_increase": "0.2"}],
    ids=["slower than allowed", "slower than blue by more than 20 %"],
)
def test_a_slow_version_goes_back_for_its_latency(own: System, limits: dict[str, str]) -> None:
    with steady_traffic(own, rate_per_second=100) as traffic:
        record_of_blue(own, traffic)
        deployment = own.deploy("slow-4", overrides=LONG | limits)
        view = own.wait(deployment, "rolled_back")
    traffic.assert_no_request_failed()
    faults.assert_settled(own, "v1")
    assert re.search(r"requests to slow-4 \(green\) took longer than \d+ ms", view["cause"]), view["cause"]
    assert "failed" not in view["cause"]
    verdicts = decided(own, deployment)
    assert (verdicts["latency"]["answer"], verdicts["errors"]["events"]) == ("fail", 0)
    assert verdicts["errors"]["answer"] != "fail"
    assert verdicts["latency"]["evidence"] >= verdicts["latency"]["bound"]


def test_a_version_that_breaks_its_answers_off_goes_back_though_they_began_with_200(own: System) -> None:
    with steady_traffic(own, rate_per_second=100) as traffic:
        record_of_blue(own, traffic)
        deployment = own.deploy("breaks-4", overrides=LONG)
        view = own.wait(deployment, "rolled_back")
    faults.assert_settled(own, "v1")
    said = re.search(
        r"(\d+) of \d+ requests to breaks-4 \(green\) failed, (\d+) of them by breaking off in the middle",
        view["cause"],
    )
    assert said, view["cause"]
    assert int(said[1]) == int(said[2]) > 0
    assert traffic.report.by_status.keys() == {200, 0}, "no status told of it, the answers had no end"


@pytest.mark.parametrize("strategy", ["blue-green", "canary"])
def test_a_version_that_fails_as_the_old_one_does_is_not_blamed(new: System, strategy: str) -> None:
    add(new, CANARY)
    begin(new, "fails-20")
    with steady_traffic(new, rate_per_second=100) as traffic:
        record_of_blue(new, traffic, requests=300)
        deployment = new.deploy("fails-20-too", strategy=strategy, overrides=BRIEF | {"policy.retain_seconds": "0"})
        new.wait(deployment, "completed")
        traffic.wait_for(1)
    faults.assert_settled(new, "fails-20-too")
    assert set(traffic.report.by_status) == {200, 500}
    verdict = decided(new, deployment)["errors"]
    assert (verdict["answer"], verdict["events"] > 0) == ("pass", True)
    assert verdict["limit"] > 0.05
    assert verdict["other_share"] == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("then", ["hold", "promote", "rollback"])
def test_without_traffic_it_says_what_it_needs_and_does_what_the_policy_says(own: System, then: str) -> None:
    silence = {"policy.on_inconclusive": then, "policy.inconclusive_seconds": "1"}
    deployment = own.deploy("v2", overrides=BRIEF | silence | {"policy.monitor_seconds": "0.5"})
    missing = "0 requests to v2 (green) so far, 5 more are needed to tell"
    if then == "hold":
        until(lambda: own.call("deployment", deployment=deployment)["attention"] != "", "a person is told")
        assert reason_of(own, deployment).startswith(f"holding: {missing}")
        assert missing in " ".join(own.run("status", SERVICE).stdout.split())
        assert own.call("deployment", deployment=deployment)["phase"] == "monitoring"
        with steady_traffic(own):
            own.wait(deployment, "retaining")
        return
    own.wait(deployment, {"promote": "retaining", "rollback": "rolled_back"}[then])
    (event,) = [e for e in own.events(deployment) if e["kind"] in ("monitoring_passed", "rollback_requested")]
    told = event["data"]["verdict" if then == "promote" else "cause"]
    assert missing in told
    assert {"promote": "as on_inconclusive says", "rollback": "did not tell in time"}[then] in told
    assert faults.answered_by(own) == {"promote": "v2", "rollback": "v1"}[then]


def test_with_little_traffic_it_says_how_many_requests_are_missing_and_how_long_they_take(own: System) -> None:
    said = re.compile(
        r"holding: (\d+) requests to v2 \(green\) so far, (\d+) more are needed to tell "
        r"\(about (\d+) (s|min) at ([\d.]+) requests/s\)"
    )
    deployment = own.deploy("v2", overrides={"policy.monitor_seconds": "0.5", "policy.min_requests": "400"})
    own.wait(deployment, "monitoring")
    with steady_traffic(own, rate_per_second=5) as little:
        little.wait_for(5)
        until(lambda: said.match(reason_of(own, deployment)) is not None, "it says what is missing")
        found = said.match(reason_of(own, deployment))
        assert found
        requests, missing, rate = int(found[1]), int(found[2]), float(found[5])
        seconds = int(found[3]) * {"s": 1, "min": 60}[found[4]]
        assert requests + missing == 400
        assert seconds == pytest.approx(missing / rate, rel=0.2)
        assert own.call("deployment", deployment=deployment)["phase"] == "monitoring"
    with steady_traffic(own, rate_per_second=200):
        own.wait(deployment, "retaining")
    assert decided(own, deployment)["errors"]["requests"] >= 400


def test_a_version_that_fails_at_one_route_alone_goes_back_and_the_other_routes_notice_nothing(own: System) -> None:
    with steady_traffic(own, rate_per_second=80) as others, steady_traffic(own, rate_per_second=10, path="/pay") as pay:
        record_of_blue(own, others)
        deployment = own.deploy("payless", overrides=LONG)
        view = own.wait(deployment, "rolled_back")
        pay.wait_for(5)
    others.assert_no_request_failed()
    pay.assert_only_bad_answers_of("payless")
    assert pay.report.failed > 0
    assert pay.report.statuses[-1] == 200
    assert SENTENCE.search(view["cause"]), view["cause"]
    assert decided(own, deployment)["errors"]["share"] < 0.5


@pytest.mark.parametrize("broken", ["not a number", "not there"])
def test_a_metrics_source_that_tells_nothing_never_passes_and_is_in_nobodys_way_back(
    new: System, api: PrometheusApi, broken: str
) -> None:
    api.answer = math.nan
    url, words = (api.url, "is NaN") if broken == "not a number" else ("http://127.0.0.1:9", "can't be reached")
    add(
        new,
        f"""
[metrics.prometheus]
url = "{url}"

[[services.{SERVICE}.analysis]]
name = "errors by route"
query = 'errors{{workload="{{workload}}"}}'
condition = "result < 5%"
interval_seconds = 0.2
""",
    )
    begin(new)
    eager = {"policy.monitor_seconds": "0.5", "policy.on_inconclusive": "promote"}
    with steady_traffic(new, rate_per_second=100) as traffic:
        deployment = new.deploy("v2", overrides=eager)
        until(lambda: new.call("deployment", deployment=deployment)["attention"] != "", "a person is told")
        assert words in reason_of(new, deployment)
        assert new.call("deployment", deployment=deployment)["phase"] == "monitoring", "green's requests are all good"
        (new.directory / "fail-v2").touch()
        new.wait(deployment, "rolled_back")
    traffic.assert_only_bad_answers_of("v2")
    verdicts = decided(new, deployment)
    assert (verdicts["errors"]["answer"], verdicts["errors by route"]["answer"]) == ("fail", "inconclusive")
    faults.assert_settled(new, "v1")


def test_attempts_that_the_router_repeats_are_no_errors_and_are_counted_apart(new: System) -> None:
    """A replica dies with its shim while the daemon stands still: users are served by the other one."""
    new.config.write_text(new.config.read_text().replace("gpus = 4", "gpus = 1\nreplicas = 2"))
    begin(new)
    # Health checks would end it at once, and rightly so; here it is the requests that decide.
    deployment = new.deploy("v2", overrides={"policy.monitor_seconds": "2", "health.fall": "1000"})
    new.wait(deployment, "monitoring")
    until(lambda: faults.answered_by(new) == "v2", "v2 has the traffic")
    (daemon,) = faults.own_processes(new, "bluegreen.main")
    with faults.stopped(daemon):
        replica = faults.replicas(new, "v2")[0]
        shim = replica.parent()
        assert shim is not None
        shim.kill()
        replica.kill()
        faults.ended(replica)
        with steady_traffic(new, rate_per_second=100) as traffic:
            traffic.wait_for(50)
    traffic.assert_no_request_failed()
    assert set(traffic.report.by_version) == {"v2"}
    new.wait(deployment, "retaining")
    verdict = decided(new, deployment)["errors"]
    assert (verdict["answer"], verdict["events"]) == ("pass", 0)
    counted = re.findall(r'bluegreen_retries_total\{.*slot="green".*\} (\d+)', new.get("/metrics"))
    assert [int(retries) > 0 for retries in counted] == [True], counted
