"""Waits for a deployment on whatever there is to show it on."""

from __future__ import annotations

from bluegreen.control import views as v
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.follower import Follower, Outcome, Screen
from bluegreen.interfaces.cli.location import command_line
from bluegreen.interfaces.cli.output import can_redraw, note, print_json
from bluegreen.interfaces.cli.plain_screen import PlainScreen, SilentScreen
from bluegreen.interfaces.cli.summary import summary


def wait_for(client: DaemonClient, view: v.DeploymentView, wait: str, *, as_json: bool = False) -> int:
    """Shows the deployment until `wait` and what came of it; returns the exit code."""
    outcome = outcome_of(client, view, wait, as_json=as_json)
    if as_json:
        print_json(outcome.raw)
    else:
        print("\n".join(["", *summary(outcome, client.config_path)]), flush=True)
    return 0 if outcome.reached else 1


def outcome_of(client: DaemonClient, view: v.DeploymentView, wait: str, *, as_json: bool) -> Outcome:
    """Raises KeyboardInterrupt when the user leaves, having said that the deployment goes on."""
    try:
        return Follower(client, view, _screen(client, as_json)).follow(wait)
    except KeyboardInterrupt:
        path = client.config_path
        note(
            f"\nleft; deployment {view.id} of {view.service} goes on in the daemon",
            f"watch it:       {command_line(f'status {view.service} --watch', path)}",
            f"roll back with: {command_line(f'rollback {view.service}', path)}",
        )
        raise


def _screen(client: DaemonClient, as_json: bool) -> Screen:
    if as_json:
        return SilentScreen()
    if can_redraw():
        from bluegreen.interfaces.cli.live_screen import LiveScreen

        return LiveScreen(client.config_path)
    return PlainScreen(client.config_path)
