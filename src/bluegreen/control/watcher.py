"""One per service: observe, reconcile, record, act, and again, until every deployment of it has ended.

Only what is on disk is applied: when the log can't be written the walk holds. The one exception is the
way back: a rollback moves the traffic first and is recorded as soon as that is possible.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bluegreen.control.executor import Executor
from bluegreen.control.observer import Observer
from bluegreen.control.ports import Clock, EventStore
from bluegreen.control.waiting import rest
from bluegreen.domain import events as e
from bluegreen.domain.actions import (
    Action,
    ConnectSlot,
    RaiseAlert,
    RunSmokeTests,
    StartWorkload,
    StopWorkload,
    SwitchTraffic,
)
from bluegreen.domain.deployment import BEFORE_SWITCH, IN_PROGRESS, Deployment, Phase, apply, replay, route_of
from bluegreen.domain.errors import BluegreenError, IllegalEvent, Refused, StoreError
from bluegreen.domain.model import Workload
from bluegreen.domain.reconcile import reconcile
from bluegreen.domain.service import ServiceSpec

log = logging.getLogger(__name__)

RECORD_PATIENCE_SECONDS = 1.0
"""How long a rollback waits for its record before it answers; the traffic is back long before."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command of a person ended. `recorded` is false when the log could not be written in time."""

    deployment: Deployment
    milliseconds: float = 0.0
    recorded: bool = True


def action_key(action: Action) -> str:
    """What may run only once at a time."""
    match action:
        case ConnectSlot(color, _):
            return f"{action.name}:{color}"
        case RaiseAlert(alert, _, _):
            return f"{action.name}:{alert}"
    return action.name


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
        """The newest deployment, ended or not: it alone tells what the slots hold."""
        self.reasons: dict[str, str] = {}
        self._store = store
        self._executor = executor
        self._observer = observer
        self._clock = clock
        self.spec_of = spec_of
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._not_before: dict[tuple[str, str], float] = {}
        self._returning: set[str] = set()
        self._background: set[asyncio.Task[Any]] = set()
        self._loop_task: asyncio.Task[None] | None = None

    # -- what others ask -------------------------------------------------------------------------------

    @property
    def current(self) -> Deployment | None:
        """The deployment that is somewhere between preflight and monitoring."""
        return next((d for d in self.live.values() if d.phase in IN_PROGRESS), None)

    def wake(self) -> None:
        self._wake.set()

    def adopt(self, deployment: Deployment) -> None:
        """Takes up a deployment: a new one, or one that a former daemon left."""
        if not deployment.phase.terminal:
            self.live[deployment.id] = deployment
            self._observer.phase_began(deployment, resumed=True)
        if self.last is None or deployment.requested_at >= self.last.requested_at:
            self.last = deployment
        self._attend()

    def start(self) -> None:
        if self.live and (self._loop_task is None or self._loop_task.done()):
            self._observer.follow(self.wake)
            self._loop_task = asyncio.create_task(self._run(), name=f"watch {self.service}")

    async def stop(self) -> None:
        tasks = [*self._tasks.values(), *self._background]
        if self._loop_task is not None:
            tasks.append(self._loop_task)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- commands of people ----------------------------------------------------------------------------

    async def request(self, deployment_id: str, event: e.DeploymentRequested) -> Deployment:
        """Writes the request down and begins to walk."""
        async with self._lock:
            at = self._clock.now()
            records = await self._store.append(deployment_id, self.service, [(at, event)])
            deployment = replay(records)
            self.adopt(deployment)
        self.start()
        self.wake()
        return deployment

    async def command(self, deployment_id: str, event: e.Event) -> Deployment:
        """Records what a person decided. Raises IllegalEvent when it can't be decided now."""
        deployment = await self.record(deployment_id, [event])
        self.wake()
        return deployment

    async def roll_back(self, deployment: Deployment, cause: str, by: str, *, automatic: bool = False) -> Done:
        """The traffic first, then the record. Neither a lock nor the log is waited for before the switch."""
        if not deployment.can_roll_back or deployment.blue is None:
            raise Refused(f"deployment {deployment.id} is {deployment.phase}: there is nothing to switch back to")
        if deployment.id in self._returning:
            return Done(deployment)
        self._returning.add(deployment.id)
        switched: e.TrafficSwitched | None = None
        problem: BluegreenError | None = None
        try:
            action = SwitchTraffic(route_of(deployment.blue), None)
            switched = await self._executor.switch(self.service, action)
        except BluegreenError as error:
            problem = error
            log.error("rollback of %s: the router did not switch, trying on: %s", deployment.id, error.message)
        requested = e.RollbackRequested(cause, by, automatic)
        events: list[e.Event] = [requested, switched] if switched else [requested]
        task = asyncio.create_task(self._record_rollback(deployment.id, events))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        recorded = asyncio.Event()
        task.add_done_callback(lambda _: recorded.set())
        await rest(self._clock, RECORD_PATIENCE_SECONDS, unless=recorded)
        if problem is not None:
            raise problem
        milliseconds = switched.milliseconds if switched else 0.0
        return Done(self.live.get(deployment.id, deployment), milliseconds, task.done() and task.result())

    async def _record_rollback(self, deployment_id: str, events: Sequence[e.Event]) -> bool:
        """Until it is recorded the walk of this deployment rests, with the traffic where it belongs."""
        try:
            while True:
                try:
                    await self.record(deployment_id, events)
                    return True
                except StoreError as error:
                    self.reasons[deployment_id] = f"rolled back, not yet recorded: {error.message}"
                    log.error("rollback of %s is not recorded yet: %s", deployment_id, error.message)
                    await self._clock.sleep(1.0)
                except IllegalEvent as error:
                    log.warning("rollback of %s needs no record: %s", deployment_id, error.message)
                    return True
        finally:
            self._returning.discard(deployment_id)
            self.wake()

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

    def _take_over(self, before: Deployment, after: Deployment) -> None:
        self.live[after.id] = after
        if self.last is None or self.last.id == after.id:
            self.last = after
        if after.phase is before.phase:
            return
        log.info("%s: %s -> %s %s", after.id, before.phase, after.phase, after.cause)
        self._observer.phase_began(after)
        for key in [key for key in self._not_before if key[0] == after.id]:
            del self._not_before[key]
        smoking = self._tasks.get((after.id, RunSmokeTests.name))
        if smoking is not None and after.phase in (Phase.CLEANING_UP, Phase.ROLLING_BACK):
            # A smoke test of a green that is on its way out tells nothing any more.
            smoking.cancel()
        if after.phase.terminal:
            del self.live[after.id]
            self.reasons[after.id] = str(after.phase)
        self._attend()

    def _attend(self) -> None:
        """Monitors exactly the workloads that the slots hold: those of live deployments and the active one."""
        wanted: dict[str, tuple[Workload, ServiceSpec]] = {}
        for deployment in [*self.live.values(), *([self.last] if self.last else [])]:
            held = (deployment.active, deployment.standby if deployment.id in self.live else None)
            for workload in held:
                if workload is not None:
                    wanted.setdefault(workload.id, (workload, self.spec_of(deployment)))
        self._observer.attend(wanted.values(), calm=not self.live, changed=self.changed)

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

    # -- the loop --------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while self.live:
            self._wake.clear()
            progressed = False
            for deployment_id in list(self.live):
                try:
                    progressed |= await self._step(deployment_id)
                except StoreError as error:
                    self.reasons[deployment_id] = f"holding: {error.message}"
                    log.error("%s: %s", deployment_id, error.message)
                    await self._clock.sleep(0.5)
                except Exception:
                    log.exception("a step of %s failed", deployment_id)
                    await self._clock.sleep(0.5)
            if self.live and not progressed:
                await rest(self._clock, 1.0, unless=self._wake)
        self._observer.unfollow()

    async def _step(self, deployment_id: str) -> bool:
        """True when something was decided, so that the next look is due at once."""
        deployment = self.live[deployment_id]
        if deployment_id in self._returning:
            return False
        spec = self.spec_of(deployment)
        running = frozenset(key for owner, key in self._tasks if owner == deployment_id)
        newer = next((d.id for d in self.live.values() if self._waits_for(d, deployment)), "")
        seen = await self._observer.observe(deployment, running=running, superseded_by=newer)
        plan = reconcile(deployment, spec, seen)
        if self.live.get(deployment_id) is not deployment:
            return True
        self.reasons[deployment_id] = plan.reason
        rollback = next((event for event in plan.events if isinstance(event, e.RollbackRequested)), None)
        if rollback is not None and rollback.automatic:
            await self.roll_back(deployment, rollback.cause, rollback.requested_by, automatic=True)
            return True
        if plan.events:
            await self.record(deployment_id, plan.events)
        for action in plan.actions:
            self._launch(deployment_id, spec, action)
        return bool(plan.events)

    @staticmethod
    def _waits_for(newer: Deployment, older: Deployment) -> bool:
        return newer.id != older.id and newer.phase is Phase.STARTING and older.phase not in BEFORE_SWITCH

    def _launch(self, deployment_id: str, spec: ServiceSpec, action: Action) -> None:
        key = (deployment_id, action_key(action))
        if key in self._tasks or self._clock.monotonic() < self._not_before.get(key, 0.0):
            return
        task = asyncio.create_task(self._perform(deployment_id, spec, action), name=f"{key}")
        self._tasks[key] = task

        def over(_: asyncio.Task[None]) -> None:
            self._tasks.pop(key, None)
            self.wake()

        task.add_done_callback(over)

    async def _perform(self, deployment_id: str, spec: ServiceSpec, action: Action) -> None:
        deployment = self.live[deployment_id]
        journaled = not action.quiet
        returning = isinstance(action, SwitchTraffic) and action.expected_generation is None
        try:
            if journaled and not returning:
                deployment = await self.record(deployment_id, [e.ActionStarted(action.name)])
            began = self._clock.monotonic()
            events = list(await self._executor.perform(deployment, spec, action))
            milliseconds = round((self._clock.monotonic() - began) * 1000, 1)
            if isinstance(action, StartWorkload | StopWorkload):
                await self._observer.look(action.workload.id)
            if journaled:
                events.insert(0, e.ActionSucceeded(action.name, milliseconds=milliseconds))
            if events:
                await self._record_outcome(deployment, events)
        except StoreError as error:
            self.reasons[deployment_id] = f"holding: {error.message}"
            self._back_off(deployment_id, action)
        except BluegreenError as error:
            self._back_off(deployment_id, action)
            with contextlib.suppress(BluegreenError):
                await self.record(deployment_id, [e.ActionFailed(action.name, str(error))])
        except Exception as error:
            log.exception("%s: action %s failed", deployment_id, action.name)
            self._back_off(deployment_id, action)
            with contextlib.suppress(BluegreenError):
                await self.record(deployment_id, [e.ActionFailed(action.name, f"{type(error).__name__}: {error}")])

    async def _record_outcome(self, began_as: Deployment, events: list[e.Event]) -> None:
        """What an action brought about belongs to the phase it was begun in; later it is only observed."""
        now = self.live.get(began_as.id)
        if now is None:
            return
        if now.phase is not began_as.phase:
            events = [event for event in events if isinstance(event, e.ActionSucceeded)]
        if events:
            await self.record(began_as.id, events)

    def _back_off(self, deployment_id: str, action: Action) -> None:
        deployment = self.live.get(deployment_id)
        failed = deployment.failures.get(action.name, 0) if deployment else 0
        pause = min(5.0, 0.2 * 2.0 ** min(failed, 8))
        self._not_before[(deployment_id, action_key(action))] = self._clock.monotonic() + pause
