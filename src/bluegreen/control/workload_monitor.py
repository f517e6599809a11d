"""Watches one workload: what the runtime says of it and what its health checks answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from bluegreen.control.ports import Clock, Prober, WorkloadRuntime
from bluegreen.domain.errors import BluegreenError
from bluegreen.domain.health import Health, ReplicaHealth, WorkloadHealth
from bluegreen.domain.model import ReplicaStatus, Workload, WorkloadStatus
from bluegreen.domain.service import HealthCheck

log = logging.getLogger(__name__)

UNTIL_LISTENING_SECONDS = 0.03
"""How often a starting replica is looked at; looking is cheap, waiting delays the switch."""
RESTARTS_LOOK_SECONDS = 0.4
"""During a deployment restarts are looked for at least this often, however rare the health checks are."""
CALM_FACTOR = 5
"""Outside of a deployment, checks are this many times rarer; the router checks by itself as well."""


class WorkloadMonitor:
    """Checks each replica directly, never through the router, and only once the replica itself listens.

    `changed` is called whenever something a decision depends on is different.
    """

    def __init__(
        self,
        workload: Workload,
        check: HealthCheck,
        protocol: str,
        *,
        runtime: WorkloadRuntime,
        prober: Prober,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self.workload = workload
        self.status: WorkloadStatus | None = None
        self.seen_once = False
        self.looked_at = 0.0
        """When everything was last checked on demand, by the monotonic clock."""
        self._calm = False
        self._trouble = ""
        self._check = check
        self._protocol = protocol
        self._runtime = runtime
        self._prober = prober
        self._clock = clock
        self._changed = changed
        self._replicas: dict[int, ReplicaHealth] = {}
        self._next_check: dict[int, float] = {}
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def health(self) -> WorkloadHealth:
        return WorkloadHealth(
            tuple(self._replicas.get(index, ReplicaHealth()) for index in range(self.workload.replicas))
        )

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"monitor {self.workload.id}")

    def set_calm(self, calm: bool) -> None:
        """Checks less often while nothing is being decided, and at once when that ends."""
        if self._calm and not calm:
            self._next_check.clear()
            self._hurry.set()
        self._calm = calm

    async def check_now(self) -> None:
        """One look with a check of every replica, due or not."""
        self._next_check.clear()
        self.looked_at = self._clock.monotonic()
        await self.look()

    def start_over(self) -> None:
        """Forgets the checks so far: what is asked next is how the workload is now."""
        self._replicas.clear()
        self._next_check.clear()
        self._hurry.set()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def stop(self) -> None:
        self.cancel()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            # A monitor that dies would leave stale answers behind; unknown is what it must say instead.
            try:
                await self.look()
                self._trouble = ""
            except BluegreenError as problem:
                # An engine that is away for an hour is worth a line, not one for each look.
                if self._trouble != problem.message:
                    log.warning("%s can't be looked at: %s", self.workload.id, problem.message)
                self._trouble = problem.message
                self._replicas.clear()
            except Exception:
                log.exception("looking at %s failed", self.workload.id)
                self._replicas.clear()
            self._hurry.clear()
            await self._clock.wait(self._hurry, self._pause())

    async def look(self) -> None:
        """One round: the runtime's status, then a check of every replica that is due."""
        before = self._fingerprint()
        self.status = await self._runtime.inspect(self.workload.id)
        self.seen_once = True
        replicas = self.status.replicas if self.status else ()
        if any(replica.state.ended and not replica.error for replica in replicas):
            # Its keeper died with it (a reboot, a kill -9): nobody else will start it again.
            await self._runtime.heal(self.workload.id)
        if self._fingerprint() != before:
            self._changed()
        now = self._clock.monotonic()
        due = [replica for replica in replicas if now >= self._next_check.get(replica.index, 0.0)]
        if len(due) == 1:  # Most have one, and a task for it would cost as much as the check's own work.
            await self._check_replica(due[0], now)
        else:
            await asyncio.gather(*(self._check_replica(replica, now) for replica in due))
        if self._fingerprint() != before:
            self._changed()

    async def _check_replica(self, replica: ReplicaStatus, now: float) -> None:
        known = self._replicas.get(replica.index, ReplicaHealth())
        starting = why_it_waits(replica)
        if starting and known.verdict is Health.UNKNOWN:
            # Still starting is no failed check; the deadline is what bounds it.
            self._replicas[replica.index] = ReplicaHealth(last_detail=starting)
            return
        if not replica.listening or replica.endpoint is None:
            ok, detail = False, starting
        elif replica.health == "unhealthy":
            ok, detail = False, f"replica {replica.index} is unhealthy by the HEALTHCHECK of its image"
        else:
            result = await self._prober.check(replica.endpoint, self._check, self._protocol)
            ok, detail = result.ok, result.detail
        self._next_check[replica.index] = now + self._interval()
        self._replicas[replica.index] = known.after(ok, detail, rise=self._check.rise, fall=self._check.fall)

    def _interval(self) -> float:
        return self._check.interval_seconds * (CALM_FACTOR if self._calm else 1)

    def _pause(self) -> float:
        if self.status is None:
            return self._interval() if self._calm else min(0.2, self._check.interval_seconds)
        if any(why_it_waits(r) and not r.state.ended for r in self.status.replicas) and not self._calm:
            return UNTIL_LISTENING_SECONDS
        return self._interval() if self._calm else min(self._interval(), RESTARTS_LOOK_SECONDS)

    def _fingerprint(self) -> object:
        replicas = self.status.replicas if self.status else None
        verdicts = [health.verdict for health in self._replicas.values()]
        return replicas, verdicts


def why_it_waits(replica: ReplicaStatus) -> str:
    """Why a replica that is new can't be judged yet; "" when it can."""
    if not replica.listening or replica.endpoint is None:
        return f"replica {replica.index} does not listen on {replica.endpoint or 'a port'} yet"
    if replica.health == "starting":
        return f"replica {replica.index}: the HEALTHCHECK of its image has not passed yet"
    return ""
