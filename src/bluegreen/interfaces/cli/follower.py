"""Follows a deployment in the daemon until the moment the user waits for, or its end."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from bluegreen.control import requests as r
from bluegreen.control import views as v
from bluegreen.domain.deployment import TERMINAL_PHASES, Phase
from bluegreen.domain.errors import DaemonUnreachable
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.cli.location import command_line
from bluegreen.interfaces.cli.patience import PATIENCE_SECONDS, patiently
from bluegreen.interfaces.cli.sentences import Timeline

REACHED: dict[str, frozenset[str]] = {
    "switched": frozenset({Phase.MONITORING, Phase.RETAINING, Phase.COMPLETED}),
    "monitored": frozenset({Phase.RETAINING, Phase.COMPLETED}),
    "completed": frozenset({Phase.COMPLETED}),
}
"""What to wait for → the phases in which it has happened."""


@dataclass(slots=True)
class Progress:
    """All that is known at one moment."""

    deployment: v.DeploymentView
    service: v.ServiceView | None = None
    timeline: Timeline = field(default_factory=Timeline)
    news: tuple[v.EventView, ...] = ()
    """Events since the last look."""
    trouble: str = ""
    """Set while the daemon does not answer."""
    finished: bool = False
    """Whether this is the last look."""

    @property
    def holds(self) -> bool:
        """Whether nothing will happen until a person decides."""
        view = self.deployment
        if view.phase == Phase.MONITORING:
            return view.reason.startswith("holding:") or bool(view.attention)
        if view.phase == Phase.SWITCHING:
            return view.shares_traffic and bool(view.attention)
        return view.phase == Phase.AWAITING_APPROVAL


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the waiting ended. `raw` is the deployment exactly as the daemon wrote it."""

    deployment: v.DeploymentView
    raw: dict[str, Any]
    reached: bool
    timeline: Timeline
    unhealthy_after_rollback: str = ""


class Screen(AbstractContextManager["Screen"], Protocol):
    """Where progress is shown."""

    look_seconds: float
    """How often there should be something new to see."""

    def show(self, progress: Progress) -> None: ...


class Follower:
    """One deployment, followed through restarts of the daemon."""

    def __init__(self, client: DaemonClient, deployment: v.DeploymentView, screen: Screen) -> None:
        self._client = client
        self._screen = screen
        self._progress = Progress(deployment)
        self._raw: dict[str, Any] = {}
        self._after = 0
        self._unhealthy = ""

    def follow(self, wait: str) -> Outcome:
        """Returns when `wait` (switched, monitored, completed) is reached or can't be any more.

        Raises DaemonUnreachable when the daemon stays away, KeyboardInterrupt when the user leaves.
        """
        progress = self._progress
        with self._screen:
            while True:
                try:
                    patiently(self._look, self._say_trouble)
                except DaemonUnreachable as error:
                    raise self._gave_up(error) from error
                view = progress.deployment
                reached = _reached(view, wait)
                progress.finished = reached or view.phase in TERMINAL_PHASES or bool(self._unhealthy)
                self._screen.show(progress)
                if progress.finished:
                    return Outcome(view, self._raw, reached, progress.timeline, self._unhealthy)

    def _look(self) -> None:
        progress = self._progress
        wait_seconds = self._screen.look_seconds
        found = self._client.call(
            "events",
            r.EventsRequest(progress.deployment.id, self._after, wait_seconds),
            v.EventsView,
            timeout_seconds=wait_seconds + 5,
        )
        self._raw = self._client.call_raw("deployment", r.DeploymentRequest(progress.deployment.id), timeout_seconds=5)
        status = self._client.call(
            "status", r.StatusRequest(progress.deployment.service), v.StatusView, timeout_seconds=5
        )
        progress.deployment = decode(v.DeploymentView, self._raw)
        progress.service = status.services[0] if status.services else None
        progress.news, progress.trouble = found.events, ""
        for event in found.events:
            self._after = event.sequence
            progress.timeline.add(event)
            if event.kind == "blue_verified" and not event.data.get("healthy", True):
                self._unhealthy = str(event.data.get("detail") or "no health check passed")

    def _say_trouble(self, error: DaemonUnreachable) -> None:
        self._progress.news = ()
        self._progress.trouble = f"{error.message}; trying for {PATIENCE_SECONDS:g} s"
        self._screen.show(self._progress)

    def _gave_up(self, error: DaemonUnreachable) -> DaemonUnreachable:
        config_path, view = self._client.config_path, self._progress.deployment
        return DaemonUnreachable(
            f"{error.message}. Deployment {view.id} was in phase {view.phase}; the traffic stays as it is, and the "
            "deployment continues at the next `bluegreen up`",
            hint=f"Go on: {command_line('up', config_path)}   "
            f"Go back without the daemon: {command_line(f'rollback {view.service}', config_path)}",
        )


def _reached(view: v.DeploymentView, wait: str) -> bool:
    # After the switch only success leads to cleaning_up: everything else ends in rolling_back.
    cleaning_up_after_success = view.phase == Phase.CLEANING_UP and view.switched_at is not None and not view.cause
    if view.shares_traffic:  # The first users of a canary are not the moment that anybody waits for.
        return False
    return view.phase in REACHED[wait] or (cleaning_up_after_success and wait != "completed")
