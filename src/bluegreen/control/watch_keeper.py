"""Keeps the watch over each deployment between looks: what was counted and what it proves so far."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    share: int
    read_at: float = -1.0


class WatchKeeper:
    """Of one service's deployments. A daemon that comes later begins anew: all of green's requests since the switch are
    in the router's counters, so that the test against the limit loses nothing."""

    def __init__(self, service: str, view: RouterView) -> None:
        self._service = service
        self._view = view
        self._kept: dict[str, _Kept] = {}

    def look(self, deployment: Deployment, policy: Policy, *, began: float, now: float) -> Watch | None:
        """The watch with the newest reading in it, however old that is; None when the counters were not read since
        `began` (monotonic), the beginning of this phase, or when nothing is to be watched. A canary is watched between
        its steps too."""
        between_steps = deployment.phase is Phase.SWITCHING and deployment.switched
        if (deployment.phase is not Phase.MONITORING and not between_steps) or deployment.green is None:
            return None
        reading = self._view.reading(self._service, since=began)
        if reading is None:
            return None
        kept = self._kept.get(deployment.id)
        if kept is None or kept.share != deployment.share:
            by = yardstick(policy, deployment.baseline, concurrent=len(deployment.steps) > 1)
            if kept is None:
                # How many of the requests came before this step nobody knows any more: new ones have to tell.
                green = reading[1].get(deployment.green.color, SlotTraffic())
                watch = Watch(by, before_step=green.requests if deployment.step_index else 0)
                kept = self._kept[deployment.id] = _Kept(watch, began, deployment.share)
            else:
                kept.share, kept.watch = deployment.share, kept.watch.next_step(by)
        read_at, traffic = reading
        if read_at > kept.read_at:
            kept.read_at = read_at
            kept.watch = kept.watch.after(
                read_at - kept.began,
                traffic.get(deployment.green.color, SlotTraffic()),
                traffic.get(deployment.blue.color) if deployment.blue else None,
                concurrent=deployment.shares_traffic,
            )
        return replace(kept.watch, unread_seconds=max(0.0, now - read_at))

    def forget(self, deployment: Deployment) -> None:
        self._kept.pop(deployment.id, None)
