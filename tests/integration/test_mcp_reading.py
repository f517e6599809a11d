"""Resources and prompts of the MCP server, with the official client."""

from __future__ import annotations

import json
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import TextResourceContents

from bluegreen.control.operations import OPERATIONS
from bluegreen.domain.access import Scope
from tests.integration.mcp_support import LiveWorld, text_of
from tests.support.gate import agent


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LiveWorld]:
    async with LiveWorld(tmp_path) as made:
        yield made


async def read(client: Client, uri: str) -> str:
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents) and content.uri == uri
    return content.text


async def test_the_configuration_can_be_read_without_its_secrets(world: LiveWorld) -> None:
    async with world.client(agent(Scope.READ)) as client:
        text = await read(client, "bluegreen://configuration")
    assert "hunter2" not in text
    document = tomllib.loads(text)
    assert document["alerts"]["webhook_url"] == "***"
    assert document["services"]["app"]["env"] == {"DATABASE_PASSWORD": "***"}
    assert document["services"]["app"]["image"] == "app:v1"
    assert set(document["services"]) == {"app", "other"}


async def test_who_is_limited_to_a_service_reads_of_no_other(world: LiveWorld) -> None:
    deployed = await world.ask("deploy", service="other", image="other:v1")
    async with world.client(agent(Scope.READ, services=frozenset({"app"}))) as client:
        assert set(tomllib.loads(await read(client, "bluegreen://configuration"))["services"]) == {"app"}
        assert json.loads(await read(client, "bluegreen://services"))["services"] == ["app"]
        assert deployed["id"] not in str((await client.list_resources()).resources)
        for uri in ("bluegreen://services/other", f"bluegreen://deployments/{deployed['id']}/events"):
            with pytest.raises(MCPError, match="service: agent may not use 'other'"):
                await client.read_resource(uri)


async def test_a_service_and_the_log_of_a_deployment_can_be_read(world: LiveWorld) -> None:
    deployed = await world.ask("deploy", service="app", image="app:v1")
    await world.ask("wait", deployment=deployed["id"])
    async with world.client() as client:
        listed = [resource.uri for resource in (await client.list_resources()).resources]
        log = f"bluegreen://deployments/{deployed['id']}/events"
        assert listed == ["bluegreen://configuration", "bluegreen://services", log]
        events = json.loads(await read(client, log))
        assert events["ended"]
        assert events["events"][0]["kind"] == "deployment_requested"
        status = json.loads(await read(client, "bluegreen://services/app"))
        assert status["services"][0]["deployment"]["id"] == deployed["id"]
        templates = [template.uri_template for template in (await client.list_resource_templates()).resource_templates]
    assert templates == ["bluegreen://services/{name}", "bluegreen://deployments/{id}/events"]


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("bluegreen://configuraton", "uri: there is no resource"),
        ("bluegreen://services/ap", "did you mean 'app'"),
        ("bluegreen://deployments/app-none/events", "deployment: there is no deployment 'app-none'"),
        ("bluegreen://services/..%2F..%2Fetc", r"there is no service '\.\./\.\./etc'"),
        ("file:///etc/passwd", "uri: there is no resource"),
    ],
)
async def test_an_address_that_leads_nowhere_is_an_error_that_says_so(world: LiveWorld, uri: str, words: str) -> None:
    async with world.client() as client:
        with pytest.raises(MCPError, match=f"(?i){words}"):
            await client.read_resource(uri)


async def test_prompts_lead_through_tools_that_exist(world: LiveWorld) -> None:
    async with world.client() as client:
        prompts = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
        deploy = await client.get_prompt("deploy", {"service": "app", "version": "v2"})
        back = await client.get_prompt("roll-back", {"service": "app", "reason": "5 % errors, costs $ {x}"})
        instructions = client.instructions or ""
    assert {name: [argument.name for argument in prompt.arguments or ()] for name, prompt in prompts.items()} == {
        "deploy": ["service", "version"],
        "roll-back": ["service", "reason"],
    }
    (text,) = (text_of(message.content) for message in deploy.messages)
    steps = ["bluegreen_plan", "bluegreen_deploy", "bluegreen_wait", "metrics_query", "Report", "Stop conditions"]
    places = [text.index(step) for step in steps]
    assert places == sorted(places)
    assert 'bluegreen_deploy(service "app", image "v2"' in text
    (back_text,) = (text_of(message.content) for message in back.messages)
    assert 'bluegreen_rollback(service "app", reason "5 % errors, costs $ {x}")' in back_text
    tools = {operation.tool for operation in OPERATIONS.values()}
    for told in (text, back_text, instructions):
        words = "".join(letter if letter.isalnum() or letter == "_" else " " for letter in told).split()
        named = {word for word in words if word.startswith(("bluegreen_", "workload_", "alert_", "metrics_"))}
        assert named and named <= tools


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("depoly", {}, "prompt: there is no prompt 'depoly'"),
        ("deploy", {"service": "app"}, "version: must be given"),
        ("deploy", {"service": "app", "version": "v2", "image": "x"}, "unknown argument 'image'"),
        ("roll-back", {"service": "app", "reason": "x\u202ey"}, r"reason: has the control character U\+202E"),
        ("roll-back", {"service": "app", "reason": "x" * 501}, "reason: at most 500 characters"),
    ],
)
async def test_a_prompt_that_cannot_be_filled_says_why(
    world: LiveWorld, name: str, arguments: dict[str, str], words: str
) -> None:
    async with world.client() as client:
        with pytest.raises(MCPError, match=words):
            await client.get_prompt(name, arguments)
