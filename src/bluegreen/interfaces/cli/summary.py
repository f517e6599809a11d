"""The last words of a deployment: what runs now, what happened, what to type."""

from __future__ import annotations

import time
from pathlib import Path

from bluegreen.control.views import DeploymentView
from bluegreen.domain.deployment import Phase
from bluegreen.interfaces.cli.follower import Outcome
from bluegreen.interfaces.cli.location import command_line
from bluegreen.interfaces.cli.output import clock_time, duration, milliseconds, printable, styled

LOG_LINES = 20


def summary(outcome: Outcome, config_path: Path) -> list[str]:
    """Lines for the screen."""
    view = outcome.deployment
    if outcome.reached:
        return _success(view, config_path)
    lines = [styled(f"✗ {_headline(outcome)}", "bad"), *_consequences(outcome)]
    return lines + report(view) + [f"  More: {command_line(f'logs {view.service}', config_path)}"]


def report(view: DeploymentView) -> list[str]:
    """Cause and last words of green, as they were kept."""
    lines = []
    if view.cause:
        lines.append(f"  cause: {printable(view.cause)}")
    if view.attention:
        lines.append(styled(f"  needs attention: {printable(view.attention)}", "warn"))
    if view.exit_codes:
        lines.append(f"  exit codes of the new version: {', '.join(view.exit_codes)}")
    if view.cut_requests:
        lines.append(f"  requests cut at the drain deadline: {view.cut_requests}")
    if view.logs:
        lines.append("  last log lines of the new version:")
        lines += [styled(f"  | {printable(line)}", "dim") for line in view.logs[-LOG_LINES:]]
    return lines


def _success(view: DeploymentView, config_path: Path) -> list[str]:
    lines = [styled(f"✓ {view.service} now runs {view.version}", "good") + f" ({view.green}, deployment {view.id})"]
    if view.switch_milliseconds is not None:
        lines.append(f"  the router acknowledged the switch in {milliseconds(view.switch_milliseconds)}")
    if view.requests is not None:
        told = "on it so far" if view.ended_at is None else "on it while it was watched"
        lines.append(f"  {view.requests} requests {told}, {view.errors or 0} errors")
    if view.phase == Phase.MONITORING:
        watch = command_line(f"status {view.service} --watch", config_path)
        guard = " and rolls back by itself if it breaks its limits" if view.previous_image else ""
        lines.append(f"  the daemon goes on watching it{guard}: {watch}")
    lines += _way_back(view, config_path)
    if view.cut_requests:
        lines.append(f"  requests cut at the drain deadline: {view.cut_requests}")
    return lines


def _way_back(view: DeploymentView, config_path: Path) -> list[str]:
    command = command_line(f"rollback {view.service}", config_path)
    if view.previous_image is None:
        return ["  it is the first version here: there is nothing to roll back to yet"]
    if view.rollback_until is not None:
        left = duration(view.rollback_until - time.time())
        return [f"  rollback is instant until {clock_time(view.rollback_until)} ({left} from now): {command}"]
    if view.can_roll_back:
        return [f"  rollback is instant: {command}"]
    return [f"  {view.previous_image} is retired; going back starts it anew: {command}"]


def _headline(outcome: Outcome) -> str:
    view = outcome.deployment
    if outcome.unhealthy_after_rollback:
        return f"{view.id} was rolled back, but what has the traffic now is NOT healthy"
    ended = {Phase.FAILED: "failed", Phase.ABORTED: "was aborted", Phase.ROLLED_BACK: "was rolled back"}
    words = {str(phase): text for phase, text in ended.items()}
    return f"{view.id} {words.get(view.phase, view.phase)}"


def _consequences(outcome: Outcome) -> list[str]:
    view = outcome.deployment
    before = view.previous_image or "no version"
    if outcome.unhealthy_after_rollback:
        return [
            f"  {before} has all traffic again: {printable(outcome.unhealthy_after_rollback)}",
            f"  {view.version} is kept running for a while, for you to decide",
        ]
    if view.phase == Phase.ROLLED_BACK:
        took = f" ({milliseconds(view.rollback_milliseconds)})" if view.rollback_milliseconds is not None else ""
        return [f"  {before} has all traffic again{took}"]
    if view.previous_image is None:
        return [f"  {view.service} had no version before and has none now"]
    return [f"  no traffic ever reached {view.version}; {before} was never touched and goes on"]
