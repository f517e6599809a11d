"""The MCP server with the official client, in memory: tools, results, errors, progress."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import jsonschema
import pytest
from mcp.client.client import ConnectMode
from mcp.shared.exceptions import MCPError

from bluegreen.control.operations import OPERATIONS
from bluegreen.control.schemas import OWNERS_PARAMETERS, input_schema, output_schema
from bluegreen.domain.access import Scope
from bluegreen.interfaces.mcp.tools import ERROR_KEY
from tests.integration.mcp_support import MODES, LiveWorld, refusal, text_of
from tests.support.gate import agent


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LiveWorld]:
    async with LiveWorld(tmp_path) as made:
        yield made


# -- tools ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_every_operation_is_a_tool_and_nothing_else_is(world: LiveWorld, mode: ConnectMode) -> None:
    async with world.client(mode=mode) as client:
        tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == [operation.tool for operation in OPERATIONS.values()]


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_tool_says_what_it_takes_and_gives_and_how_dangerous_it_is(world: LiveWorld, name: str) -> None:
    operation = OPERATIONS[name]
    async with world.client() as client:
        tool = next(tool for tool in (await client.list_tools()).tools if tool.name == operation.tool)
    assert tool.title
    assert tool.description == operation.description
    assert len(tool.description) > 40
    jsonschema.Draft202012Validator.check_schema(tool.input_schema)
    assert tool.input_schema["type"] == "object"
    assert tool.input_schema["additionalProperties"] is False
    assert tool.input_schema.get("required") == input_schema(operation).get("required")
    assert list(tool.input_schema["properties"]) == list(input_schema(operation)["properties"])
    assert not set(OWNERS_PARAMETERS) & set(tool.input_schema["properties"])
    assert all(field["description"] for field in tool.input_schema["properties"].values())
    assert tool.output_schema is not None
    jsonschema.Draft202012Validator.check_schema(tool.output_schema)
    assert tool.output_schema["type"] == "object"
    assert list(tool.output_schema["properties"]) == list(output_schema(operation)["properties"])
    hints = tool.annotations
    assert hints is not None
    assert hints.read_only_hint == (operation.scope is Scope.READ)
    assert hints.destructive_hint == operation.destructive
    assert hints.open_world_hint is False
    if hints.read_only_hint:
        assert hints.idempotent_hint and not hints.destructive_hint


def test_stopping_and_going_back_are_marked_destructive() -> None:
    marked = {operation.tool for operation in OPERATIONS.values() if operation.destructive}
    assert marked >= {"bluegreen_rollback", "bluegreen_abort", "workload_stop"}


# -- results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_answers_are_structured_and_the_same_as_text(world: LiveWorld, mode: ConnectMode) -> None:
    deployed = await world.ask("deploy", service="app", image="app:v1")
    await world.ask("wait", deployment=deployed["id"])
    questions: dict[str, dict[str, object]] = {
        "bluegreen_status": {},
        "bluegreen_services": {},
        "bluegreen_plan": {"service": "app", "image": "v2"},
        "bluegreen_history": {"service": "app"},
        "bluegreen_deployment": {"deployment": deployed["id"]},
        "bluegreen_events": {"deployment": deployed["id"]},
        "bluegreen_report": {"deployment": deployed["id"]},
        "bluegreen_logs": {"service": "app"},
        "workload_list": {"labels": {"app": "app", "env": "production"}, "limit": 5},
    }
    async with world.client(mode=mode) as client:
        schemas = {tool.name: tool.output_schema for tool in (await client.list_tools()).tools}
        for name, arguments in questions.items():
            result = await client.call_tool(name, arguments)
            assert not result.is_error, (name, result.content)
            jsonschema.validate(result.structured_content, schemas[name] or {})
            assert json.loads(text_of(result.content[0])) == result.structured_content


async def test_whole_numbers_are_taken_where_seconds_may_have_fractions(world: LiveWorld) -> None:
    deployed = await world.ask("deploy", service="app", image="app:v1")
    async with world.client() as client:
        result = await client.call_tool("bluegreen_wait", {"deployment": deployed["id"], "timeout_seconds": 60})
    assert result.structured_content["phase"] == "completed"


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_an_unknown_tool_is_an_error_with_near_names(world: LiveWorld, mode: ConnectMode) -> None:
    async with world.client(mode=mode) as client:
        with pytest.raises(MCPError, match=r"no tool 'workload_lst'.*\n.*'workload_list'"):
            await client.call_tool("workload_lst", {})


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "words"),
    [
        ("bluegreen_status", {"servce": "app"}, "usage", ("'servce'", "It takes: service")),
        ("bluegreen_status", {"service": 5}, "usage", ("service", "It takes: service")),
        ("bluegreen_status", {"service": "ap"}, "unknown_name", ("service: there is no service 'ap'", "'app'")),
        ("bluegreen_history", {}, "usage", ("service", "It takes: service, limit")),
        ("bluegreen_history", {"service": "app", "limit": 0}, "usage", ("limit: must be between 1 and 1000, got 0",)),
        (
            "bluegreen_deployment",
            {"deployment": "app-nothing"},
            "unknown_name",
            ("deployment: there is no deployment",),
        ),
        ("bluegreen_wait", {"deployment": "x", "timeout_seconds": -1}, "usage", ("timeout_seconds: must be between",)),
        ("bluegreen_abort", {"service": "app"}, "refused", ("service:", "bluegreen history app")),
        ("workload_get", {"workloadId": "nothing"}, "unknown_name", ("workloadId",)),
    ],
)
@pytest.mark.parametrize("mode", MODES)
async def test_what_is_refused_names_the_parameter_and_the_next_step(
    world: LiveWorld, mode: ConnectMode, tool: str, arguments: dict[str, object], code: str, words: tuple[str, ...]
) -> None:
    async with world.client(mode=mode) as client:
        result = await client.call_tool(tool, arguments)
    text = refusal(result)
    assert all(word in text for word in words), text
    details = (result.meta or {})[ERROR_KEY]
    assert details["code"] == code
    assert "\n".join(filter(None, (details["message"], details["hint"]))) == text
    # Clients check structured content against the output schema, for errors too.
    assert result.structured_content is None


# -- who may do what --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", Scope)
async def test_a_caller_sees_the_tools_of_its_scope(world: LiveWorld, scope: Scope) -> None:
    async with world.client(agent(scope)) as client:
        listed = [tool.name for tool in (await client.list_tools()).tools]
    assert listed == [operation.tool for operation in OPERATIONS.values() if scope.includes(operation.scope)]


async def test_a_reader_is_refused_what_it_does_not_see_and_that_is_written_down(world: LiveWorld) -> None:
    async with world.client(agent(Scope.READ, name="reader")) as client:
        result = await client.call_tool("bluegreen_deploy", {"service": "app"})
    assert "scope: deploy takes scope deploy, and reader has read" in refusal(result)
    await world.gate.close()
    entry = world.audit.entries[-1]
    assert (entry.who, entry.door, entry.what) == ("reader", "mcp", "deploy")
    assert not world.fleet.watchers["app"].live


# -- progress ---------------------------------------------------------------------------------------------------------


async def test_every_event_is_reported_while_a_client_waits(world: LiveWorld) -> None:
    told: list[tuple[float, str]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message or ""))

    async with world.client() as client:
        started = await client.call_tool("bluegreen_deploy", {"service": "app", "image": "app:v1"})
        deployment = started.structured_content["id"]
        ended = await client.call_tool("bluegreen_wait", {"deployment": deployment}, progress_callback=on_progress)
    assert ended.structured_content["phase"] == "completed"
    events = (await world.ask("events", deployment=deployment))["events"]
    reported = [event for event in events if event["at"] <= ended.structured_content["ended_at"]]
    assert [message.partition(":")[0] for _, message in told][: len(reported)] == [event["kind"] for event in reported]
    assert [progress for progress, _ in told] == [float(number) for number in range(1, len(told) + 1)]
    assert "verified: the new version is verified" in [message for _, message in told]


async def test_waiting_for_what_is_not_there_is_refused_with_progress_too(world: LiveWorld) -> None:
    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        raise AssertionError(message)

    async with world.client() as client:
        result = await client.call_tool("bluegreen_wait", {"deployment": "app-x"}, progress_callback=on_progress)
    assert "deployment: there is no deployment 'app-x'" in refusal(result)
