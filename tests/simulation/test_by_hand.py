"""The walk by hand with the six tools: what each call means at each moment, and what is refused."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest

from bluegreen.domain.access import Scope
from bluegreen.domain.deployment import Phase
from bluegreen.domain.errors import BluegreenError, Forbidden, Refused, UnknownName, UsageError
from bluegreen.domain.model import Color, Workload
from bluegreen.spec.configuration import PolicySettings
from tests.simulation.world import World, service, settle
from tests.support.gate import Tools, agent

GREEN = {"app": "app", "env": "production", "deployment": "green", "version": "v2"}


async def ready(world: World, tools: Tools, **more: Any) -> str:
    """v1 has the traffic, v2 is submitted and verified; the id of v2's workload."""
    await world.first_version()
    answer = await tools("workload_submit", name="app-green", image="app:v2", labels=GREEN, **more)
    await world.until(Phase.AWAITING_APPROVAL)
    return str(answer["id"])


async def switch(world: World, tools: Tools, color: str) -> Any:
    """Time passes while the switch is waited for."""
    call = asyncio.ensure_future(
        tools("workload_submit", name="app-service", labels={"app": "app", "activeDeployment": color})
    )
    await world.clock.advance(20, until=call.done)
    return await call


async def test_the_walk_by_hand_is_in_the_history_like_any_other() -> None:
    async with World() as world:
        tools = Tools(world)
        await world.first_version()
        (blue,) = (await tools("workload_list", labels={"app": "app", "env": "production"}))["items"]
        assert blue["active"]
        assert (blue["image"], blue["state"], blue["gpus"]) == ("app:v1", "running", 4)
        submitted = await tools("workload_submit", name="app-green", image="app:v2", gpus=4, labels=GREEN)
        assert submitted["gpus"] == 4
        assert submitted["state"] == "pending"
        green = await tools("workload_get", workloadId=submitted["id"])
        assert green["state"] in ("pending", "scheduled")
        await world.until(Phase.AWAITING_APPROVAL)
        green = await tools("workload_get", workloadId=submitted["id"])
        assert green["state"] == "running"
        assert not green["active"]
        assert green["spec"]["labels"] == {**GREEN, "name": "app-green"}
        assert world.active_image() == "app:v1"
        switched = await switch(world, tools, "green")
        assert switched["route"]["activeWorkloadId"] == submitted["id"]
        assert switched["route"]["weights"] == {"blue": 0, "green": 100}
        assert world.active_image() == "app:v2"
        stopped = await tools("workload_stop", workloadId=blue["id"])
        assert stopped["state"] == "draining"
        await world.until(Phase.COMPLETED, seconds=120)
        assert await world.running() == {"app:v2"}
        (newest, first) = (await tools("history", service="app"))["deployments"]
        assert (newest["phase"], newest["version"], newest["previous_image"]) == ("completed", "v2", "app:v1")
        assert first["version"] == "v1"
        ended = await tools("workload_get", workloadId=blue["id"])
        assert ended["state"] == "cancelled"
        assert ended["timing"]["finished"] is not None


async def test_the_way_back_by_hand() -> None:
    async with World() as world:
        tools = Tools(world)
        green = await ready(world, tools)
        await switch(world, tools, "green")
        back = await switch(world, tools, "blue")
        assert back["route"]["activeDeployment"] == "blue"
        assert world.active_image() == "app:v1"
        stopped = await tools("workload_stop", workloadId=green)
        assert stopped["state"] == "draining"
        await world.until(Phase.ROLLED_BACK)
        assert (await tools("workload_stop", workloadId=green))["state"] == "cancelled"
        assert await world.running() == {"app:v1"}


async def test_a_switch_that_is_asked_for_twice_moves_once() -> None:
    async with World() as world:
        tools = Tools(world)
        await ready(world, tools)
        first = await switch(world, tools, "green")
        again = await switch(world, tools, "green")
        assert again["route"]["generation"] == first["route"]["generation"]
        assert "already" in again["next"]


async def test_the_switch_is_refused_before_green_is_verified_with_the_reason() -> None:
    async with World() as world:
        tools = Tools(world)
        await world.first_version()
        world.prober.sick.add("app:v2")
        await tools("workload_submit", name="app-green", image="app:v2", labels=GREEN)
        await world.until(Phase.VERIFYING)
        with pytest.raises(Refused, match="not verified yet") as caught:
            await switch(world, tools, "green")
        assert "workload_get" in caught.value.hint
        assert world.active_image() == "app:v1"


async def test_the_switch_to_an_empty_slot_is_refused() -> None:
    async with World() as world:
        await world.first_version()
        with pytest.raises(Refused, match="no version of 'app' runs in green"):
            await switch(world, Tools(world), "green")


async def test_a_green_that_fails_its_checks_is_failed_and_says_why() -> None:
    async with World() as world:
        tools = Tools(world)
        await world.first_version()
        world.prober.sick.add("app:v2")
        answer = await tools("workload_submit", name="app-green", image="app:v2", labels=GREEN)
        await world.until(Phase.FAILED)
        found = await tools("workload_get", workloadId=answer["id"])
        assert found["state"] == "failed"
        assert "not healthy within" in found["error"]
        listed = await tools("workload_list", state="failed", labels={"app": "app"})
        assert [item["id"] for item in listed["items"]] == [answer["id"]]


async def test_a_version_that_was_not_verified_is_never_running_also_while_it_is_stopped() -> None:
    """Who polls workload_get until `running` would take a version that failed for one that may have the traffic."""
    async with World() as world:
        tools = Tools(world)
        await world.first_version()
        world.prober.sick.add("app:v2")
        failing = (await tools("workload_submit", name="app-green", image="app:v2", labels=GREEN))["id"]
        deployment = world.last()
        await world.until(Phase.CLEANING_UP)
        found = await tools("workload_get", workloadId=failing)
        assert found["replicas"], "it is still being stopped"
        assert found["state"] == "failed"
        assert "not healthy within" in found["error"]
        await world.until(Phase.FAILED)
        aborted = (await tools("workload_submit", name="app-green", image="app:v2", labels=GREEN))["id"]
        assert world.last().id != deployment.id
        await world.until(Phase.VERIFYING)
        await tools("workload_stop", workloadId=aborted)
        found = await tools("workload_get", workloadId=aborted)
        assert found["replicas"], "it is still being stopped"
        assert found["state"] == "scheduled"
        await world.until(Phase.ABORTED)
        assert (await tools("workload_get", workloadId=aborted))["state"] == "cancelled"


async def test_a_submitted_version_that_nobody_comes_back_for_is_shown_and_expires() -> None:
    async with World() as world:
        tools = Tools(world)
        world.fleet.policy = PolicySettings(orphan_seconds=600)
        green = await ready(world, tools)
        listed = await tools("workload_list", labels={"app": "app"})
        assert {item["id"]: item["active"] for item in listed["items"]}[green] is False
        await world.clock.advance(100)
        reason = (await tools("workload_get", workloadId=green))["reason"]
        seconds = re.search(r"is ready and waits (\d+) s more, then it is stopped", reason)
        assert seconds is not None, reason
        assert 490 <= int(seconds[1]) <= 501
        ended = await world.until(Phase.ABORTED, seconds=700)
        assert "within 600 s" in ended.cause
        assert await world.running() == {"app:v1"}
        assert world.active_image() == "app:v1"


async def test_max_runtime_is_how_long_a_version_may_wait_for_its_traffic() -> None:
    async with World() as world:
        await ready(world, Tools(world), maxRuntimeSeconds=5)
        await world.until(Phase.ABORTED, seconds=10)


async def test_stopping_a_waiting_version_aborts_its_deployment() -> None:
    async with World() as world:
        tools = Tools(world)
        green = await ready(world, tools)
        await tools("workload_stop", workloadId=green)
        assert (await world.until(Phase.ABORTED)).cause == f"{green} was stopped by owner"
        assert await world.running() == {"app:v1"}


async def test_the_side_with_the_traffic_is_not_stopped_unless_an_administrator_forces_it() -> None:
    async with World() as world:
        tools = Tools(world)
        await world.first_version()
        ((active,), _) = (await tools("workload_list"))["items"], None
        with pytest.raises(Refused, match="would be an outage"):
            await tools("workload_stop", workloadId=active["id"])
        with pytest.raises(Forbidden, match="scope admin"):
            await tools.by(agent(Scope.SWITCH))("workload_stop", workloadId=active["id"], force=True)
        assert await world.running() == {"app:v1"}
        stopping = asyncio.ensure_future(tools("workload_stop", workloadId=active["id"], force=True))
        await world.clock.advance(60, until=stopping.done)
        assert (await stopping)["state"] == "cancelled"
        assert await world.running() == set()
        await world.restart()
        assert await world.running() == set()
        assert (await tools("status", service="app"))["services"][0]["active"] is None
        await world.deploy("app:v2")
        await world.until(Phase.COMPLETED)
        assert await world.running() == {"app:v2"}


async def test_the_active_side_is_not_stopped_by_force_in_the_middle_of_a_deployment() -> None:
    async with World() as world:
        tools = Tools(world)
        await ready(world, tools)
        active = next(i for i in (await tools("workload_list"))["items"] if i["active"])
        with pytest.raises(Refused, match="end it first"):
            await tools("workload_stop", workloadId=active["id"], force=True)


async def test_scaling_is_a_deployment_of_the_same_version() -> None:
    async with World() as world:
        tools = Tools(world)
        world.runtime._total = replace(world.runtime._total, gpus=64)
        await world.first_version()
        (active,) = (await tools("workload_list"))["items"]
        scaled = await tools("workload_scale", workloadId=active["id"], replicas=3)
        await world.until(Phase.MONITORING)
        assert (await tools("workload_get", workloadId=scaled["id"]))["spec"]["replicas"] == 3
        assert (await tools("workload_get", workloadId="app-service"))["id"] == "app-service"
        with pytest.raises(Refused, match="only the active version"):
            await tools("workload_scale", workloadId=active["id"], replicas=2)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"labels": {**GREEN, "deployment": "blue"}}, Refused, "labels.deployment: blue has the traffic"),
        ({"labels": {**GREEN, "deployment": "red"}}, UsageError, "labels.deployment: must be blue or green"),
        ({"labels": {**GREEN, "version": "v3"}}, UsageError, "labels.version: is 'v3'"),
        ({"labels": {**GREEN, "env": "staging"}}, UsageError, "labels.env"),
        ({"labels": {**GREEN, "app": "ap"}}, UnknownName, "labels.app: there is no service 'ap'"),
        ({"name": "ap-green", "labels": {"deployment": "green"}}, UnknownName, "name: there is no service 'ap'"),
        ({"labels": {"app": "app"}}, UsageError, "labels.deployment: is missing"),
        ({"name": "../../etc/passwd"}, UsageError, "name: takes letters, digits"),
        ({"name": "app-blue"}, UsageError, "name: 'app-blue' is not what a version in the green slot is called"),
        ({"name": "app-service"}, UsageError, "name: 'app-service' is not what"),
        ({"name": "something", "labels": {}}, UsageError, "labels.app: is missing"),
        ({"image": ""}, UsageError, "image: is missing"),
        ({"image": "../../etc/passwd"}, UsageError, "image: "),
        ({"name": "app\x1b[2J"}, UsageError, r"name: has the control character U\+001B"),
        ({"name": "app-\u202egreen"}, UsageError, r"U\+202E"),
        ({"labels": {**GREEN, "team": "a\nb"}}, UsageError, "labels.team: has the control character"),
        ({"preemptible": True}, UsageError, "preemptible"),
        ({"gpuMemoryMb": -1}, UsageError, "^gpuMemoryMb: must be"),
        ({"priority": 101}, UsageError, "priority"),
        ({"replicas": 0}, UsageError, r"^replicas: must be ≥ 1, got 0\nNothing was started"),
        ({"cpuCores": -1}, UsageError, "^cpuCores: must be"),
        ({"memoryMb": -1}, UsageError, "^memoryMb: must be"),
        ({"env": {"A B": "s3cret"}}, UsageError, r'^env\."A B": the name of an environment variable'),
        ({"maxRuntimeSeconds": 0}, UsageError, "^maxRuntimeSeconds: must be above 0"),
        ({"maxRuntimeSeconds": 86400}, UsageError, "^maxRuntimeSeconds: a version may wait at most 3600 s"),
        ({"gpus": 9}, None, ""),
        ({"imagee": "app:v2"}, UsageError, "unknown parameter 'imagee'"),
        ({"gpus": "4"}, UsageError, "gpus: "),
        ({"gpus": True}, UsageError, "gpus: "),
    ],
)
async def test_what_a_submit_refuses(changes: dict[str, Any], error: type[BluegreenError] | None, text: str) -> None:
    async with World() as world:
        await world.first_version()
        arguments = {"name": "app-green", "image": "app:v2", "labels": GREEN, **changes}
        if error is None:
            # Understood, and refused by the requirements check: the deployment fails and says why.
            await Tools(world)("workload_submit", **arguments)
            assert "requirements not met" in (await world.until(Phase.FAILED)).cause
        else:
            with pytest.raises(error, match=text) as caught:
                await Tools(world)("workload_submit", **arguments)
            assert "--set" not in str(caught.value), "that is how the command line says it"
        assert await world.running() == {"app:v1"}


async def test_gpu_memory_that_is_asked_for_reaches_the_runtime() -> None:
    async with World() as world:
        await world.first_version()
        await Tools(world)("workload_submit", name="app-green", image="app:v2", labels=GREEN, gpuMemoryMb=40000)
        green = (await world.until(Phase.AWAITING_APPROVAL)).green
        assert green is not None
        assert world.runtime.requests[green.id].gpu_memory_mb == 40000


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"labels": {"env": "staging"}}, "labels.env: 'app' is of environment 'production'"),
        ({"labels": {"version": "v3"}}, "labels.version: is 'v3', and in green is 'v2'"),
        ({"labels": {"deployment": "blue"}}, "labels.deployment: is 'blue', and labels.activeDeployment 'green'"),
        ({"labels": {"activeDeployment": "red"}}, "labels.activeDeployment: must be blue or green"),
        ({"name": "other-service"}, "name: 'other-service' is not the switch of 'app'"),
        ({"image": "app:v3"}, "image: a switch takes name and labels only"),
        ({"replicas": 2}, "replicas: a switch takes name and labels only"),
        ({"env": {"A": "b"}}, "env: a switch takes name and labels only"),
        ({"args": ["--x"]}, "args: a switch takes name and labels only"),
        ({"maxRuntimeSeconds": 60}, "maxRuntimeSeconds: a switch takes name and labels only"),
    ],
)
async def test_a_switch_that_contradicts_itself_moves_nothing(changes: dict[str, Any], text: str) -> None:
    async with World() as world:
        tools = Tools(world)
        await ready(world, tools)
        labels = {"app": "app", "activeDeployment": "green", **changes.pop("labels", {})}
        with pytest.raises(UsageError, match=text) as caught:
            await tools("workload_submit", **{"name": "app-service", **changes, "labels": labels})
        assert caught.value.hint
        await world.clock.advance(5)
        assert world.active_image() == "app:v1"


async def test_a_switch_may_say_again_what_it_means() -> None:
    async with World() as world:
        tools = Tools(world)
        await ready(world, tools)
        labels = {"app": "app", "activeDeployment": "green", "env": "production", "version": "2", "deployment": "green"}
        call = asyncio.ensure_future(tools("workload_submit", name="app-service", gpus=0, labels=labels))
        await world.clock.advance(20, until=call.done)
        assert (await call)["route"]["activeDeployment"] == "green"


async def test_a_bare_tag_is_another_version_of_what_runs() -> None:
    async with World() as world:
        tools = Tools(world)
        await world.first_version()
        answer = await tools("workload_submit", name="app-green", image="v2", labels=GREEN)
        await world.until(Phase.AWAITING_APPROVAL)
        assert (await tools("workload_get", workloadId=answer["id"]))["spec"]["image"] == "app:v2"


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
async def test_a_number_that_is_none_is_refused_by_its_name_and_written_down(number: float) -> None:
    async with World() as world:
        await world.first_version()
        tools = Tools(world)
        for name, more in (
            ("maxRuntimeSeconds", {"name": "app-green", "image": "app:v2", "labels": GREEN}),
            ("cpuCores", {"name": "app-green", "image": "app:v2", "labels": GREEN}),
        ):
            with pytest.raises(UsageError, match=f"{name}: Input should be a finite number"):
                await tools("workload_submit", **more, **{name: number})
            assert tools.audit.entries[-1].result.startswith("usage: ")


async def test_an_unknown_id_offers_the_nearest() -> None:
    async with World() as world:
        tools = Tools(world)
        green = await ready(world, tools)
        with pytest.raises(UnknownName) as caught:
            await tools("workload_get", workloadId=green[:-1])
        assert green in caught.value.hint
        for tool, more in (("workload_stop", {}), ("workload_logs", {}), ("workload_scale", {"replicas": 2})):
            with pytest.raises(UnknownName, match="'app-service' is the switch of 'app', and no workload"):
                await tools(tool, workloadId="app-service", **more)
        with pytest.raises(UnknownName, match="nodeId: there is no machine 'elsewhere'"):
            await tools("workload_list", nodeId="elsewhere")
        with pytest.raises(UnknownName, match=r"labels\.app: there is no service 'ap'"):
            await tools("workload_list", labels={"app": "ap"})
        for strange in ("../../etc/passwd", "a\x00b", "app-green-", "x" * 5000):
            with pytest.raises(BluegreenError):
                await tools("workload_get", workloadId=strange)


async def test_secrets_of_the_environment_are_in_no_answer_event_or_audit_entry() -> None:
    secret = "hunter2-do-not-show"
    async with World() as world:
        tools = Tools(world)
        green = await ready(world, tools, env={"API_KEY": secret})
        launched = world.runtime.requests[green]
        assert launched.env["API_KEY"] == secret
        deployment = (await tools("workload_get", workloadId=green))["deployment"]
        answers = [
            await tools("workload_get", workloadId=green),
            await tools("workload_list"),
            await tools("events", deployment=deployment),
            await tools("status", service="app"),
            await tools("history", service="app"),
        ]
        assert answers[0]["spec"]["env"]["API_KEY"] == "***"
        stored = await world.store.read(deployment)
        assert secret not in repr((answers, stored, tools.audit.entries))
        assert "API_KEY" in repr(tools.audit.entries)


async def test_after_a_reboot_a_version_starts_again_with_its_own_environment_or_not_at_all() -> None:
    async with World() as world:
        tools = Tools(world)
        secrets = world.fleet.secrets
        green = await ready(world, tools, env={"API_KEY": "hunter2"})
        await switch(world, tools, "green")
        world.serve("app:v2")
        await world.until(Phase.COMPLETED)
        await world.deploy("app:v3")
        await world.until(Phase.VERIFYING)
        await world.runtime.stop(green)
        await world.restart_with(secrets)
        assert world.runtime.requests[green].env["API_KEY"] == "hunter2"
        await world.runtime.stop(green)
        await world.restart()
        assert await world.runtime.inspect(green) is None, "it must not start with *** for a password"


async def test_who_may_not_run_commands_may_not_bring_a_command_or_an_environment() -> None:
    async with World() as world:
        await world.first_version()
        tools = Tools(world).by(agent(Scope.SWITCH))
        for name, value in (("command", ["sh", "-c", "id"]), ("args", ["--evil"]), ("env", {"LD_PRELOAD": "x"})):
            with pytest.raises(Forbidden, match=name):
                await tools("workload_submit", name="app-green", image="app:v2", labels=GREEN, **{name: value})
        with pytest.raises(Forbidden, match=r"overrides\.command"):
            await tools("deploy", service="app", image="app:v2", overrides={"command": '["sh"]'})
        may = Tools(world).by(agent(Scope.SWITCH, may_run_commands=True))
        green = (await may("workload_submit", name="app-green", image="app:v2", labels=GREEN, args=["--x"]))["id"]
        await world.until(Phase.AWAITING_APPROVAL)
        assert world.runtime.requests[green].command == ("serve", "{port}", "--x")


async def test_two_agents_at_once_make_one_deployment() -> None:
    async with World() as world:
        await world.first_version()
        calls = [
            Tools(world, agent(Scope.DEPLOY, name=name))(
                "workload_submit", name="app-green", image="app:v2", labels=GREEN
            )
            for name in ("one", "two")
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["Refused", "dict"]


async def test_two_agents_that_switch_at_once_are_both_told_where_the_traffic_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with World() as world:
        tools = Tools(world)
        green = await ready(world, tools)
        write = world.store.append

        async def write_slowly(*records: Any, **more: Any) -> Any:
            await settle()
            return await write(*records, **more)

        # A disk takes its time: the second one asks while what the first decided is being written.
        monkeypatch.setattr(world.store, "append", write_slowly)
        switches = [
            asyncio.ensure_future(
                Tools(world, agent(Scope.SWITCH, name=name))(
                    "workload_submit", name="app-service", labels={"app": "app", "activeDeployment": "green"}
                )
            )
            for name in ("one", "two")
        ]
        await world.clock.advance(20, until=lambda: all(call.done() for call in switches))
        answers = await asyncio.gather(*switches)
        assert [answer["route"]["activeWorkloadId"] for answer in answers] == [green, green]
        assert answers[0]["route"]["generation"] == answers[1]["route"]["generation"]
        assert not world.last().accepted, "the second switch is no judgement of the version"


async def test_an_orphan_is_shown_and_stopped_only_by_an_administrator() -> None:
    async with World() as world:
        await world.first_version()
        from bluegreen.control.ports import LaunchRequest

        stray = Workload("app-green-stray1", "app", Color.GREEN, "app:v9", "v9", 1, service().resources)
        await world.runtime.start(LaunchRequest(stray, ("serve",), ".", {}))
        listed = {item["id"]: item for item in (await Tools(world)("workload_list"))["items"]}
        assert listed["app-green-stray1"]["orphan"]
        with pytest.raises(Forbidden, match="scope admin"):
            await Tools(world, agent(Scope.SWITCH))("workload_stop", workloadId="app-green-stray1")
        assert (await Tools(world)("workload_stop", workloadId="app-green-stray1"))["state"] == "cancelled"
        assert await world.running() == {"app:v1"}
        await settle()
