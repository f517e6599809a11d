"""Actions under way: each at most once at a time, its start and its end in the log, pauses growing after failures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from bluegreen.control.executor import Executor, Tell
from bluegreen.control.observer import Observer
from bluegreen.control.ports import Clock
from bluegreen.domain import events as e
from bluegreen.domain.actions import (
    Action,
    ConnectSlot,
    PrepareWorkload,
    RaiseAlert,
    RunSmokeTests,
    StartWorkload,
    StopWorkload,
    SwitchTraffic,
)
from bluegreen.domain.deployment import Deployment
from bluegreen.domain.errors import BluegreenError, StoreError
from bluegreen.domain.service import ServiceSpec

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 5.0

Record = Callable[[str, Sequence[e.Event]], Awaitable[Deployment]]


def action_key(action: Action) -> str:
    """What may run only once at a time."""
    match action:
        case ConnectSlot(color, _):
            return f"{action.name}:{color}"
        case RaiseAlert(alert, _, _):
            return f"{action.name}:{alert}"
    return action.name


class ActionTasks:
    """`record` appends to the log; `live` and `reasons` are the watcher's; `wake` tells it that something ended."""

    def __init__(
        self,
        *,
        executor: Executor,
        observer: Observer,
        clock: Clock,
        live: Mapping[str, Deployment],
        record: Record,
        hold: Callable[[str, str], None],
        wake: Callable[[], None],
    ) -> None:
        self._executor = executor
        self._observer = observer
        self._clock = clock
        self._live = live
        self._record = record
        self._hold = hold
        self._wake = wake
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._not_before: dict[tuple[str, str], float] = {}

    def running(self, deployment_id: str) -> frozenset[str]:
        return frozenset(key for owner, key in self._tasks if owner == deployment_id)

    def phase_began(self, deployment: Deployment) -> None:
        """A new phase begins without the pauses of the last one."""
        for key in [key for key in self._not_before if key[0] == deployment.id]:
            del self._not_before[key]

    def cancel_needless(self, deployment_id: str) -> None:
        """A green that is on its way out needs no image, and its smoke tests tell nothing any more."""
        for name in (PrepareWorkload.name, RunSmokeTests.name):
            if task := self._tasks.get((deployment_id, name)):
                task.cancel()

    def tasks(self) -> list[asyncio.Task[None]]:
        return list(self._tasks.values())

    def launch(self, deployment_id: str, spec: ServiceSpec, action: Action) -> None:
        key = (deployment_id, action_key(action))
        if key in self._tasks or self._clock.monotonic() < self._not_before.get(key, 0.0):
            return
        task = asyncio.create_task(self._perform(deployment_id, spec, action), name=f"{key}")
        self._tasks[key] = task

        def over(_: asyncio.Task[None]) -> None:
            self._tasks.pop(key, None)
            self._wake()

        task.add_done_callback(over)

    async def _perform(self, deployment_id: str, spec: ServiceSpec, action: Action) -> None:
        deployment = self._live[deployment_id]
        journaled = not action.quiet
        returning = isinstance(action, SwitchTraffic) and action.expected_generation is None
        try:
            if journaled and not returning:
                deployment = await self._record(deployment_id, [e.ActionStarted(action.name)])
            began = self._clock.monotonic()
            events = list(await self._executor.perform(deployment, spec, action, self._teller(deployment)))
            milliseconds = round((self._clock.monotonic() - began) * 1000, 1)
            if isinstance(action, StartWorkload | StopWorkload):
                await self._observer.look(action.workload.id)
            if journaled:
                events.insert(0, e.ActionSucceeded(action.name, milliseconds=milliseconds))
            if events:
                await self._record_outcome(deployment, events)
        except StoreError as error:
            self._hold(deployment_id, error.message)
            self._back_off(deployment_id, action)
        except BluegreenError as error:
            self._back_off(deployment_id, action)
            with contextlib.suppress(BluegreenError):
                await self._record(deployment_id, [e.ActionFailed(action.name, str(error))])
        except Exception as error:
            log.exception("%s: action %s failed", deployment_id, action.name)
            self._back_off(deployment_id, action)
            with contextlib.suppress(BluegreenError):
                await self._record(deployment_id, [e.ActionFailed(action.name, f"{type(error).__name__}: {error}")])

    def _teller(self, began_as: Deployment) -> Tell:
        """What is told in the course of an action is worth a line in the log, and no trouble when it can't be had."""

        async def tell(event: e.Event) -> None:
            with contextlib.suppress(BluegreenError):
                await self._record_outcome(began_as, [event])

        return tell

    async def _record_outcome(self, began_as: Deployment, events: list[e.Event]) -> None:
        """What an action brought about belongs to the phase it was begun in; later it is only observed."""
        now = self._live.get(began_as.id)
        if now is None:
            return
        if now.phase is not began_as.phase:
            events = [event for event in events if isinstance(event, e.ActionSucceeded)]
        if events:
            await self._record(began_as.id, events)

    def _back_off(self, deployment_id: str, action: Action) -> None:
        deployment = self._live.get(deployment_id)
        failed = deployment.failures.get(action.name, 0) if deployment else 0
        pause = min(LONGEST_PAUSE_SECONDS, 0.2 * 2.0 ** min(failed, 8))
        self._not_before[(deployment_id, action_key(action))] = self._clock.monotonic() + pause
