"""An `AnalysisSource` whose answers are written down beforehand."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping

from bluegreen.domain.analysis import Element, QueryResult


class FakeAnalysisSource:
    """`answer` is what every query finds: a number, series by their route, a problem, or None for a hang that
    takes all of the time by `sleep` (a simulated clock's, say)."""

    def __init__(
        self, *, now: Callable[[], float] = lambda: 0.0, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.answer: float | Mapping[str, float] | str | None = 0.0
        self.age_seconds = 0.0
        """How old the samples are."""
        self.max_sample_age_seconds = math.inf
        self.queries: list[str] = []
        self.under_way = 0
        self._now = now
        self._sleep = sleep

    async def query(self, query: str, *, timeout_seconds: float) -> QueryResult:
        self.queries.append(query)
        self.under_way += 1
        try:
            return await self._answer(timeout_seconds)
        finally:
            self.under_way -= 1

    async def _answer(self, timeout_seconds: float) -> QueryResult:
        answer, at = self.answer, self._now() - self.age_seconds
        if answer is None:
            await self._sleep(timeout_seconds)
            return QueryResult(problem=f"no complete answer within {timeout_seconds:g} s")
        if isinstance(answer, str):
            return QueryResult(problem=answer)
        if isinstance(answer, Mapping):
            return QueryResult(tuple(Element(value, at, {"route": route}) for route, value in answer.items()))
        return QueryResult((Element(float(answer), at),))
