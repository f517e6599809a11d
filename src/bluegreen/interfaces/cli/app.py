"""The commands, and how errors leave: on stderr, with the exit code that their kind has."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from cyclopts import App, CycloptsError, Parameter

from bluegreen import __version__
from bluegreen.domain.errors import BluegreenError
from bluegreen.interfaces.cli import output
from bluegreen.interfaces.cli.location import default_config, state_directory_of
from bluegreen.spec.paths import daemon_log

USAGE = 2

COMMANDS: dict[str, tuple[str, ...]] = {
    "daemon_commands": ("up", "down", "reload"),
    "deploy_commands": ("plan", "deploy"),
    "change_commands": ("approve", "promote", "abort", "rollback"),
    "read_commands": ("status", "history", "deployment", "wait", "events", "services"),
    "log_commands": ("logs",),
    "report_commands": ("report",),
    "simulate_commands": ("simulate",),
    "ask_commands": ("ask",),
    "mcp_commands": ("mcp",),
    "compose_commands": ("import-compose",),
    "local_commands": ("validate", "doctor", "version", "completion"),
}
"""Module → its commands, in the order of the help page."""


@dataclass(frozen=True, slots=True)
class Group:
    """Commands with a word in common: `bluegreen token create`. `commands` maps each to its function in the module;
    `default` is the function of the word alone, when it is a command too."""

    help: str
    module: str
    commands: Mapping[str, str]
    default: str = ""


GROUPS: dict[str, Group] = {
    "workload": Group(
        "The walk by hand, one step at a time, with the tools that agents have.",
        "workload_commands",
        {"submit": "submit", "get": "get", "list": "list_", "stop": "stop", "scale": "scale", "logs": "logs"},
    ),
    "metrics": Group(
        "Health, traffic and use of the machine over time.", "metric_commands", {"query": "query"}, default="show"
    ),
    "alert": Group(
        "Tell people something, now or when a condition holds; see what they were told.",
        "alert_commands",
        {"create": "create", "list": "list_", "silence": "silence"},
    ),
    "token": Group(
        "Who may use the API: make, list and revoke tokens.",
        "token_commands",
        {"create": "create", "list": "list_", "revoke": "revoke"},
    ),
    "audit": Group(
        "Who did what: check and read the audit log.", "audit_commands", {"verify": "verify", "list": "list_"}
    ),
    "skill": Group("What agents can learn about deploying.", "skill_commands", {"install": "install", "list": "list_"}),
}
"""In the order of the help page, after the commands."""
NAMES = (*(name for names in COMMANDS.values() for name in names), *GROUPS)
"""Every first word."""
PATHS: tuple[tuple[str, ...], ...] = (
    *((name,) for names in COMMANDS.values() for name in names),
    *(
        path
        for name, group in GROUPS.items()
        for path in ([(name,)] if group.default else []) + [(name, command) for command in group.commands]
    ),
)
"""Every command, as the words that it takes to type it."""


def build(*, load_all: bool = True, typed: str = "") -> App:
    """The whole command line. Without `load_all` a module is loaded when one of its commands is typed (`typed` is the
    first word), which is quicker, but then the help page has no summaries."""
    app = App(
        name="bluegreen",
        help="Zero-downtime deployments: start green beside blue, prove it, move all traffic in one instant, and back.",
        version=__version__,
        default_parameter=Parameter(negative=(), show_default=False),
        suppress_keyboard_interrupt=False,
    )
    for module, names in COMMANDS.items():
        path = f"{__package__}.{module}"
        for name in names:
            function = name.replace("-", "_")
            command = getattr(import_module(path), function) if load_all else f"{path}:{function}"
            app.command(command, name=name, sort_key=NAMES.index(name))
    for name, group in GROUPS.items():
        made = _group(name, group, load_all=load_all)
        if group.default and (load_all or typed == name):
            made.default(getattr(import_module(f"{__package__}.{group.module}"), group.default))
        app.command(made)
    return app


def _group(name: str, group: Group, *, load_all: bool) -> App:
    made = App(name=name, help=group.help, sort_key=NAMES.index(name))
    path = f"{__package__}.{group.module}"
    for position, (command, function) in enumerate(group.commands.items()):
        found = getattr(import_module(path), function) if load_all else f"{path}:{function}"
        made.command(found, name=command, sort_key=position)
    return made


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # A ✓ must not stop a rollback on an ASCII terminal.
    tokens = _command_first(arguments)
    try:
        app = build(load_all=not _command_of(tokens), typed=tokens[0] if tokens else "")
        result = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return int(result or 0)
    except CycloptsError as error:
        return _wrong_usage(error, tokens)
    except BluegreenError as error:
        output.print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return output.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # What is still buffered must not raise again at exit.
        return output.BROKEN_PIPE
    except Exception as error:
        output.print_unexpected(error, _log_path(tokens))
        return 1


def _command_first(arguments: Sequence[str]) -> list[str]:
    """`--config FILE` before the command, or between its two words, means the same as after it."""
    words: list[str] = []
    options: list[str] = []
    rest = list(arguments)
    while rest and len(words) < (2 if words and words[0] in GROUPS else 1):
        width = 2 if rest[0] == "--config" else 1 if rest[0].startswith("--config=") else 0
        if width:
            options += rest[:width]
        elif rest[0].startswith("-"):
            break
        else:
            words.append(rest[0])
        del rest[: width or 1]
    return [*words, *options, *rest] if words else list(arguments)


def _command_of(tokens: Sequence[str]) -> tuple[str, ...]:
    """The words of the command that was typed, () when there is no such command."""
    return max((path for path in PATHS if tuple(tokens[: len(path)]) == path), key=len, default=())


def _wrong_usage(error: CycloptsError, tokens: Sequence[str]) -> int:
    text = " ".join(str(error).split())
    message, near, hint = text.partition("Did you mean ")
    words = _command_of(tokens) or [word for word in tokens[:1] if word in GROUPS]
    output.note(f"error: {message.strip()}", near + hint, f"See: {' '.join(['bluegreen', *words])} --help")
    return USAGE


def _log_path(tokens: Sequence[str]) -> Path | None:
    """The daemon's log, when the configuration can be read at all."""
    config = default_config()
    for index, token in enumerate(tokens):
        if token == "--config" and index + 1 < len(tokens):  # noqa: S105 - no password
            config = Path(tokens[index + 1])
        elif token.startswith("--config="):
            config = Path(token.partition("=")[2])
    try:
        return daemon_log(state_directory_of(config))
    except BluegreenError:
        return None
