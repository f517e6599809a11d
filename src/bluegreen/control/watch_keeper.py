"""Keeps the watch over each deployment between looks: what was counted and what it proves so far."""

from __future__ import annotations

from dataclasses import dataclass

from bluegreen.control.router_view import RouterView
from bluegreen.domain.deployment import Deployment, Phase
from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.service import Policy
from bluegreen.domain.watch import Watch, yardstick


@dataclass(slots=True)
class _Kept:
    watch: Watch
    began: float
    """Monotonic."""
    step: int
    read_at: float = -1.0


class WatchKeeper:
    """Of one service's deployments. A daemon that comes later begins anew: all of green's requests since the switch are
    in the router's counters, so that the test against the limit loses nothing."""

    def __init__(self, service: str, view: RouterView) -> None:
        self._service = service
        self._view = view
        self._kept: dict[str, _Kept] = {}

    def look(self, deployment: Deployment, policy: Policy, *, began: float) -> Watch | None:
        """The watch with the newest reading in it; None when the counters were not read since `began` (monotonic), the
        beginning of this phase, or when nothing is to be watched."""
        if deployment.phase is not Phase.MONITORING or deployment.green is None:
            return None
        reading = self._view.reading(self._service, since=began)
        if reading is None:
            return None
        kept = self._kept.get(deployment.id)
        if kept is None:
            by = yardstick(policy, deployment.baseline, concurrent=len(deployment.steps) > 1)
            kept = self._kept[deployment.id] = _Kept(Watch(by), began, deployment.step_index)
        if kept.step != deployment.step_index:
            kept.step, kept.watch = deployment.step_index, kept.watch.next_step()
        read_at, traffic = reading
        if read_at > kept.read_at:
            kept.read_at = read_at
            kept.watch = kept.watch.after(
                read_at - kept.began,
                traffic.get(deployment.green.color, SlotTraffic()),
                traffic.get(deployment.blue.color) if deployment.blue else None,
                concurrent=deployment.percent < 100,
            )
        return kept.watch

    def forget(self, deployment: Deployment) -> None:
        self._kept.pop(deployment.id, None)
