"""`bluegreen ask` with a model: its calls go to the daemon, like everybody's. Loaded only when a model is used."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from typing import Any

from bluegreen.control.gate import parse
from bluegreen.control.masking import masked
from bluegreen.control.operations import OPERATIONS, Operation
from bluegreen.interfaces.agent.session import run_sentence
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.output import is_interactive, note, print_json, printable
from bluegreen.interfaces.cli.question import said_yes

SLOW_ANSWER_SECONDS = 60.0


def ask_model(client: DaemonClient, sentence: str, model: str, *, yes: bool, as_json: bool) -> int:
    """Lets the model work the sentence off, shows each call, and prints its last words."""

    def call(name: str, arguments: Mapping[str, Any]) -> Any:
        operation = OPERATIONS[name]
        if not operation.changes:
            note(f"→ {_shown(operation, arguments)}")
        request = parse(operation, arguments)
        if any(field.name == "requested_by" for field in dataclasses.fields(request)):
            request = dataclasses.replace(request, requested_by=f"{o.requested_by()} (model)")
        return client.call_raw(name, request, timeout_seconds=SLOW_ANSWER_SECONDS)

    def confirm(operation: Operation, arguments: Mapping[str, Any]) -> bool:
        note(f"→ {_shown(operation, arguments)}   (changes something)")
        if yes:
            return True
        if as_json or not is_interactive():
            note("declined: there is nobody to ask here, and --yes was not given")
            return False
        return said_yes("Do it? [y/N] ")

    answer = run_sentence(model, sentence, call, confirm=confirm)
    if as_json:
        print_json({"text": answer.text, "calls": list(answer.calls)})
    else:
        print(printable(answer.text))
    return 0


def _shown(operation: Operation, arguments: Mapping[str, Any]) -> str:
    parts = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in masked(arguments).items())
    return printable(" ".join([operation.tool, *map(shlex.quote, parts)]))
