"""`bluegreen ask`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bluegreen.control import requests as r
from bluegreen.control import views as v
from bluegreen.domain.errors import BluegreenError, DaemonUnreachable, Refused, UsageError
from bluegreen.domain.grammar import NotUnderstood, Understood, understand
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.location import command_line, service_names
from bluegreen.interfaces.cli.output import is_interactive, note, print_json, printable
from bluegreen.interfaces.cli.question import said_yes

MODEL_VARIABLE = "BLUEGREEN_MODEL"
NOT_UNDERSTOOD = 2


def ask(
    sentence: Annotated[str, Parameter(help="What to do, as one argument: put it in quotes.")],
    /,
    *,
    yes: Annotated[bool, Parameter(name="--yes", alias="-y", help="Don't ask before something is changed.")] = False,
    model: Annotated[
        str,
        Parameter(
            name="--model",
            help="PROVIDER:NAME of a model that shall work the sentence off (extra `agent`). "
            f"{MODEL_VARIABLE} names one for sentences that the grammar does not understand.",
        ),
    ] = "",
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Do what an English sentence says: bluegreen ask "Deploy api v2.0 and watch it for 10 minutes".

    A small grammar turns it into one operation (docs/ask.md); no model is needed. The command line that it runs is
    shown first, and before anything is changed it asks. Exits with 2 when the sentence was not understood, and when
    there is nobody to ask and `--yes` was not given.
    """
    client = DaemonClient(config)
    if model:
        return _model(client, sentence, model, yes=yes, as_json=as_json)
    found = understand(sentence, _service_names(client))
    if isinstance(found, Understood):
        return _carry_out(client, found, yes=yes, as_json=as_json)
    model = os.environ.get(MODEL_VARIABLE, "")
    if model and yes:
        # "don't deploy …" is no sentence of the grammar: a model must not act on it unasked.
        note(printable(f"not understood by the grammar ({found.problem}); {model} is asked, and asks before it acts"))
        return _model(client, sentence, model, yes=False, as_json=as_json)
    if model:
        note(printable(f"not understood by the grammar ({found.problem}); asking {model}"))
        return _model(client, sentence, model, yes=yes, as_json=as_json)
    _explain(found, as_json, config)
    return NOT_UNDERSTOOD


def _service_names(client: DaemonClient) -> list[str]:
    """Those of the daemon; of the configuration file when it does not run."""
    try:
        return list(client.call("services", r.NoRequest(), v.ServicesView, timeout_seconds=5).services)
    except DaemonUnreachable:
        return service_names(client.config_path)


def _carry_out(client: DaemonClient, found: Understood, *, yes: bool, as_json: bool) -> int:
    line = command_line(shlex.join(found.words), client.config_path)
    note(printable(f"→ {line}"))
    if found.unused:
        note(printable(f"not used: {', '.join(found.unused)}"))
    if found.changes:
        _require_side(client, found)
        if found.operation == "deploy" and not yes:
            _tell_image(client, found)
        if not yes and (as_json or not is_interactive()):
            raise UsageError(
                "--yes: this changes something, and there is nobody to ask here; nothing was changed",
                hint=f"Say --yes, or type it yourself: {line}",
            )
        if not yes and not said_yes("Do it? [y/N] "):
            note("nothing was changed")
            return 1
    # Here, for app loads this module by its name.
    from bluegreen.interfaces.cli.app import run

    more = ["--config", str(client.config_path), *(["--json"] if as_json else [])]
    return run([*found.words, *more, *(["--yes"] if found.operation == "deploy" else [])])


def _tell_image(client: DaemonClient, found: Understood) -> None:
    """What the person is about to say yes to: a sentence has no image or a bare tag mostly. A plan that is refused
    says nothing here; the deployment will be refused with the same words."""
    fields = {name: value for name, value in found.arguments.items() if name != "note"}
    try:
        plan = client.call("plan", r.PlanRequest(**fields), v.PlanView)
    except BluegreenError:
        return
    configured = "" if "image" in found.arguments else ", the configured image"
    note(printable(f"  brings {plan.image}{configured}"))


def _require_side(client: DaemonClient, found: Understood) -> None:
    """Raises Refused when the sentence says blue or green, and the operation would give the traffic to the other."""
    if not found.side:
        return
    service = found.arguments["service"]
    view = client.call("status", r.StatusRequest(service), v.StatusView).services[0]
    deployment = view.deployment
    target = None
    if deployment is not None:
        target = deployment.green if found.operation == "promote" else deployment.blue
    color = next((name for name, slot in view.slots.items() if target and slot.workload_id == target), None)
    if color is None and found.side == view.active:
        raise Refused(f"sentence: {found.side} of {service!r} has the traffic already; nothing was changed")
    if color is not None and color != found.side:
        raise Refused(
            f"sentence: it says {found.side}, and a {found.operation} of {service!r} gives the traffic to {color}; "
            "nothing was changed",
            hint=f"Leave the color out, if that is what you mean: {shlex.join(['bluegreen', *found.words])}",
        )


def _model(client: DaemonClient, sentence: str, model: str, *, yes: bool, as_json: bool) -> int:
    # Only here: it brings pydantic along.
    from bluegreen.interfaces.cli.ask_model import ask_model

    return ask_model(client, sentence, model, yes=yes, as_json=as_json)


def _explain(found: NotUnderstood, as_json: bool, config: Path) -> None:
    if as_json:
        parts = {"problem": found.problem, "parts": found.understood, "unknown": found.unknown}
        print_json({"understood": False, **parts, "examples": found.examples})
        return
    note(printable(f"not understood: {found.problem}; nothing was done"))
    if found.understood:
        note(printable(f"understood so far: {', '.join(found.understood)}"))
    if found.unknown:
        note(printable(f"words without a place: {' '.join(found.unknown)}"))
    note("Sentences that are understood (docs/ask.md has all of them):")
    note(*(f"  {command_line('ask ' + shlex.quote(sentence), config)}" for sentence in found.examples))
