"""The report of every outcome, on fakes and a clock that is turned by hand, through the gate as a door asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from bluegreen.control import requests as r
from bluegreen.control.deploying import deploy
from bluegreen.control.report_views import ReportView
from bluegreen.domain.access import Scope
from bluegreen.domain.deployment import Phase
from bluegreen.domain.errors import Forbidden, UnknownName, UsageError
from bluegreen.domain.service import Canary
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.report.html_page import html_page
from bluegreen.interfaces.report.markdown import markdown
from bluegreen.runtimes.fake import Behavior
from bluegreen.stores.memory_samples import MemorySampleStore
from tests.simulation.world import World, service
from tests.support import walks
from tests.support.gate import Tools, agent
from tests.support.pages import Page

SECRET = "hunter2-of-the-database"
HOSTILE = ("<script>alert(1)</script>", "</pre><img src=x onerror=alert(2)>", "```", "# no title", "\x1b[31mred")
POLICY = replace(service().policy, monitor_seconds=60, retain_seconds=30)


@asynccontextmanager
async def measured(**changes: Any) -> AsyncIterator[World]:
    async with World(service(**{"policy": POLICY, **changes})) as world:
        world.fleet.metrics.start()
        yield world


async def told(world: World, deployment: str = "app", **arguments: Any) -> ReportView:
    return decode(ReportView, await Tools(world)("report", deployment=deployment, **arguments))


def written(view: ReportView) -> tuple[str, str]:
    return html_page(view, UTC), markdown(view, UTC)


def values(view: ReportView, metric: str, role: str) -> list[float]:
    return [
        value
        for series in view.series
        if (series.metric, series.role) == (metric, role)
        for value in series.values
        if value is not None
    ]


async def test_a_version_that_was_rolled_back() -> None:
    async with measured() as world:
        await walks.rolled_back(world, share=0.2)
        view = await told(world)
        (decision,) = view.decisions
        errors = decision.verdicts[0]
        assert (decision.what, decision.by, errors.answer) == ("rollback", "", "fail")
        assert errors.evidence is not None and errors.bound is not None and errors.evidence >= errors.bound
        assert [move.kind for move in view.moves] == ["switch", "rollback"]
        assert max(values(view, "request_error_rate", "new")) == pytest.approx(0.2, abs=0.01)
        assert max(values(view, "request_error_rate", "old")) == 0.0
        assert values(view, "request_rate", "old")[0] == pytest.approx(100, rel=0.05)
        assert view.record[0].requests > 0 and view.record[0].errors == 0
        for text in written(view):
            assert "Rolled back" in text
            assert f"{errors.events} of {errors.requests} requests to v2" in text
            assert "v1 has all traffic" in text


async def test_a_version_that_stayed() -> None:
    async with measured() as world:
        await walks.completed(world)
        view = await told(world)
        assert view.deployment.phase == Phase.COMPLETED
        assert [(x.what, x.verdicts[0].answer) for x in view.decisions] == [("passed", "pass")]
        assert view.phases[-1].phase == "cleaning_up"
        assert view.window_end < view.made_at + 1
        page, text = written(view)
        assert "Completed" in page and "v2 replaced v1" in text
        assert {"switch"} == {move.kind for move in view.moves}


async def test_a_canary_tells_the_share_of_each_step_and_what_a_promotion_does() -> None:
    async with measured(canary=Canary(steps=(10, 100), observe_seconds=30)) as world:
        await world.first_version()
        await world.deploy(strategy="canary")
        await world.until(Phase.MONITORING)
        view = await told(world)
        assert view.headline == "v2 has 10 % of the traffic and is being watched."
        assert (view.deployment.share, view.deployment.steps) == (10, (10, 100))
        assert "go on to 100 % of the traffic" in view.next[1].why
        for text in written(view):
            assert "monitoring at 10 %" in text
        world.serve_both()
        await world.clock.advance(300, until=lambda: world.last().share == 100)
        for text in written(await told(world)):
            assert "monitoring at 10 %" in text
            assert "monitoring at 100 %" in text


async def test_a_version_that_failed_before_the_switch() -> None:
    async with measured() as world:
        await world.first_version()
        world.prober.sick.add("app:v2")
        await world.deploy("app:v2")
        await world.until(Phase.FAILED)
        view = await told(world)
        assert (view.decisions, view.moves) == ((), ())
        page, text = written(view)
        assert "Failed before the switch" in page
        assert "v1 was never touched" in text
        assert "bluegreen logs app" in text


async def test_a_deployment_that_was_aborted_and_one_that_waits() -> None:
    async with measured(policy=replace(POLICY, auto_promote=False)) as world:
        await world.deploy("app:v1")
        await world.until(Phase.AWAITING_APPROVAL)
        waiting = await told(world)
        assert [command.command for command in waiting.next] == ["bluegreen approve app", "bluegreen abort app"]
        assert "Waits for approval" in html_page(waiting, UTC)
        await Tools(world)("abort", service="app", reason="wrong tag")
        await world.until(Phase.ABORTED)
        view = await told(world)
        page, text = written(view)
        assert "Aborted" in page and "wrong tag" in text
        assert "none: it was the first deployment" in text


async def test_one_under_way_says_so_and_offers_the_way_back() -> None:
    async with measured() as world:
        await world.first_version()
        await world.to_monitoring()
        view = await told(world)
        assert view.next[0].command == "bluegreen rollback app"
        assert view.phases[-1].ended_at is None
        assert "Under way: monitoring" in html_page(view, UTC)


async def test_what_a_former_daemon_measured_and_did_not_keep_is_shown_as_not_known() -> None:
    async with measured() as world:
        await walks.rolled_back(world)
        before = await told(world)
        world.samples = MemorySampleStore()
        await world.restart()
        after = await told(world, before.deployment.id)
        assert (after.headline, after.decisions, after.phases) == (before.headline, before.decisions, before.phases)
        assert all(series.values == () for series in after.series)
        page, text = written(after)
        assert "is not kept any more" in page and "is not kept any more" in text
        assert "0.00 % to" not in text, "what is not known is no zero"


async def test_secrets_are_nowhere_and_hostile_log_lines_are_only_text() -> None:
    async with measured(env={"PASSWORD": SECRET, "MODE": "on"}) as world:
        await world.first_version()
        world.runtime.behaviors["app:v2"] = Behavior(
            output=(*HOSTILE, f"connecting with {SECRET}", f"token={SECRET}!", "mode on")
        )
        await deploy(
            world.fleet,
            r.DeployRequest(service="app", image="app:v2", requested_by="ada", overrides={"env.TOKEN": SECRET + "!"}),
        )
        await world.until(Phase.MONITORING)
        await walks.Traffic(world, bad={"app:v2": 1.0}).flow(60, Phase.ROLLED_BACK)
        view = await told(world)
        assert f"token={SECRET}" not in str(view) and SECRET not in str(view)
        assert view.deployment.logs[-1].endswith("mode on"), "a value of two letters is no secret"
        page, text = written(view)
        parsed = Page.of(page)
        assert "<script>alert(1)</script>" in parsed.text
        assert {"script", "img"} & set(parsed.tags) == set()
        assert "\x1b" not in page + text
        assert "````text" in text, "the block must not end where its content wants it to"


async def test_a_service_stands_for_its_newest_deployment_and_others_are_named() -> None:
    async with measured() as world:
        with pytest.raises(UnknownName, match="was never deployed"):
            await told(world)
        await world.first_version()
        assert (await told(world)).deployment.id == world.last().id
        with pytest.raises(UnknownName, match="deployment: there is no deployment 'app-zzz'"):
            await told(world, "app-zzz")
        with pytest.raises(UsageError, match="points: must be between 0 and 1000, got 1001"):
            await told(world, points=1001)
        assert (await told(world, points=0)).series == ()


async def test_who_may_see_other_services_only_is_refused() -> None:
    async with measured() as world:
        await world.first_version()
        stranger = Tools(world, agent(Scope.READ, services=frozenset({"other"})))
        with pytest.raises(Forbidden):
            await stranger("report", deployment=world.last().id)
        assert await Tools(world, agent(Scope.READ))("report", deployment=world.last().id)


async def test_a_report_is_made_with_a_router_that_is_silent() -> None:
    async with measured() as world:
        await walks.rolled_back(world)
        world.router.alive = False
        view = await told(world)
        assert view.decisions and view.events
