"""docs/cli.md, written from the commands themselves. `python -m bluegreen.interfaces.cli.reference` prints it."""

from __future__ import annotations

import inspect
from enum import Enum
from functools import reduce
from typing import Any

from cyclopts import App, Parameter

from bluegreen.interfaces.cli.app import PATHS, build

INTRODUCTION = """# The command line

Written from the commands by `python -m bluegreen.interfaces.cli.reference > docs/cli.md`; a test holds them together.

Every command takes `--config FILE`, before or after its name. Without it `BLUEGREEN_CONFIG` is read, and then
`./bluegreen.toml` is used. `bluegreen COMMAND --help` shows what stands here.

## Exit codes

| code | meaning |
|---|---|
| 0 | done; for `deploy`, the moment of `--wait` was reached |
| 1 | failed, rolled back, aborted or refused; `plan`: a requirement is not met; `doctor`: something needed is missing |
| 2 | wrong usage or configuration |
| 3 | the daemon can't be reached; a deployment that was being waited for goes on at the next `bluegreen up` |
| 130 | left with Ctrl-C; a deployment that was being waited for goes on in the daemon |
| 141 | whoever read the output has gone (`\\| head`) |

Errors go to stderr: `error: ` with what went wrong, and below it what to do next. `BLUEGREEN_DEBUG=1` adds the
traceback of an unexpected one. `NO_COLOR=1` takes the colours away. What `--json` prints is described in
[json.md](json.md).

## A deployment on the screen

On a terminal, `deploy` draws phases, times and both slots four times a second. Elsewhere it appends one line for each
event, and every five seconds without one a line with the traffic's numbers. Either way it prints the command that rolls
back before anything happens. When nothing will go on without a person (`auto_promote = false`, or monitoring that can't
tell), it says so and goes on waiting.

Ctrl-C leaves the screen, never the deployment: it says how to watch it and exits with 130.

## Shell completion

`source <(bluegreen completion bash)` for this shell, `bluegreen completion bash --install` for all; `zsh` and `fish`
likewise. Service names are completed from the configuration file.
"""


def text() -> str:
    """The whole page."""
    app = build()
    commands = {" ".join(path): reduce(lambda group, word: group[word], path, app) for path in PATHS}
    index = "\n".join(
        f"- [`{name}`](#bluegreen-{name.replace(' ', '-')}): {_summary(command)}" for name, command in commands.items()
    )
    sections = "\n".join(_section(name, command, app.default_parameter) for name, command in commands.items())
    return f"{INTRODUCTION}\n## Commands\n\n{index}\n\n{sections}"


def _description(command: App) -> str:
    return inspect.cleandoc(command.default_command.__doc__ or "") if command.default_command else ""


def _summary(command: App) -> str:
    return _description(command).splitlines()[0]


def _section(name: str, command: App, defaults: Parameter | None) -> str:
    arguments = command.assemble_argument_collection(default_parameter=defaults)
    positional = [argument for argument in arguments if not _is_option(argument)]
    usage = "".join(f" {_shown(argument)}" for argument in positional).replace("\\|", "|")
    rows = [
        f"| `{_shown(argument)}` | {argument.parameter.help} {_default(argument)}".rstrip() + " |"
        for argument in [*positional, *(argument for argument in arguments if _is_option(argument))]
    ]
    head = f"## bluegreen {name}\n\n```\nbluegreen {name}{usage} [OPTIONS]\n```\n\n{_description(command)}\n\n"
    return head + "|  |  |\n|---|---|\n" + "\n".join(rows) + "\n"


def _is_option(argument: Any) -> bool:
    return any(name.startswith("-") for name in argument.names)


def _shown(argument: Any) -> str:
    if not _is_option(argument):
        name = argument.field_info.name.upper()
        name = "\\|".join(argument.get_choices(force=True) or [name])
        return name if argument.required else f"[{name}]"
    names = ", ".join(sorted(argument.names, key=len, reverse=True))
    if argument.hint is bool:
        return names
    choices = argument.get_choices(force=True)
    value = argument.parameter.metavar or ("\\|".join(choices) if choices else argument.parameter.name[0][2:].upper())
    return f"{names} {value}"


def _default(argument: Any) -> str:
    default = argument.field_info.default
    if not argument.parameter.show_default or default is inspect.Parameter.empty:
        return ""
    return f"Default: `{default.value if isinstance(default, Enum) else default}`."


if __name__ == "__main__":
    print(text(), end="")
