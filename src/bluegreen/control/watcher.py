"""One per service: observe, reconcile, record, act, and again, until every deployment of it has ended.

Only what is on disk is applied: when the log can't be written the walk holds. The one exception is the way back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from bluegreen.control.action_tasks import ActionTasks
from bluegreen.control.executor import Executor
from bluegreen.control.observer import Observer
from bluegreen.control.ports import Clock, EventStore
from bluegreen.control.way_back import Done, WayBack
from bluegreen.domain import events as e
from bluegreen.domain.deployment import (
    BEFORE_SWITCH,
    IN_PROGRESS,
    Deployment,
    Phase,
    apply,
    held_workloads,
    replay,
    stands_on,
)
from bluegreen.domain.errors import BluegreenError, IllegalEvent, RouterError, StoreError
from bluegreen.domain.model import Workload
from bluegreen.domain.reconcile import reconcile
from bluegreen.domain.service import ServiceSpec
from bluegreen.domain.strategy import watched_at

log = logging.getLogger(__name__)


class ServiceWatcher:
    def __init__(
        self,
        service: str,
        *,
        store: EventStore,
        executor: Executor,
        observer: Observer,
        clock: Clock,
        spec_of: Callable[[Deployment], ServiceSpec],
    ) -> None:
        self.service = service
        self.live: dict[str, Deployment] = {}
        self.last: Deployment | None = None
        """The newest deployment, ended or not: it alone tells what the slots hold. When it came to nothing and the
        version that it was to replace was rolled back since: the deployment of that."""
        self._rolled_back: Deployment | None = None
        self.reasons: dict[str, str] = {}
        self._store = store
        self._executor = executor
        self._observer = observer
        self._clock = clock
        self.spec_of = spec_of
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._background: set[asyncio.Task[Any]] = set()
        self._loop_task: asyncio.Task[None] | None = None
        self._actions = ActionTasks(
            executor=executor,
            observer=observer,
            clock=clock,
            live=self.live,
            record=self.record,
            hold=self._hold,
            wake=self.wake,
        )
        self._way_back = WayBack(
            service,
            executor=executor,
            clock=clock,
            live=self.live,
            record=self.record,
            hold=self._hold_record,
            wake=self.wake,
        )

    # -- what others ask -------------------------------------------------------------------------------

    @property
    def current(self) -> Deployment | None:
        """The deployment that is somewhere between preflight and monitoring."""
        return next((d for d in self.live.values() if d.phase in IN_PROGRESS), None)

    def wake(self) -> None:
        self._wake.set()

    def adopt(self, deployment: Deployment, *, newest: bool) -> None:
        """Takes up a deployment: a new one, or one that a former daemon left. The log knows which is the newest;
        the time of a request does not, for clocks go backwards."""
        if not deployment.phase.terminal:
            self.live[deployment.id] = deployment
            self._observer.phase_began(deployment, resumed=True)
        if newest:
            self.last = deployment
        self._attend()

    def start(self) -> None:
        if self.live and (self._loop_task is None or self._loop_task.done()):
            poll = min(self.spec_of(deployment).policy.poll_seconds for deployment in self.live.values())
            self._observer.follow(self.wake, poll_seconds=poll)
            self._loop_task = asyncio.create_task(self._run(), name=f"watch {self.service}")

    async def stop(self) -> None:
        tasks: list[asyncio.Task[Any]] = [*self._actions.tasks(), *self._way_back.tasks(), *self._background]
        if self._loop_task is not None:
            tasks.append(self._loop_task)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- commands of people ----------------------------------------------------------------------------

    async def request(
        self, deployment_id: str, event: e.DeploymentRequested, *, admit: Callable[[], None]
    ) -> Deployment:
        """Writes the request down and begins to walk. `admit` raises when it may not; nobody comes in between."""
        async with self._lock:
            admit()
            at = self._clock.now()
            records = await self._store.append(deployment_id, self.service, [(at, event)])
            deployment = replay(records)
            self.adopt(deployment, newest=True)
        self.start()
        self.wake()
        return deployment

    async def command(self, deployment_id: str, event: e.Event) -> Deployment:
        """Records what a person decided. Raises IllegalEvent when it can't be decided now."""
        deployment = await self.record(deployment_id, [event])
        self.wake()
        return deployment

    async def roll_back(self, deployment: Deployment, requested: e.RollbackRequested) -> Done:
        """The traffic first, then the record. Raises Refused, and RouterError when the router did not switch."""
        return await self._way_back.take(deployment, requested)

    # -- the log ---------------------------------------------------------------------------------------

    async def record(self, deployment_id: str, events: Sequence[e.Event]) -> Deployment:
        """Appends and applies events, all or none. Raises IllegalEvent, StoreError; then nothing changed."""
        async with self._lock:
            before = self.live.get(deployment_id)
            if before is None:
                raise IllegalEvent(f"deployment {deployment_id} has ended")
            at = self._clock.now()
            after = before
            for event in events:
                after = apply(after, at, event)
            records = await self._store.append(deployment_id, self.service, [(at, event) for event in events])
            after = replace(after, last_sequence=records[-1].sequence)
            self._take_over(before, after)
            return after

    async def record_end(self, event: e.WorkloadStopped) -> None:
        """The service's version was stopped on purpose, outside of any deployment. Raises IllegalEvent, StoreError."""
        async with self._lock:
            if self.live or self.last is None:
                raise IllegalEvent(f"{self.service} has a deployment under way")
            at = self._clock.now()
            ended = apply(self.last, at, event)
            (record,) = await self._store.append(ended.id, self.service, [(at, event)])
            self.last = replace(ended, last_sequence=record.sequence)
            self._attend()

    def _take_over(self, before: Deployment, after: Deployment) -> None:
        self.live[after.id] = after
        if self.last is not None and self.last.id == after.id:
            self.last = after
        if after.phase is before.phase:
            if after.green != before.green:  # It has grown: its new replicas are to be proven, and that takes time.
                self._observer.phase_began(after)
                self._attend()
            return
        log.info("%s: %s -> %s %s", after.id, before.phase, after.phase, after.cause)
        self._observer.phase_began(after)
        self._actions.phase_began(after)
        if after.phase in (Phase.CLEANING_UP, Phase.ROLLING_BACK):
            self._actions.cancel_needless(after.id)
        if after.phase.terminal:
            del self.live[after.id]
            self.reasons[after.id] = str(after.phase)
            self._rolled_back = after if after.phase is Phase.ROLLED_BACK else self._rolled_back
            if self.last and self._rolled_back and stands_on(self.last, self._rolled_back):
                self.last = self._rolled_back
        self._attend()

    def held(self) -> list[tuple[Workload, Deployment]]:
        """What stands in the slots, each with a deployment that knows it."""
        return held_workloads(self.live.values(), self.last)

    def _attend(self) -> None:
        wanted = [(workload, self.spec_of(deployment)) for workload, deployment in self.held()]
        self._observer.attend(wanted, calm=not self.live, changed=self.changed)

    def changed(self) -> None:
        """A monitor saw something new. Outside of a deployment only the router may have to know."""
        if self.live:
            self._wake.set()
            return
        task = asyncio.create_task(self._connect_active())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _connect_active(self) -> None:
        active = self.last.active if self.last else None
        if active is None:
            return
        try:
            await self._observer.connect(active)
        except BluegreenError as error:
            log.warning("the router could not be told where %s is: %s", active.id, error.message)

    def _hold(self, deployment_id: str, why: str) -> None:
        self.reasons[deployment_id] = f"holding: {why}"

    def _hold_record(self, deployment_id: str, why: str) -> None:
        self.reasons[deployment_id] = f"rolled back, not yet recorded: {why}"

    # -- the loop --------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while self.live:
            self._wake.clear()
            progressed = False
            for deployment_id in list(self.live):
                try:
                    progressed |= await self._step(deployment_id)
                except StoreError as error:
                    self._hold(deployment_id, error.message)
                    log.error("%s: %s", deployment_id, error.message)
                    await self._clock.sleep(0.5)
                except Exception:
                    log.exception("a step of %s failed", deployment_id)
                    await self._clock.sleep(0.5)
            if self.live and not progressed:
                await self._clock.wait(self._wake, 1.0)
        self._observer.unfollow()

    async def _step(self, deployment_id: str) -> bool:
        """True when something was decided, so that the next look is due at once."""
        deployment = self.live[deployment_id]
        if self._way_back.is_taken(deployment_id):
            return False
        spec = self.spec_of(deployment)
        running = self._actions.running(deployment_id)
        newer = next((d.id for d in self.live.values() if self._waits_for(d, deployment)), "")
        watched = watched_at(deployment.share, spec)
        seen = await self._observer.observe(deployment, watched, running=running, superseded_by=newer)
        plan = reconcile(deployment, spec, seen)
        if self.live.get(deployment_id) is not deployment:
            return True
        self.reasons[deployment_id] = plan.reason
        rollback = next((event for event in plan.events if isinstance(event, e.RollbackRequested)), None)
        if rollback is not None and rollback.automatic:
            with contextlib.suppress(RouterError):
                # It is recorded all the same, and the phase rolling_back tries until the router answers.
                await self.roll_back(deployment, rollback)
            return True
        if plan.events:
            await self.record(deployment_id, plan.events)
        for action in plan.actions:
            self._actions.launch(deployment_id, spec, action)
        return bool(plan.events)

    @staticmethod
    def _waits_for(newer: Deployment, older: Deployment) -> bool:
        return newer.id != older.id and newer.phase is Phase.STARTING and older.phase not in BEFORE_SWITCH
