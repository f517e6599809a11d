"""Canaries with the real daemon, router and processes under load: what users get, and from whom."""

from __future__ import annotations

import contextlib
import http.client
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from examples.system import System, monotonic_of, until
from examples.traffic import NO_STATUS, TrafficReport

from tests.e2e.faults import (
    QUICK,
    SERVICE,
    answered_by,
    assert_settled,
    begin,
    ended,
    haproxy_master,
    haproxy_workers,
    image,
    json_of,
    kill_daemon,
    replicas,
    steady_traffic,
)
from tests.support.shares import assert_share

pytest_plugins = ["tests.e2e.fault_fixtures"]

RATE = 100.0
BY_HAND = {**QUICK, "canary.observe_seconds": "600"}
"""Its steps last until somebody ends them."""
BY_ITSELF = {**QUICK, "canary.observe_seconds": "2"}
USERS = [f"user-{number}" for number in range(80)]


def canary(system: System, overrides: Mapping[str, str] = BY_HAND, version: str = "v2") -> str:
    return system.deploy(version, strategy="canary", overrides=dict(overrides))


def on_step(system: System, deployment: str, percent: int) -> Any:
    view: Any = {}

    def reached() -> bool:
        nonlocal view
        view = system.call("deployment", deployment=deployment)
        return bool(view["phase"] == "monitoring" and view["share"] == percent)

    until(reached, f"{deployment} is watched at {percent} %", state=lambda: view)
    return view


def promoted_to(system: System, deployment: str, percent: int) -> None:
    system.call("promote", service=SERVICE, requested_by="ada")
    on_step(system, deployment, percent)


def moves(system: System, deployment: str) -> list[dict[str, int]]:
    """The route after each switch."""
    found = [event["data"]["targets"] for event in system.events(deployment) if event["kind"] == "traffic_switched"]
    return [{target["color"]: target["weight"] for target in targets} for targets in found]


def moment_of(system: System, deployment: str, kind: str, occurrence: int = 0) -> float:
    """When it was recorded, as `time.monotonic()`."""
    found = [event for event in system.events(deployment) if event["kind"] == kind]
    return monotonic_of(float(found[occurrence]["at"]))


def answers_between(report: TrafficReport, begin: float, end: float) -> Counter[str]:
    """Answers per version to the requests that were begun and answered in this time."""
    each = zip(report.begun, report.seconds, report.versions, report.statuses, strict=True)
    return Counter(
        report.version_names[version]
        for begun, seconds, version, status in each
        if begun > begin and begun + seconds < end and status != NO_STATUS
    )


class Client:
    """Requests one by one on a kept connection, with headers."""

    def __init__(self, system: System) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=30)

    def version(self, headers: Mapping[str, str] | None = None) -> str:
        self._connection.request("GET", "/", headers=dict(headers or {}))
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == 200
        return str(answer.headers["X-Version"])

    def versions(self, requests: int, headers: Mapping[str, str] | None = None) -> Counter[str]:
        return Counter(self.version(headers) for _ in range(requests))

    def cookie(self) -> str:
        """What the router gives to somebody who has none."""
        self._connection.request("GET", "/")
        answer = self._connection.getresponse()
        answer.read()
        return answer.headers.get("Set-Cookie", "").partition(";")[0]

    def on_green(self) -> set[str]:
        return {user for user in USERS if self.version({"X-User": user}) == "v2"}

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def client_of(system: System) -> Iterator[Client]:
    client = Client(system)
    try:
        yield client
    finally:
        client.close()


def with_canary(system: System, keys: str) -> System:
    """Up with v1, and these keys in the canary's table."""
    system.config.write_text(f"{system.config.read_text()}\n[services.{SERVICE}.canary]\n{keys}\n")
    return begin(system)


def test_in_steps_to_100_percent_with_the_shares_that_were_asked_for_and_no_request_lost(own: System) -> None:
    settings = {**BY_ITSELF, "policy.retain_seconds": "600"}
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    with steady_traffic(own, rate_per_second=RATE) as traffic:
        arguments = ("--image", image("v2"), "--strategy", "canary", "--wait", "switched", "--json", "--yes")
        switched = json_of(own.run("deploy", SERVICE, *arguments, *options))
        assert own.status()["route"]["weights"] == {"blue": 0, "green": 100}, "switched is when all of it has moved"
        own.wait(switched["id"], "retaining")
    traffic.assert_no_request_failed()
    assert moves(own, switched["id"]) == [{"blue": 90, "green": 10}, {"blue": 50, "green": 50}, {"green": 100}]
    for step, percent in enumerate((10, 50)):
        begun = own.switched_at(switched["id"], step)
        ended = moment_of(own, switched["id"], "step_passed", step)
        answers = answers_between(traffic.report, begun, ended)
        assert_share(answers["v2"], answers.total(), percent)
    assert traffic.report.requests_on_old_after(own.switched_at(switched["id"], 2), "v1") == 0


def test_a_bad_version_is_taken_back_in_one_switch_and_most_users_never_see_it(own: System) -> None:
    (own.directory / "fail-v2").touch()
    with steady_traffic(own, rate_per_second=RATE) as traffic:
        until(lambda: own.status()["slots"]["blue"]["requests_per_second"], "traffic")
        deployment = canary(own)
        view = own.wait(deployment, "rolled_back")
    assert moves(own, deployment) == [{"blue": 90, "green": 10}, {"blue": 100}]
    assert "at the same time" in view["cause"]
    assert traffic.report.failed == traffic.report.by_version["v2"], "only those whom v2 answered"
    assert traffic.report.failed < 0.25 * traffic.report.sent
    assert traffic.report.requests_on_old_after(own.switched_at(deployment, 1), "v2") == 0
    assert_settled(own, "v1")


def test_an_incident_that_hits_both_versions_blames_nobody(own: System) -> None:
    never_by_chance = {"policy.false_rollback_probability": "0.0000001"}
    with steady_traffic(own, rate_per_second=RATE):
        deployment = canary(own, {**BY_ITSELF, "canary.observe_seconds": "3", **never_by_chance})
        on_step(own, deployment, 10)
        (own.directory / "fail-all").touch()
        view: Any = {}

        def held() -> bool:
            nonlocal view
            view = own.call("deployment", deployment=deployment)
            return str(view["reason"]).startswith("holding: at 10 % (step 1 of 3): ") and view["errors"] >= 30

        until(held, "it holds", state=lambda: view)
        assert (view["phase"], view["share"]) == ("monitoring", 10)
        assert "both sides are affected" in view["reason"]
    shown = own.run("status", SERVICE).stdout
    assert "holding: at 10 %" in " ".join(shown.split())


def test_a_persons_rollback_on_the_second_step_is_one_switch(own: System) -> None:
    with steady_traffic(own, rate_per_second=RATE) as traffic:
        deployment = canary(own)
        on_step(own, deployment, 10)
        promoted_to(own, deployment, 50)
        done = own.run("rollback", SERVICE)
        assert done.returncode == 0, done.stderr
        own.wait(deployment, "rolled_back")
    traffic.assert_no_request_failed()
    assert moves(own, deployment) == [{"blue": 90, "green": 10}, {"blue": 50, "green": 50}, {"blue": 100}]
    assert traffic.report.requests_on_old_after(own.switched_at(deployment, 2), "v2") == 0
    assert_settled(own, "v1")


def test_green_grows_with_its_share_and_promote_takes_one_step_after_the_other(own: System) -> None:
    size = {"replicas": "5", "gpus": "0"}
    with steady_traffic(own) as traffic:
        own.wait(own.deploy("v1", force=True, overrides={**QUICK, **size}), "completed")
        deployment = canary(own, {**BY_HAND, **size, "canary.steps": "[20, 60, 100]", "policy.monitor_seconds": "600"})
        for percent, count in ((20, 1), (60, 3), (100, 5)):
            if percent > 20:
                own.call("promote", service=SERVICE, requested_by="ada")
            on_step(own, deployment, percent)
            slots = own.status()["slots"].values()
            assert sorted((slot["version"], slot["replicas"], slot["replicas_healthy"]) for slot in slots) == [
                ("v1", 5, 5),
                ("v2", count, count),
            ], "healthy before its share, and the old version keeps its size"
            assert (len(replicas(own, "v1")), len(replicas(own, "v2"))) == (5, count)
        own.call("promote", service=SERVICE, requested_by="ada")
        own.wait(deployment, "completed")
    traffic.assert_no_request_failed()
    kinds = [event["kind"] for event in own.events(deployment)]
    order = [kind for kind in kinds if kind in ("green_grown", "traffic_switched")]
    assert order == ["traffic_switched", *["green_grown", "traffic_switched"] * 2], "first it grows, then it gets more"
    assert_settled(own, "v2")


def test_kill_minus_9_of_the_daemon_on_each_step_changes_no_share_and_the_walk_goes_on(own: System) -> None:
    with steady_traffic(own) as traffic, client_of(own) as client:
        deployment = canary(own)
        for percent in (10, 50):
            on_step(own, deployment, percent)
            kill_daemon(own)
            assert_share(client.versions(300)["v2"], 300, percent)
            own.up()
            on_step(own, deployment, percent)
            assert_share(client.versions(300)["v2"], 300, percent)
            assert len(moves(own, deployment)) == (1 if percent == 10 else 2), "it did not switch anew"
            own.call("promote", service=SERVICE, requested_by="ada")
        own.wait(deployment, "completed")
    traffic.assert_no_request_failed()
    assert_settled(own, "v2")


def test_a_router_that_is_killed_or_configured_anew_on_a_step_keeps_the_share(own: System) -> None:
    deployment = canary(own)
    on_step(own, deployment, 10)
    master, workers = haproxy_master(own), haproxy_workers(own)
    master.kill()
    for process in (master, *workers):
        ended(process)
    until(lambda: answered_by_a_version(own), "it answers again")
    with client_of(own) as client:
        assert_share(client.versions(300)["v2"], 300, 10)
    own.config.write_text(f'{own.config.read_text()}\n[services.{SERVICE}.canary]\nforce_header = "X-Slot"\n')
    reloaded = own.run("reload")
    assert reloaded.returncode == 0, reloaded.stderr
    with client_of(own) as client:
        assert set(client.versions(30, {"X-Slot": "green"})) == {"v2"}, "the new key applies"
        assert_share(client.versions(300)["v2"], 300, 10)
        promoted_to(own, deployment, 50)
        assert_share(client.versions(300)["v2"], 300, 50)
    assert moves(own, deployment) == [{"blue": 90, "green": 10}, {"blue": 50, "green": 50}]


def answered_by_a_version(system: System) -> bool:
    try:
        return answered_by(system) in ("v1", "v2")
    except OSError:
        return False


def test_what_a_step_has_counted_outlives_the_daemon(own: System) -> None:
    with client_of(own) as client:
        deployment = canary(own, {**BY_HAND, "canary.steps": "[50, 100]"})
        on_step(own, deployment, 50)
        count = client.versions(60)["v2"]
    until(lambda: written_down(own, deployment) == count, "it is on disk", state=lambda: written_down(own, deployment))
    kill_daemon(own)
    own.up()
    told = f"0 of {count} requests to v2"
    until(lambda: told in reason_of(own, deployment), told, state=lambda: reason_of(own, deployment))
    own.run("rollback", SERVICE)
    own.wait(deployment, "rolled_back")
    until(lambda: written_down(own, deployment) is None, "nothing of it is left")


def written_down(system: System, deployment: str) -> int | None:
    """How many requests to green the daemon has put on disk."""
    question = "SELECT document FROM documents WHERE kind = 'watch' AND key = ?"
    with contextlib.closing(sqlite3.connect(system.directory / ".bluegreen" / "events.sqlite")) as database:
        row = database.execute(question, (deployment,)).fetchone()
    return None if row is None else int(json.loads(json.loads(row[0])["watch"])["errors"]["mine"]["requests"])


def reason_of(system: System, deployment: str) -> str:
    return str(system.call("deployment", deployment=deployment)["reason"])


def test_a_user_stays_on_a_side_and_nobody_chooses_it_where_that_is_not_configured(new: System) -> None:
    system = with_canary(new, 'sticky = "header:X-User"')
    with client_of(system) as client:
        deployment = canary(system, {**BY_HAND, "policy.monitor_seconds": "600"})
        before: set[str] = set()
        for percent in (10, 50):
            on_step(system, deployment, percent)
            now = client.on_green()
            assert_share(len(now), len(USERS), percent)
            assert before <= now, "who was on green stays there"
            for user in USERS:
                asks = {"X-User": user, "X-Slot": "green", "Cookie": "slot=green; bluegreen=green"}
                assert (client.version(asks) == "v2") == (user in now), "nobody can ask for a side"
            before = now
            system.call("promote", service=SERVICE, requested_by="ada")
        on_step(system, deployment, 100)
        assert client.on_green() == set(USERS)


def test_a_browser_without_any_cookie_gets_one_and_stays_on_its_side(new: System) -> None:
    system = with_canary(new, 'sticky = "cookie:bg-user"\nset_cookie = true')
    with client_of(system) as client:
        assert client.cookie() == "", "nothing is shared yet"
        deployment = canary(system, {**BY_HAND, "canary.steps": "[50, 80, 100]"})
        on_step(system, deployment, 50)
        cookies = [client.cookie() for _ in USERS]
        before = {cookie for cookie in cookies if client.version({"Cookie": cookie}) == "v2"}
        assert_share(len(before), len(USERS), 50)
        promoted_to(system, deployment, 80)
        now = {cookie for cookie in cookies if client.version({"Cookie": cookie}) == "v2"}
        assert before <= now
        assert_share(len(now), len(USERS), 80)


def test_a_header_or_a_cookie_chooses_a_side_where_it_is_configured_and_no_other_does(new: System) -> None:
    system = with_canary(new, 'force_header = "X-Slot"\nforce_cookie = "side"')
    with client_of(system) as client:
        deployment = canary(system)
        on_step(system, deployment, 10)
        for color, version in (("blue", "v1"), ("green", "v2")):
            assert set(client.versions(30, {"X-Slot": color})) == {version}
            assert set(client.versions(30, {"Cookie": f"theme=dark; side={color}"})) == {version}
        for headers in ({"X-Side": "green"}, {"Cookie": "X-Slot=green; slot=green"}, {"X-Slot": "v2"}):
            assert_share(client.versions(300, headers)["v2"], 300, 10)
        system.run("rollback", SERVICE)
        system.wait(deployment, "rolled_back")
        assert set(client.versions(30, {"X-Slot": "green", "Cookie": "side=green"})) == {"v1"}, "nobody gets back to it"


@pytest.mark.parametrize("percent", [10, 50])
def test_a_green_that_dies_on_a_step_takes_nobody_with_it(own: System, percent: int) -> None:
    deployment = canary(own, {**BY_HAND, "policy.max_restarts": "0"})
    on_step(own, deployment, 10)
    if percent == 50:
        promoted_to(own, deployment, 50)
    with steady_traffic(own) as traffic:
        (own.directory / "die-v2").touch()
        own.wait(deployment, "rolled_back")
        until(lambda: own.status()["route"]["weights"]["blue"] == 100, "v1 has the traffic")
    assert moves(own, deployment)[-1] == {"blue": 100}
    assert traffic.report.requests_on_old_after(own.switched_at(deployment, 1 if percent == 10 else 2), "v2") == 0
    assert_settled(own, "v1")
