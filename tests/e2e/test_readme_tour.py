"""The tour of the README, typed as it stands there, on a port of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from examples.system import System

from tests.docs.pages import README, blocks

pytestmark = pytest.mark.e2e

DOCUMENTED = "127.0.0.1:8080"


def test_the_tour_does_what_it_says(make_system: Callable[..., System], tmp_path: Path) -> None:
    text = re.search(r"<!-- tour -->(.*)<!-- /tour -->", README.read_text(), re.DOTALL)
    assert text is not None
    tour = blocks(text.group(1), README)
    (configuration,) = (block.text for block in tour if block.language == "toml")
    system = make_system(f'[router]\nlisten = "127.0.0.1:@port@"\n\n{configuration}')
    path = f"{Path(sys.executable).parent}{os.pathsep}{system.environment['PATH']}"
    for block in tour:
        if block.language == "console":
            for line, expected in steps(block.text):
                done = subprocess.run(
                    ["bash", "-c", line.replace(DOCUMENTED, f"127.0.0.1:{system.port}")],
                    cwd=system.directory,
                    env={**system.environment, "PATH": path},
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"
                if expected:
                    assert done.stdout.split() == expected.split(), f"$ {line}"


def steps(text: str) -> list[tuple[str, str]]:
    """Each line that is typed, and what is printed below it, if the page shows that."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [(line, shown) for line, _, shown in (part.partition("\n") for part in parts)]
