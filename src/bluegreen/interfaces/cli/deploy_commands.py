"""`bluegreen deploy` and `bluegreen plan`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bluegreen.control import requests as r
from bluegreen.control import views as v
from bluegreen.domain.errors import RequirementsNotMet, UsageError
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.cli.location import command_line
from bluegreen.interfaces.cli.output import console, is_interactive, note, print_json
from bluegreen.interfaces.cli.waiting import wait_for

Image = Annotated[
    str,
    Parameter(
        name="--image", help="What to deploy, repository:tag or a tag; the configured image without it.",
    ),
]  # fmt: skip
Strategy = Annotated[
    str, Parameter(name="--strategy", help="blue-green: all traffic at once. canary: in steps.", show_default=True)
]
Settings = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        help="KEY=VALUE: a key of the service's configuration for this deployment, such as replicas=3; repeatable.",
        metavar="KEY=VALUE",
    ),
]
Force = Annotated[bool, Parameter(name="--force", help="Deploy also the image that runs already.")]


def plan(
    service: o.Service,
    /,
    *,
    image: Image = "",
    strategy: Strategy = "blue-green",
    settings: Settings = (),
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Show what a deployment would do and whether its requirements hold. Changes nothing.

    Exits with 1 when a requirement is not met.
    """
    client = DaemonClient(config)
    request = r.PlanRequest(service, image, strategy, _overrides(settings), requested_by=o.requested_by())
    raw = client.call_raw("plan", request)
    if as_json:
        print_json(raw)
    else:
        _show_plan(decode(v.PlanView, raw))
    return 0 if raw.get("possible") else 1


def deploy(
    service: o.Service,
    /,
    *,
    image: Image = "",
    strategy: Strategy = "blue-green",
    settings: Settings = (),
    wait: Annotated[
        o.Wait | None, Parameter(name="--wait", help="The moment to return at; monitored without it.")
    ] = None,
    detach: Annotated[bool, Parameter(name="--detach", help="Return as soon as the deployment has begun.")] = False,
    yes: Annotated[
        bool, Parameter(name="--yes", alias="-y", help="Don't ask. Without a terminal nobody asks.")
    ] = False,
    force: Force = False,
    message: Annotated[str, Parameter(name="--note", help="A remark for the history.")] = "",
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Deploy a version of a service beside the one that runs, prove it, and move all traffic to it.

    On a terminal it shows the plan and asks first. It returns when real traffic on the new version was watched
    long enough (`--wait monitored`), when all of the traffic has moved (`switched`; a canary's first steps are not
    enough), or when the old version is gone (`completed`). Ctrl-C leaves: the deployment goes on in the daemon. With
    `--json` it prints the deployment at the end and nothing before.
    """
    if detach and wait is not None:
        raise UsageError("--detach returns at once, so --wait has no meaning with it", hint="Leave one of them out")
    request = r.DeployRequest(
        service, image, strategy, _overrides(settings), force=force, requested_by=o.requested_by(), note=message
    )
    client = DaemonClient(config)
    if is_interactive() and not yes and not as_json and not _confirmed(client, request):
        note("nothing was changed")
        return 1
    try:
        raw = client.call_raw("deploy", request)
    except KeyboardInterrupt:
        note("\nleft before the daemon had answered; whether it began: " + command_line(f"status {service}", config))
        raise
    view = decode(v.DeploymentView, raw)
    if detach:
        print_json(raw) if as_json else _say_begun(view, config)
        return 0
    if not as_json:
        print(f"deployment {view.id}: {view.previous_image or 'nothing'} → {view.image}")
        print(f"roll back with: {command_line(f'rollback {view.service}', config)}", flush=True)
    return wait_for(client, view, wait or "monitored", as_json=as_json)


def _say_begun(view: v.DeploymentView, config: Path) -> None:
    print(f"deployment {view.id} has begun: {view.previous_image or 'nothing'} → {view.image}")
    print(f"watch it:       {command_line(f'status {view.service} --watch', config)}")
    print(f"roll back with: {command_line(f'rollback {view.service}', config)}")


def _confirmed(client: DaemonClient, request: r.DeployRequest) -> bool:
    """Shows the plan and asks. Raises RequirementsNotMet when there is nothing to ask."""
    asked = r.PlanRequest(
        request.service, request.image, request.strategy, request.overrides, request.force, request.requested_by
    )
    view = client.call("plan", asked, v.PlanView)
    _show_plan(view)
    if not view.possible:
        missing = "; ".join(f"{item.name}: {item.detail}" for item in view.requirements if not item.met)
        raise RequirementsNotMet(f"{request.service!r} can't be deployed now: {missing}", hint="Nothing was changed")
    sys.stdout.write("\nDeploy? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _show_plan(view: v.PlanView) -> None:
    from bluegreen.interfaces.cli.tables import plan_screen

    console().print(plan_screen(view))


def _overrides(settings: tuple[str, ...]) -> dict[str, str]:
    """`("replicas=3",)` → `{"replicas": "3"}`. Raises UsageError."""
    pairs: dict[str, str] = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not key.strip():
            raise UsageError(f"--set: {setting!r} is not KEY=VALUE", hint="For example: --set replicas=3")
        if key.strip() in pairs:
            raise UsageError(f"--set: {key.strip()!r} is given twice", hint="Give every key once")
        pairs[key.strip()] = value
    return pairs
