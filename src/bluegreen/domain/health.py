"""Rise and fall: some good checks in a row make a replica healthy, some bad ones unhealthy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Health(StrEnum):
    UNKNOWN = "unknown"
    """Not checked often enough to say. Never counts as healthy."""
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class ReplicaHealth:
    """The checks of one replica so far, and what they add up to."""

    verdict: Health = Health.UNKNOWN
    passed_in_a_row: int = 0
    failed_in_a_row: int = 0
    checks: int = 0
    failures: int = 0
    last_detail: str = ""
    """What the last check said, or why there has been none yet."""
    last_failure: str = ""

    def after(self, ok: bool, detail: str, *, rise: int, fall: int) -> ReplicaHealth:
        """The state after one more check."""
        passed = self.passed_in_a_row + 1 if ok else 0
        failed = 0 if ok else self.failed_in_a_row + 1
        verdict = self.verdict
        if passed >= rise:
            verdict = Health.HEALTHY
        elif failed >= fall:
            verdict = Health.UNHEALTHY
        return replace(
            self,
            verdict=verdict,
            passed_in_a_row=passed,
            failed_in_a_row=failed,
            checks=self.checks + 1,
            failures=self.failures + (not ok),
            last_detail=detail,
            last_failure=self.last_failure if ok else detail,
        )


@dataclass(frozen=True, slots=True)
class WorkloadHealth:
    """The replicas of a workload, by index."""

    replicas: tuple[ReplicaHealth, ...] = ()

    @property
    def verdict(self) -> Health:
        """Healthy when every replica is; unhealthy as soon as one is."""
        verdicts = {replica.verdict for replica in self.replicas}
        if Health.UNHEALTHY in verdicts:
            return Health.UNHEALTHY
        return Health.HEALTHY if verdicts == {Health.HEALTHY} else Health.UNKNOWN

    @property
    def healthy_count(self) -> int:
        return sum(replica.verdict is Health.HEALTHY for replica in self.replicas)

    @property
    def summary(self) -> str:
        """`3/5 probes failed: HTTP 503 from 127.0.0.1:41233/health`, or how many are healthy and why not all."""
        failures = sum(replica.failures for replica in self.replicas)
        checks = sum(replica.checks for replica in self.replicas)
        if failures and self.verdict is not Health.HEALTHY:
            return f"{failures}/{checks} probes failed: {_last_failure(self.replicas)}"
        unchecked = next((r.last_detail for r in self.replicas if not r.checks and r.last_detail), "")
        return f"{self.healthy_count}/{len(self.replicas)} replicas healthy" + (f": {unchecked}" if unchecked else "")


def _last_failure(replicas: Iterable[ReplicaHealth]) -> str:
    """Of a replica that fails now; else of one that failed before and has not made up for it."""
    worst_first = sorted(replicas, key=lambda replica: -replica.failed_in_a_row)
    return next((r.last_failure for r in worst_first if r.last_failure), "no answer yet")
