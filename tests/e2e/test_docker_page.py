"""docs/docker.md, typed as it stands there: on a real engine, with images of the names that it uses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from examples.system import System

from tests.docs.pages import ROOT, Block, blocks
from tests.e2e.test_readme_tour import steps
from tests.support.docker_engine import DockerEngine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PAGE = ROOT / "docs" / "docker.md"
DOCUMENTED = "127.0.0.1:8080"


def parts() -> tuple[str, str]:
    """The tour, and the rest of the page."""
    found = re.search(r"<!-- tour -->(.*)<!-- /tour -->(.*)", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1], found[2]


def typed(system: System, engine: DockerEngine, block: Block) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{system.environment['PATH']}"
    for line, expected in steps(block.text):
        done = subprocess.run(
            ["bash", "-c", line.replace(DOCUMENTED, f"127.0.0.1:{system.port}")],
            cwd=system.directory,
            env={**system.environment, "PATH": path, "DOCKER_HOST": engine.host},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}\n{system.daemon_log()}"
        if expected:
            assert done.stdout.split() == expected.split(), f"$ {line}"


def test_the_tour_does_what_it_says(make_system: Callable[..., System], docker_engine: DockerEngine) -> None:
    for version in ("v1", "v2", "v3"):
        docker_engine.make_server_image(
            f"registry.example/inference-model:{version}", 'CMD ["/server", "8000"]', "EXPOSE 8000"
        )
    system = make_system("")
    engine = f'kind = "docker"\nhost = "{docker_engine.host}"\nnetwork = "{docker_engine.network}"'
    for block in blocks(parts()[0], PAGE):
        if block.language == "toml":
            system.write(block.text.replace(DOCUMENTED, "127.0.0.1:@port@").replace('kind = "docker"', engine))
        else:
            typed(system, docker_engine, block)
    assert docker_engine.containers() == []


def test_the_import_does_what_it_says(make_system: Callable[..., System], docker_engine: DockerEngine) -> None:
    system = make_system("")
    system.config.unlink()
    rest = blocks(parts()[1], PAGE)
    (compose,) = (block for block in rest if block.language == "yaml")
    (system.directory / "compose.yaml").write_text(compose.text)
    (commands,) = (block for block in rest if block.language == "console")
    typed(system, docker_engine, commands)
    assert "inference-model" in system.config.read_text()


def test_every_block_is_run_or_is_a_configuration() -> None:
    """Configurations are read by tests/docs."""
    assert {block.language for block in blocks(parts()[1], PAGE)} == {"toml", "yaml", "console"}
