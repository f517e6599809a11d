"""The calls that the skills teach, carried out in their order; ids are those of the answers."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from bluegreen.control.operations import OPERATIONS
from bluegreen.domain.deployment import Phase
from bluegreen.domain.errors import BluegreenError
from bluegreen.domain.model import Resources
from tests.docs.pages import ROOT, blocks_of
from tests.simulation.world import World, service
from tests.support.gate import Tools

BY_TOOL = {operation.tool: operation.name for operation in OPERATIONS.values()}
SERVICE = "inference-model"
Call = dict[str, Any]


def calls(skill: str, heading: str = "", end: str = "") -> list[Call]:
    """The tool calls of a skill, of the part between two headings."""
    page: Path = ROOT / "skills" / skill / "SKILL.md"
    text = page.read_text()
    part = text[text.index(heading) : text.index(end, text.index(heading) + 1) if end else len(text)]
    return [json.loads(block.text) for block in blocks_of(page, "json") if block.text.strip() in part]


class Walk:
    """Makes calls in a world where v1.9 has the traffic, with the ids of that world."""

    def __init__(self, world: World) -> None:
        self.world, self.tools = world, Tools(world)

    async def make(self, call: Call) -> Any:
        asked = asyncio.ensure_future(self.tools(BY_TOOL[call["tool"]], **self._here(call["arguments"])))
        await self.world.clock.advance(2000, until=asked.done)
        answer = await asked
        await self.world.clock.advance(15)
        active = self.world.last(SERVICE).active
        if active is not None:
            self.world.serve(active.image)
        return answer

    def _here(self, arguments: Any) -> Any:
        last = self.world.last(SERVICE)
        text = json.dumps(arguments)
        for color, workload in (("blue", last.blue), ("green", last.green)):
            if workload is not None:
                text = re.sub(rf"{SERVICE}-{color}-[a-z0-9]{{6}}", workload.id, text)
        return json.loads(re.sub(rf'"{SERVICE}-[a-z0-9]{{6}}"', f'"{last.id}"', text))


def world() -> World:
    return World(service(SERVICE, image=f"registry/{SERVICE}:v1.9", resources=Resources(gpus=4)))


async def started(world: World) -> Walk:
    await world.deploy(f"registry/{SERVICE}:v1.9", name=SERVICE)
    await world.until(Phase.COMPLETED, name=SERVICE)
    return Walk(world)


async def test_the_walk_by_hand_as_the_skill_teaches_it() -> None:
    steps = calls("blue-green-deploy", "## The same walk by hand", "### Back, by hand")
    assert [step["tool"] for step in steps][0::7] == ["workload_list", "alert_create"]
    async with world() as here:
        walk = await started(here)
        for step in steps:
            await walk.make(step)
        newest = (await walk.tools("history", service=SERVICE))["deployments"][0]
        assert (newest["phase"], newest["version"]) == ("completed", "v2.0")


async def test_the_way_back_by_hand_as_the_skill_teaches_it() -> None:
    there = calls("blue-green-deploy", "## The same walk by hand", "7. Only when it is well")
    back = calls("blue-green-deploy", "### Back, by hand", "\n## ")
    async with world() as here:
        walk = await started(here)
        for step in [*there, *back]:
            await walk.make(step)
        newest = (await walk.tools("history", service=SERVICE))["deployments"][0]
        assert (newest["phase"], newest["version"]) == ("rolled_back", "v2.0")
        assert await here.running() == {f"registry/{SERVICE}:v1.9"}


async def test_the_high_level_walk_as_the_skill_teaches_it() -> None:
    first = {call["tool"]: call for call in reversed(calls("blue-green-deploy", "", "## The same walk by hand"))}
    async with world() as here:
        walk = await started(here)
        for tool in ("bluegreen_status", "bluegreen_plan", "bluegreen_deploy", "bluegreen_wait", "bluegreen_events"):
            await walk.make(first[tool])
        assert (await walk.make(first["bluegreen_rollback"]))["how"] == "switch"


@pytest.mark.parametrize("skill", ["blue-green-deploy", "canary-release"])
async def test_every_call_of_a_skill_is_answered_or_refused_with_what_to_do_next(skill: str) -> None:
    async with world() as here:
        walk = await started(here)
        for call in calls(skill):
            try:
                await walk.make(call)
            except BluegreenError as error:
                assert "defect" not in error.hint, error
                assert "unknown parameter" not in error.message
                assert error.hint, f"{call}: {error.message}"
