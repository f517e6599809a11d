"""What holds for every source of metrics: the real client against a server that speaks the API, and the fake."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from bluegreen.control.ports import AnalysisSource
from bluegreen.domain.analysis import judge_query
from bluegreen.domain.analysis_condition import parse_result_condition
from bluegreen.domain.verdict import Answer
from bluegreen.probes.fake_metrics import FakeAnalysisSource
from bluegreen.probes.prometheus import PrometheusSource
from bluegreen.spec.metrics_settings import PrometheusSettings
from tests.support.prometheus_api import error, prometheus_api

BELOW = parse_result_condition("result < 0.05")
Told = float | Mapping[str, float] | str | None


class World:
    """A source that finds a number, series by route, a problem (text), or hangs (None)."""

    def source(self, told: Told, *, age_seconds: float = 0.0) -> AbstractAsyncContextManager[AnalysisSource]:
        raise NotImplementedError


class RealWorld(World):
    @asynccontextmanager
    async def source(self, told: Told, *, age_seconds: float = 0.0) -> AsyncIterator[AnalysisSource]:
        with prometheus_api() as api:
            source = PrometheusSource(PrometheusSettings(api.url, max_sample_age_seconds=120), {})
            api.at = time.time() - age_seconds
            api.answer = told if not isinstance(told, str) else error("internal", told)
            api.status = 500 if isinstance(told, str) else 200
            yield source
            await source.aclose()


class FakeWorld(World):
    @asynccontextmanager
    async def source(self, told: Told, *, age_seconds: float = 0.0) -> AsyncIterator[AnalysisSource]:
        async def at_once(_seconds: float) -> None:
            """Simulated time passes without waiting."""

        source = FakeAnalysisSource(now=time.time, sleep=at_once)
        source.max_sample_age_seconds = 120
        source.answer, source.age_seconds = told, age_seconds
        yield source


@pytest.fixture(params=[RealWorld, FakeWorld], ids=["real", "fake"])
def world(request: pytest.FixtureRequest) -> World:
    made: World = request.param()
    return made


@pytest.mark.parametrize(
    ("told", "age_seconds", "answer"),
    [
        (0.01, 0, Answer.PASS),
        ({"/a": 0.01, "/b": 0.02}, 0, Answer.PASS),
        (0.5, 0, Answer.FAIL),
        ({"/a": 0.01, "/b": 0.5}, 0, Answer.FAIL),
        (math.nan, 0, Answer.INCONCLUSIVE),
        (math.inf, 0, Answer.INCONCLUSIVE),
        ({}, 0, Answer.INCONCLUSIVE),
        (0.01, 600, Answer.INCONCLUSIVE),
        ("it is on fire", 0, Answer.INCONCLUSIVE),
    ],
)
async def test_a_query_is_answered_and_never_raises(
    world: World, told: Told, age_seconds: float, answer: Answer
) -> None:
    async with world.source(told, age_seconds=age_seconds) as source:
        result = await source.query("x", timeout_seconds=10)
        found = judge_query(BELOW, result, now=time.time(), max_age_seconds=source.max_sample_age_seconds)
    assert found.answer is answer, found.phrase
    assert found.phrase
    if isinstance(told, str):
        assert told in found.phrase


async def test_series_keep_their_labels_and_numbers(world: World) -> None:
    async with world.source({"/a": 0.25, "/b": -1.0}) as source:
        result = await source.query("x", timeout_seconds=10)
    assert {element.labels["route"]: element.value for element in result.elements} == {"/a": 0.25, "/b": -1.0}
    assert all(abs(element.at - time.time()) < 60 for element in result.elements)


async def test_one_that_hangs_is_given_up_within_the_time(world: World) -> None:
    async with world.source(None) as source, asyncio.timeout(30):
        result = await source.query("x", timeout_seconds=0.2)
    assert "no complete answer within 0.2 s" in result.problem


async def test_a_query_can_be_cancelled(world: World) -> None:
    if isinstance(world, FakeWorld):
        source = FakeAnalysisSource()
        source.answer = None
        waiting = asyncio.create_task(source.query("x", timeout_seconds=600))
    else:
        async with world.source(None) as real:
            waiting = asyncio.create_task(real.query("x", timeout_seconds=600))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting}, timeout=30)
    waiting.cancel()
    await asyncio.wait({waiting}, timeout=30)
    assert waiting.cancelled()
