"""Commands that need no daemon: `validate`, `doctor`, `version`, `completion`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bluegreen import __version__
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.output import plural, print_json, styled


def validate(*, config: o.Config = o.CONFIG_DEFAULT) -> int:
    """Check the configuration file. Prints every problem at once and exits with 2 when there is one."""
    from bluegreen.spec.loading import load

    print(f"ok: {plural(len(load(config).services), 'service')}")
    return 0


def doctor(*, as_json: o.Json = False, config: o.Config = o.CONFIG_DEFAULT) -> int:
    """Show what is installed, what is missing, and what to type. Exits with 1 when something needed is missing."""
    from bluegreen.interfaces.cli.doctor import examine

    findings = examine(config)
    healthy = all(finding.ok or not finding.needed for finding in findings)
    if as_json:
        print_json({"ok": healthy, "findings": [dataclasses.asdict(finding) for finding in findings]})
        return 0 if healthy else 1
    for finding in findings:
        mark = styled("✓", "good") if finding.ok else styled("✗", "bad") if finding.needed else styled("-", "warn")
        print(f"{mark} {finding.name:<16} {finding.detail}")
        if finding.to_do:
            print(f"  {'':<16} → {finding.to_do}")
    return 0 if healthy else 1


def version(*, config: o.Config = o.CONFIG_DEFAULT) -> int:
    """Show the version of bluegreen."""
    print(f"bluegreen {__version__}")
    return 0


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell to write it for.")],
    /,
    *,
    install: Annotated[
        bool, Parameter(name="--install", help="Put it where the shell finds it instead of printing it.")
    ] = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Print the shell completion: commands, options, and the services of the configuration file.

    For this shell only: `source <(bluegreen completion bash)`.
    """
    from bluegreen.interfaces.cli.app import build

    app = build()
    if install:
        written: Path = app.install_completion(shell=shell, add_to_startup=False)
        print(f"written: {written}")
        if shell == "bash":
            print(f"have it in every shell: echo 'source {written}' >> ~/.bashrc")
        return 0
    sys.stdout.write(app.generate_completion(shell=shell))
    return 0
