"""Progress as lines that are only ever appended: for logs of a build server, and for pipes."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from bluegreen.control import views as v
from bluegreen.domain.deployment import Phase
from bluegreen.interfaces.cli.follower import Progress
from bluegreen.interfaces.cli.location import command_line
from bluegreen.interfaces.cli.output import clock_time, count, duration, printable, rate, share
from bluegreen.interfaces.cli.sentences import ROUTINE, Timeline, sentence

HEARTBEAT_SECONDS = 5.0
"""How long nothing may be written while a phase goes on."""


class SilentScreen:
    """For `--json`: nobody watches."""

    look_seconds = 1.0

    def show(self, progress: Progress) -> None:
        """Shows nothing."""

    def __enter__(self) -> SilentScreen:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None


class PlainScreen(SilentScreen):
    """One line for each event, and a sign of life with the traffic's numbers now and then."""

    look_seconds = 0.5

    def __init__(self, config_path: Path) -> None:
        self._config_path = config_path
        self._timeline = Timeline()
        self._last_line_at = time.monotonic()
        self._told: set[str] = set()

    def show(self, progress: Progress) -> None:
        view = progress.deployment
        for event in progress.news:
            was = self._timeline.phase
            self._timeline.add(event)
            # Its own line belongs to the phase in which it happened, not to the one that it begins.
            if event.kind not in ROUTINE:
                self._line(event.at, view, was, sentence(event))
        if progress.trouble:
            self._once(progress.trouble, view)
        elif progress.holds:
            self._once(hold_notice(view, self._config_path), view)
        if time.monotonic() - self._last_line_at >= HEARTBEAT_SECONDS:
            self._line(time.time(), view, view.phase, f"{printable(view.reason)}{traffic_text(progress.service)}")

    def _once(self, text: str, view: v.DeploymentView) -> None:
        if text not in self._told:
            self._told.add(text)
            self._line(time.time(), view, view.phase, text)

    def _line(self, at: float, view: v.DeploymentView, phase: str, text: str) -> None:
        since = f"+{duration(at - view.requested_at)}"
        print(f"{clock_time(at)} {since:>9}  {phase:<12} {text}", flush=True)
        self._last_line_at = time.monotonic()


def hold_notice(view: v.DeploymentView, config_path: Path) -> str:
    """What a person has to decide. Without the changing numbers: it is said once."""
    promote = command_line(f"promote {view.service}", config_path)
    if view.phase == Phase.AWAITING_APPROVAL:
        abort = command_line(f"abort {view.service}", config_path)
        return f"WAITING FOR YOU: let green have the traffic: {promote}   or end it: {abort}"
    back = command_line(f"rollback {view.service}", config_path)
    if view.phase == Phase.SWITCHING:
        return f"HOLDING: {printable(view.attention)}. It goes on by itself when it can   or go back: {back}"
    why = view.attention or "monitoring can't tell whether the new version is good, so nothing goes on by itself"
    accept = f"Let green have {view.next_share} %" if view.shares_traffic else "Accept green"
    return f"HOLDING: {printable(why)}. {accept}: {promote}   or go back: {back}"


def traffic_text(service: v.ServiceView | None) -> str:
    """`; green v2.0: 1/1 healthy, 3 in flight, 120.0 req/s, 0.00 % errors`, the same for the other slot."""
    if service is None:
        return ""
    parts = []
    for color, slot in service.slots.items():
        if slot.workload_id is not None:
            parts.append(
                f"; {color} {slot.version}: {slot.replicas_healthy}/{slot.replicas} healthy, "
                f"{count(slot.in_flight)} in flight, {rate(slot.requests_per_second)} req/s, "
                f"{share(slot.error_rate)} errors"
            )
    return "".join(parts)
