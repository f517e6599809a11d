"""Keeps the watch over each deployment between looks: what was counted and what it proves so far."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from bluegreen.control.kept_watches import KeptWatch, KeptWatches
from bluegreen.control.ports import Clock
from bluegreen.control.router_view import RouterView
from bluegreen.domain.deployment import Deployment, Phase
from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.service import Policy
from bluegreen.domain.watch import Watch, Yardstick, yardstick

KEEP_SECONDS = 1.0
"""How often the watch over a canary is written down: what came after it is lost with the daemon."""

STOP_SECONDS = 1.0


@dataclass(slots=True)
class _Kept:
    watch: Watch
    began: float
    """Monotonic."""
    share: int
    read_at: float = -1.0


class WatchKeeper:
    """Of one service's deployments. A daemon that comes later goes on with what was written down of a canary, and
    counts from its own first reading on: what came while nobody watched is held against nobody. Of a blue-green
    deployment all of green's requests since the switch are in the router's counters, so that the test against the limit
    loses nothing."""

    def __init__(self, service: str, view: RouterView, clock: Clock, written: KeptWatches) -> None:
        self._service = service
        self._view = view
        self._clock = clock
        self._written = written
        self._kept: dict[str, _Kept] = {}
        self._recalled: dict[str, KeptWatch | None] = {}
        self._keep_after = 0.0
        self._keeping: asyncio.Task[None] | None = None

    async def recall(self, deployment: Deployment) -> float:
        """Takes up what a former daemon left of a canary. Returns for how long nobody watched it, in seconds."""
        if len(deployment.steps) < 2 or not _is_watched(deployment):
            return 0.0
        found = self._recalled[deployment.id] = await self._written.read(deployment.id)
        return max(0.0, self._clock.now() - found.at) if found is not None and found.share == deployment.share else 0.0

    def look(self, deployment: Deployment, policy: Policy, *, began: float, now: float) -> Watch | None:
        """The watch with the newest reading in it, however old that is; None when the counters were not read since
        `began` (monotonic), the beginning of this phase, or when nothing is to be watched. A canary is watched between
        its steps too."""
        if not _is_watched(deployment) or deployment.green is None:
            return None
        reading = self._view.reading(self._service, since=began)
        if reading is None:
            return None
        read_at, traffic = reading
        green = traffic.get(deployment.green.color, SlotTraffic())
        blue = traffic.get(deployment.blue.color) if deployment.blue else None
        kept = self._kept.get(deployment.id)
        if kept is None or kept.share != deployment.share:
            by = yardstick(policy, deployment.baseline, concurrent=len(deployment.steps) > 1)
            if kept is None:
                kept = self._first(deployment, by, began, read_at, green, blue)
                self._kept[deployment.id] = kept
            if kept.share != deployment.share:
                kept.share, kept.watch = deployment.share, kept.watch.next_step(by)
        if read_at > kept.read_at:
            kept.read_at = read_at
            seconds = read_at - kept.began
            kept.watch = kept.watch.after(seconds, green, blue, concurrent=deployment.shares_traffic)
            self._keep(deployment, kept)
        return replace(kept.watch, unread_seconds=max(0.0, now - read_at))

    def _first(
        self,
        deployment: Deployment,
        by: Yardstick,
        began: float,
        read_at: float,
        green: SlotTraffic,
        blue: SlotTraffic | None,
    ) -> _Kept:
        if deployment.id not in self._recalled:
            return _Kept(Watch(by), began, deployment.share)
        left = self._recalled.pop(deployment.id)
        if left is None:
            return _Kept(Watch(by).resumed(by, green, blue), read_at, deployment.share)
        return _Kept(left.watch.resumed(by, green, blue), read_at - left.watch.seconds, left.share)

    def _keep(self, deployment: Deployment, kept: _Kept) -> None:
        """Not waited for: a slow disk is no reason to look later."""
        now = self._clock.monotonic()
        if len(deployment.steps) < 2 or now < self._keep_after or (self._keeping and not self._keeping.done()):
            return
        self._keep_after = now + KEEP_SECONDS
        written = KeptWatch(kept.watch, kept.share, self._clock.now())
        self._keeping = asyncio.create_task(self._written.write(deployment.id, written), name="keep watch")

    def forget(self, deployment: Deployment) -> None:
        self._kept.pop(deployment.id, None)
        self._recalled.pop(deployment.id, None)
        if len(deployment.steps) > 1:
            before = self._keeping
            self._keeping = asyncio.create_task(self._remove(deployment.id, before), name="forget watch")

    async def _remove(self, deployment_id: str, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        await self._written.remove(deployment_id)

    async def stop(self) -> None:
        if self._keeping is not None:
            await asyncio.wait({self._keeping}, timeout=STOP_SECONDS)


def _is_watched(deployment: Deployment) -> bool:
    between_steps = deployment.phase is Phase.SWITCHING and deployment.switched
    return deployment.phase is Phase.MONITORING or between_steps
