"""The commands, and how errors leave: on stderr, with the exit code that their kind has."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
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
    "change_commands": ("promote", "abort", "rollback"),
    "read_commands": ("status", "history", "events", "services"),
    "log_commands": ("logs",),
    "local_commands": ("validate", "doctor", "version", "completion"),
}
"""Module → its commands, in the order of the help page."""
NAMES = tuple(name for names in COMMANDS.values() for name in names)


def build(*, load_all: bool = True) -> App:
    """The whole command line. Without `load_all` a module is loaded when one of its commands is typed, which is
    quicker, but then the help page has no summaries."""
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
            command = getattr(import_module(path), name) if load_all else f"{path}:{name}"
            app.command(command, name=name, sort_key=NAMES.index(name))
    return app


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # A ✓ must not stop a rollback on an ASCII terminal.
    tokens = _command_first(arguments)
    try:
        app = build(load_all=not tokens or tokens[0] not in NAMES)
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
    """`--config FILE` before the command means the same as after it."""
    tokens = list(arguments)
    width = 0
    if tokens[:1] == ["--config"] and len(tokens) > 2:
        width = 2
    elif tokens and tokens[0].startswith("--config="):
        width = 1
    if width and len(tokens) > width and not tokens[width].startswith("-"):
        return [tokens[width], *tokens[:width], *tokens[width + 1 :]]
    return tokens


def _wrong_usage(error: CycloptsError, tokens: Sequence[str]) -> int:
    text = " ".join(str(error).split())
    message, near, hint = text.partition("Did you mean ")
    command = f" {tokens[0]}" if tokens and tokens[0] in NAMES else ""
    output.note(f"error: {message.strip()}", near + hint, f"See: bluegreen{command} --help")
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
