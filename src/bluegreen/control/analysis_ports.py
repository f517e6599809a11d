"""The port to the user's own metrics: a Prometheus, a VictoriaMetrics, or none."""

from __future__ import annotations

from typing import Protocol

from bluegreen.domain.analysis import QueryResult


class AnalysisSource(Protocol):
    @property
    def max_sample_age_seconds(self) -> float:
        """How old what it answers with may be to count."""
        ...

    async def query(self, query: str, *, timeout_seconds: float) -> QueryResult:
        """One PromQL query for the present moment. Ends within the time, and never raises: that nobody answered, or not
        with numbers, is a result with a problem that says what to do."""
        ...


class NoSource:
    """No metrics of the user's are configured."""

    max_sample_age_seconds = 0.0

    async def query(self, query: str, *, timeout_seconds: float) -> QueryResult:
        return QueryResult(problem="there is no [metrics.prometheus] to ask; add its url and type: bluegreen reload")
