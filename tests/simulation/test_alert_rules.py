"""Standing rules and alerts by hand, on fakes and a clock that is turned by hand."""

from __future__ import annotations

from typing import Any

import pytest

from bluegreen.domain.access import Scope
from bluegreen.domain.errors import BluegreenError, Forbidden, UnknownName, UsageError
from tests.simulation.world import World, service
from tests.support.gate import Tools, agent

RULE = {
    "name": "too-many-errors",
    "severity": "warning",
    "message": "app fails",
    "condition": "request_error_rate > 5% for 20s",
    "labels": {"app": "app"},
}


async def measuring(world: World) -> Tools:
    """v1 has the traffic; metrics, rules and the alert desk run."""
    await world.first_version()
    await world.fleet.rules.load()
    world.fleet.metrics.start()
    world.fleet.rules.start()
    world.alerts.alerts.clear()
    return Tools(world)


async def traffic(world: World, *, seconds: int, errors_of_ten: int) -> None:
    """Ten requests a second, so many of them failing, on v1."""
    active = world.last().active
    assert active is not None
    for _ in range(seconds):
        counted = world.router.counters.get(active.id)
        requests, errors = (counted.requests, counted.errors) if counted else (0, 0)
        world.serve("app:v1", requests=requests + 10, errors=errors + errors_of_ten)
        await world.clock.advance(1)


def told(world: World) -> list[tuple[str, bool]]:
    return [(alert.name, alert.resolved) for alert in world.alerts.alerts]


async def state(tools: Tools) -> str:
    return str((await tools("alert_list"))["rules"][0]["state"])


async def test_a_rule_fires_once_and_is_resolved_once() -> None:
    async with World() as world:
        tools = await measuring(world)
        assert (await tools("alert_create", **RULE))["kind"] == "rule"
        await traffic(world, seconds=30, errors_of_ten=0)
        assert await state(tools) == "inactive"
        await traffic(world, seconds=15, errors_of_ten=5)
        assert (await state(tools), told(world)) == ("pending", [])
        await traffic(world, seconds=60, errors_of_ten=5)
        assert (await state(tools), told(world)) == ("firing", [("too-many-errors", False)])
        await traffic(world, seconds=60, errors_of_ten=0)
        assert (await state(tools), told(world)) == (
            "inactive",
            [("too-many-errors", False), ("too-many-errors", True)],
        )
        fired, resolved = world.alerts.alerts
        assert "app fails" in fired.message
        assert resolved.id == f"{fired.id}:resolved"


async def test_a_rule_survives_a_restart_and_does_not_fire_again() -> None:
    async with World() as world:
        tools = await measuring(world)
        await tools("alert_create", **RULE)
        await traffic(world, seconds=60, errors_of_ten=5)
        assert told(world) == [("too-many-errors", False)]
        await world.restart()
        await world.fleet.rules.load()
        world.fleet.metrics.start()
        world.fleet.rules.start()
        await traffic(world, seconds=60, errors_of_ten=5)
        assert (await state(tools), told(world)) == ("firing", [("too-many-errors", False)])
        await traffic(world, seconds=60, errors_of_ten=0)
        assert told(world)[-1] == ("too-many-errors", True)


async def test_a_rule_of_the_same_name_takes_its_place_and_can_be_removed() -> None:
    async with World() as world:
        tools = await measuring(world)
        await tools("alert_create", **RULE)
        again = await tools("alert_create", **{**RULE, "condition": "request_error_rate > 90%"})
        assert again["state"] == "replaced"
        (rule,) = (await tools("alert_list"))["rules"]
        assert rule["condition"] == "request_error_rate > 90%"
        await tools("alert_silence", name=RULE["name"], remove=True)
        assert (await tools("alert_list"))["rules"] == []
        with pytest.raises(UnknownName):
            await tools("alert_silence", name=RULE["name"], remove=True)


async def test_an_alert_by_hand_is_delivered_and_listed() -> None:
    async with World() as world:
        tools = await measuring(world)
        created = await tools(
            "alert_create", name="deploy-complete", severity="info", message="done", labels={"app": "app"}
        )
        await world.clock.advance(5)
        assert told(world) == [("deploy-complete", False)]
        newest = (await tools("alert_list", service="app"))["alerts"][0]
        assert (newest["id"], newest["deliveries"]) == (created["id"], {world.alerts.name: "delivered"})
        assert newest["labels"]["created_by"] == "owner"


async def test_what_is_silenced_is_listed_and_not_delivered_until_the_silence_ends() -> None:
    async with World() as world:
        tools = await measuring(world)
        alert: dict[str, Any] = {"name": "noise", "severity": "warning", "message": "again", "labels": {"app": "app"}}
        await tools("alert_create", **alert)
        await world.clock.advance(5)
        await tools("alert_silence", name="noise", durationSeconds=600, reason="known")
        await tools("alert_create", **alert)
        await world.clock.advance(5)
        assert told(world) == [("noise", False)]
        listed = await tools("alert_list")
        assert "silenced" in listed["alerts"][0]["deliveries"][world.alerts.name]
        assert [(s["name"], s["reason"], s["createdBy"]) for s in listed["silences"]] == [("noise", "known", "owner")]
        await tools("alert_silence", name="noise", durationSeconds=0)
        await tools("alert_create", **alert)
        await world.clock.advance(5)
        assert told(world) == [("noise", False), ("noise", False)]
        with pytest.raises(UnknownName, match="no alert 'nosie'") as caught:
            await tools("alert_silence", name="nosie")
        assert "noise" in caught.value.hint


async def test_who_is_limited_to_services_sees_and_makes_only_alerts_of_theirs() -> None:
    specs = [service(name, hosts=(f"{name}.example.com",)) for name in ("app", "other")]
    async with World(*specs) as world:
        owner = await measuring(world)
        await owner("alert_create", **RULE)
        await owner("alert_create", name="hello", severity="info", message="hello", labels={"app": "app"})
        limited = owner.by(agent(Scope.ADMIN, services=frozenset({"other"})))
        listed = await limited("alert_list")
        assert (listed["alerts"], listed["rules"]) == ([], [])
        for labels in ({"app": "app"}, {}):
            with pytest.raises(Forbidden):
                await limited("alert_create", name="x", severity="info", message="x", labels=labels)
        with pytest.raises(Forbidden):
            await limited("alert_create", **{**RULE, "labels": {"app": "other"}})
        with pytest.raises(Forbidden):
            await limited("alert_silence", name="hello")
        await limited("alert_create", name="mine", severity="info", message="x", labels={"app": "other"})
        assert [alert["name"] for alert in (await limited("alert_list"))["alerts"]] == ["mine"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": ""}, "name: must be"),
        ({"name": "../x"}, "name: must be"),
        ({"name": "a b"}, "name: must be"),
        ({"severity": "fatal"}, "severity"),
        ({"message": " "}, "message: must not be empty"),
        ({"message": "x\x1b[2J"}, r"message: has the control character U\+001B"),
        ({"message": "x" * 4001}, "message: at most 4000"),
        ({"condition": "errors > 1"}, "condition: there is no metric"),
        ({"condition": "request_error_rate"}, "condition: .* is not understood"),
        ({"condition": "request_error_rate > 5% for ever"}, "condition: "),
        ({"labels": {"app": "ap"}}, "no service 'ap'"),
        ({"labels": {"app": "app", "x": "a\u202eb"}}, "labels.x: has the control character"),
        ({"labels": {f"l{n}": "x" for n in range(33)}}, "labels: at most 32"),
    ],
)
async def test_what_an_alert_refuses(changes: dict[str, Any], text: str) -> None:
    async with World() as world:
        tools = await measuring(world)
        with pytest.raises(BluegreenError, match=text) as caught:
            await tools("alert_create", **{**RULE, **changes})
        assert isinstance(caught.value, UsageError)
        assert (await tools("alert_list"))["rules"] == []
