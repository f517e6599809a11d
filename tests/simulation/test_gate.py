"""The gate: every operation under every scope, services that a token may not see, and what is written down."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from bluegreen.control import views as v
from bluegreen.control.fleet import Fleet
from bluegreen.control.gate import Gate
from bluegreen.control.operations import OPERATIONS, daemon_operations
from bluegreen.domain.access import OWNER, Caller, Scope
from bluegreen.domain.deployment import Phase
from bluegreen.domain.errors import BluegreenError, Forbidden, Refused, UsageError
from bluegreen.spec.configuration import PolicySettings
from tests.domain.test_access import TABLE
from tests.simulation.world import World, service
from tests.support.gate import Tools, agent

ARGUMENTS: dict[str, dict[str, Any]] = {
    **{
        name: {"service": "app"}
        for name in ("plan", "deploy", "approve", "promote", "abort", "rollback", "history", "logs")
    },
    **{name: {"deployment": "app-zzzzzz"} for name in ("deployment", "wait", "events", "report")},
    **{name: {"workloadId": "app-green-zzzzzz"} for name in ("workload_get", "workload_stop", "workload_logs")},
    "workload_scale": {"workloadId": "app-green-zzzzzz", "replicas": 2},
    "workload_submit": {"name": "app-blue", "image": "app:v1", "labels": {"app": "app", "deployment": "blue"}},
    "metrics_query": {"metric": "request_rate", "labels": {"app": "app"}},
    "alert_create": {"name": "hello", "severity": "info", "message": "hello", "labels": {"app": "app"}},
    "alert_silence": {"name": "hello"},
}


@pytest.mark.parametrize("name", list(OPERATIONS))
@pytest.mark.parametrize("scope", list(Scope))
async def test_every_operation_under_every_scope(name: str, scope: Scope) -> None:
    async with World() as world:
        tools = Tools(world, agent(scope))
        try:
            await tools(name, **ARGUMENTS.get(name, {}))
            forbidden = False
        except Forbidden as error:
            forbidden = True
            assert f"takes scope {OPERATIONS[name].scope}" in error.message
            assert "bluegreen token create" in error.hint
        except BluegreenError:
            forbidden = False
        assert forbidden is (name not in TABLE[scope])


@pytest.mark.parametrize("name", [name for name in OPERATIONS if ARGUMENTS.get(name)])
async def test_a_token_of_another_service_sees_nothing_of_this_one(name: str) -> None:
    async with World(
        service("app", hosts=("app.example.com",)), service("other", hosts=("other.example.com",))
    ) as world:
        await world.first_version()
        deployment = world.last("app")
        assert deployment.green is not None
        arguments = {
            key: {"deployment": deployment.id, "workloadId": deployment.green.id}.get(key, value)
            for key, value in ARGUMENTS[name].items()
        }
        tools = Tools(world, agent(Scope.ADMIN, services=frozenset({"other"})))
        if name == "alert_silence":
            with pytest.raises(BluegreenError):
                await tools(name, **arguments)
        else:
            with pytest.raises(Forbidden, match="may not use 'app'"):
                await tools(name, **arguments)
        assert await world.running() == {"app:v1"}
        for listing in ("status", "services", "workload_list", "alert_list"):
            assert "app:v1" not in repr(await tools(listing))
            assert "'app'" not in repr(await tools(listing))


async def test_who_may_deploy_but_not_switch_stops_at_the_approval_of_a_person() -> None:
    async with World() as world:
        await world.first_version()
        tools = Tools(world, agent(Scope.DEPLOY))
        deployment = await tools("deploy", service="app", image="app:v2")
        assert (await world.until(Phase.AWAITING_APPROVAL)).requested_by == "agent"
        for name in ("approve", "promote", "rollback"):
            with pytest.raises(Forbidden):
                await tools(name, service="app")
        with pytest.raises(Forbidden, match="activeDeployment"):
            await tools("workload_submit", name="app-service", labels={"app": "app", "activeDeployment": "green"})
        with pytest.raises(Forbidden, match=r"overrides\.policy\.auto_promote"):
            await tools("deploy", service="app", image="app:v2", overrides={"policy.auto_promote": "true"})
        assert world.active_image() == "app:v1"
        raised = [alert for alert in world.alerts.alerts if alert.name == "deploy-awaiting-approval"]
        assert [(alert.severity, alert.next_command) for alert in raised] == [("info", "bluegreen approve app")]
        await tools.by(OWNER)("approve", service="app", requested_by="ada", reason="looks good")
        await world.until(Phase.MONITORING)
        assert world.active_image() == "app:v2"
        events = (await tools("events", deployment=deployment["id"]))["events"]
        promoted = next(event["data"] for event in events if event["kind"] == "promoted")
        assert promoted == {"requested_by": "ada", "reason": "looks good"}


async def test_who_deploys_and_vanishes_does_not_hold_twice_the_capacity_for_ever() -> None:
    async with World() as world:
        await world.first_version()
        await Tools(world, agent(Scope.DEPLOY))("deploy", service="app", image="app:v2")
        await world.until(Phase.AWAITING_APPROVAL)
        ended = await world.until(Phase.ABORTED, seconds=world.fleet.policy.orphan_seconds + 120)
        assert "nobody let v2 (green) have the traffic within 3600 s" in ended.cause
        assert await world.running() == {"app:v1"}


async def test_who_may_not_promote_leaves_the_way_back_while_the_new_version_is_watched() -> None:
    async with World() as world:
        await world.first_version()
        blue = world.last("app").green
        assert blue is not None
        await world.to_monitoring()
        with pytest.raises(Forbidden, match="takes the way back; that takes scope switch"):
            await Tools(world, agent(Scope.DEPLOY))("workload_stop", workloadId=blue.id)
        assert (await world.until(Phase.MONITORING)).can_roll_back
        assert await world.running() == {"app:v1", "app:v2"}
        stopped = await Tools(world, agent(Scope.SWITCH))("workload_stop", workloadId=blue.id)
        assert stopped["state"] == "draining"


@pytest.mark.parametrize(
    ("caller", "allowed"),
    [
        (OWNER, {"reload", "shutdown"}),
        (agent(Scope.ADMIN), {"reload"}),
        (agent(Scope.ADMIN, services=frozenset({"app"})), set()),
        (agent(Scope.SWITCH), set()),
    ],
    ids=["owner", "admin", "admin of one service", "switch"],
)
async def test_what_is_done_to_the_daemon_itself_is_not_for_a_token_of_one_service(
    caller: Caller, allowed: set[str]
) -> None:
    done = set()

    async def reload(_fleet: Fleet, _request: object) -> v.ReloadView:
        done.add("reload")
        return v.ReloadView((), ())

    async def shutdown(_fleet: Fleet, _request: object) -> v.MessageView:
        done.add("shutdown")
        return v.MessageView("all stops")

    async with World() as world:
        tools = Tools(world)
        gate = Gate(world.fleet, audit=tools.audit, clock=world.clock, more=daemon_operations(reload, shutdown))
        for name in ("reload", "shutdown"):
            with contextlib.suppress(Forbidden):
                await gate.call(name, {}, caller)
        await gate.close()
        assert done == allowed
        results = {entry.what: entry.result for entry in tools.audit.entries}
        assert {name for name, result in results.items() if result == "ok"} == allowed


async def test_approve_is_only_for_what_waits_for_it() -> None:
    async with World() as world:
        await world.first_version()
        with pytest.raises(Refused, match="no deployment under way"):
            await Tools(world)("approve", service="app")
        await world.to_monitoring()
        with pytest.raises(Refused, match="only one in awaiting_approval"):
            await Tools(world)("approve", service="app")


async def test_a_token_speaks_for_itself_and_the_owner_for_whom_it_says() -> None:
    async with World() as world:
        await world.first_version()
        deployment = await Tools(world, agent(Scope.SWITCH))(
            "deploy", service="app", image="app:v2", requested_by="root"
        )
        assert deployment["requested_by"] == "agent"


async def test_changes_and_refusals_are_written_down_and_looks_are_not() -> None:
    async with World() as world:
        await world.first_version()
        tools = Tools(world)
        await tools("status", service="app")
        await tools("deploy", service="app", image="app:v2", overrides={"env.PASSWORD": "hunter2"})
        with pytest.raises(Refused):
            await tools("deploy", service="app", image="app:v3")
        with pytest.raises(Forbidden):
            await tools.by(agent(Scope.READ, name="reader"))("rollback", service="app")
        with pytest.raises(UsageError):
            await tools("deploy", service=7)
        lines = [(entry.who, entry.what, entry.result.partition(":")[0]) for entry in tools.audit.entries]
        assert lines == [
            ("owner", "deploy", "ok"),
            ("owner", "deploy", "refused"),
            ("reader", "rollback", "forbidden"),
            ("owner", "deploy", "usage"),
        ]
        assert "hunter2" not in repr(tools.audit.entries)


async def test_a_full_disk_under_the_audit_log_does_not_stand_between_a_person_and_a_rollback() -> None:
    async with World() as world:
        await world.first_version()
        await world.to_monitoring()
        tools = Tools(world)
        tools.audit.broken = True
        assert (await tools("rollback", service="app"))["how"] == "switch"
        assert world.active_image() == "app:v1"


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({"note": "x" * 1001}, "note: at most 1000"),
        ({"image": "x" * 500_000}, "image: at most 384"),
        ({"image": f"app:{'x' * 129}"}, "image: at most 384 characters, 128 of them in the tag"),
        ({"overrides": {f"labels.a{number}": "x" for number in range(129)}}, "overrides: at most 128"),
        ({"overrides": {"labels.a": "x" * 500_000}}, r"overrides\.labels\.a: at most"),
    ],
)
async def test_what_is_kept_of_a_deployment_is_bounded(arguments: dict[str, Any], parameter: str) -> None:
    async with World() as world:
        await world.first_version()
        tools = Tools(world, agent(Scope.DEPLOY))
        with pytest.raises(UsageError, match=parameter) as refused:
            await tools("deploy", **{"service": "app", "image": "app:v2", **arguments})
        assert len(str(refused.value)) < 500
        assert len((await tools("history", service="app"))["deployments"]) == 1


@pytest.mark.parametrize("name", ["abort", "rollback"])
async def test_no_reason_is_too_long_to_go_back_and_little_of_it_is_kept(name: str) -> None:
    async with World() as world:
        await world.first_version()
        if name == "rollback":
            await world.to_monitoring()
        else:
            await Tools(world, agent(Scope.DEPLOY))("deploy", service="app", image="app:v2")
        await Tools(world)(name, service="app", reason="because " * 50_000)
        await world.until(Phase.ROLLED_BACK if name == "rollback" else Phase.ABORTED)
        assert world.active_image() == "app:v1"
        assert len(repr(await Tools(world)("events", deployment=world.last("app").id))) < 50_000


async def test_only_images_on_the_list_are_deployed() -> None:
    async with World() as world:
        await world.first_version()
        world.fleet.policy = PolicySettings(images=("registry/*",))
        tools = Tools(world)
        for name in ("plan", "deploy"):
            with pytest.raises(Refused, match="image: app:v2 is not on the list"):
                await tools(name, service="app", image="app:v2")
        labels = {"app": "app", "deployment": "green"}
        with pytest.raises(Refused, match="image: evil/app:v2"):
            await tools("workload_submit", name="app-green", image="evil/app:v2", labels=labels)
        await tools("deploy", service="app", image="registry/app:v2")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"[]", "deploy: "),
        (b'{"service": NaN}', "deploy: "),
        (b'{"service": "app"', "deploy: body"),
        (b"\xff\xfe", "deploy: body"),
        (b'{"service": {"a": 1}}', "deploy: service"),
        (b'{"service": "app", "imgae": "x"}', "unknown parameter 'imgae'"),
        (b"[" * 100_000, "deploy: body"),
    ],
)
async def test_what_is_no_request_is_refused_with_the_parameters_name(body: bytes, text: str) -> None:
    async with World() as world:
        gate = Tools(world).gate
        with pytest.raises(UsageError, match=text):
            await gate.call("deploy", body, OWNER)
        await gate.close()
