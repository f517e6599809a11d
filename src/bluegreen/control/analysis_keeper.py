"""Asks a service's own analyses while its green is watched, each at its own pace, and keeps what they answer.

They run beside the walk: a query that hangs holds up nothing but itself, and one that fails wakes the watcher at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bluegreen.control.analysis_ports import AnalysisSource
from bluegreen.control.ports import Clock, Prober
from bluegreen.domain.analysis import (
    Finding,
    Standing,
    judge_analysis,
    judge_command,
    judge_query,
    judge_smoke,
    questions,
)
from bluegreen.domain.deployment import Deployment, Phase
from bluegreen.domain.model import Endpoint, Workload
from bluegreen.domain.promql import filled
from bluegreen.domain.service import Analysis, ServiceSpec
from bluegreen.domain.verdict import Answer, Verdict

log = logging.getLogger(__name__)

QUERIES_AT_ONCE = 16
COMMANDS_AT_ONCE = 4


class Analysts:
    """Who can answer, shared by all services so that what runs at once is bounded."""

    def __init__(self, source: AnalysisSource, prober: Prober, clock: Clock) -> None:
        self._source = source
        self._prober = prober
        self._clock = clock
        self._queries = asyncio.Semaphore(QUERIES_AT_ONCE)
        self._commands = asyncio.Semaphore(COMMANDS_AT_ONCE)

    async def ask(
        self, analysis: Analysis, spec: ServiceSpec, workload: Workload, endpoints: Sequence[Endpoint]
    ) -> Finding:
        """One answer, whatever happens."""
        try:
            if analysis.query:
                return await self._query(analysis, workload)
            if not endpoints:
                return Finding(Answer.INCONCLUSIVE, "no replica listens")
            if analysis.smoke:
                return await self._smoke(analysis, spec, workload, endpoints)
            async with self._commands:
                timeout = analysis.timeout_seconds
                result = await self._prober.run(analysis.command, endpoints[0], workload, timeout)
            return judge_command(analysis.command[0], result)
        except Exception as error:
            log.exception("analysis %s of %s could not be asked", analysis.name, workload.id)
            told = f"could not be asked ({type(error).__name__}), which is a defect of bluegreen; see the daemon's log"
            return Finding(Answer.INCONCLUSIVE, told)

    async def _query(self, analysis: Analysis, workload: Workload) -> Finding:
        assert analysis.condition is not None, f"analysis {analysis.name} has a query without a condition"
        values = {
            "service": workload.service,
            "workload": workload.id,
            "slot": str(workload.color),
            "version": workload.version,
        }
        async with self._queries:
            result = await self._source.query(filled(analysis.query, values), timeout_seconds=analysis.timeout_seconds)
        age = self._source.max_sample_age_seconds
        return judge_query(analysis.condition, result, now=self._clock.now(), max_age_seconds=age)

    async def _smoke(
        self, analysis: Analysis, spec: ServiceSpec, workload: Workload, endpoints: Sequence[Endpoint]
    ) -> Finding:
        test = next(test for test in spec.smoke if test.name == analysis.smoke)

        async def on(endpoint: Endpoint) -> tuple[bool, str]:
            async with self._commands if test.command else self._queries:
                result = await self._prober.smoke(endpoint, test, workload, spec.protocol)
            return result.ok, result.detail

        return judge_smoke(await asyncio.gather(*(on(endpoint) for endpoint in endpoints)))


@dataclass(slots=True)
class _Kept:
    asked: object
    """What would have to be asked anew if it changed."""
    standings: dict[Analysis, Standing]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class AnalysisKeeper:
    """Of one service's deployments. `endpoints_of` are the replicas of a workload that listen, `changed` is called when
    an answer came. What a former phase, or a former daemon, was told does not count."""

    def __init__(
        self,
        analysts: Analysts,
        clock: Clock,
        *,
        endpoints_of: Callable[[Workload], Sequence[Endpoint]],
        changed: Callable[[], None],
    ) -> None:
        self._analysts = analysts
        self._clock = clock
        self._endpoints_of = endpoints_of
        self._changed = changed
        self._kept: dict[str, _Kept] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def look(self, deployment: Deployment, spec: ServiceSpec) -> tuple[Verdict, ...]:
        """What has been answered in this phase; begins to ask with the first look. Definitions that changed in the
        meantime are asked anew."""
        if deployment.phase is not Phase.MONITORING or deployment.green is None:
            return ()
        wanted = questions(spec)
        asked = (wanted, spec.smoke, spec.protocol)
        kept = self._kept.get(deployment.id)
        if kept is None or kept.asked != asked:
            self.end(deployment.id)
            kept = self._kept[deployment.id] = _Kept(asked, dict.fromkeys(wanted, Standing()))
            kept.tasks = [
                asyncio.create_task(self._keep_asking(analysis, spec, deployment.green, kept), name=analysis.name)
                for analysis in wanted
            ]
        now = self._clock.monotonic()
        return tuple(judge_analysis(analysis, standing, now) for analysis, standing in kept.standings.items())

    def end(self, deployment_id: str) -> None:
        """Asks no more and forgets; what is under way is cancelled and not waited for."""
        kept = self._kept.pop(deployment_id, None)
        for task in kept.tasks if kept else ():
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def stop(self) -> None:
        for deployment_id in list(self._kept):
            self.end(deployment_id)
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _keep_asking(self, analysis: Analysis, spec: ServiceSpec, green: Workload, kept: _Kept) -> None:
        while True:
            began = self._clock.monotonic()
            finding = await self._analysts.ask(analysis, spec, green, self._endpoints_of(green))
            now = self._clock.monotonic()
            before = kept.standings[analysis]
            kept.standings[analysis] = before.after(finding, now)
            if before.last is None or before.last.answer is not finding.answer:
                log.info("%s: analysis %s: %s: %s", green.id, analysis.name, finding.answer, finding.phrase)
            self._changed()
            await self._clock.sleep(max(0.0, began + analysis.interval_seconds - now))
