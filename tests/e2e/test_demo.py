"""The demonstration keeps what it promises, and leaves nothing behind, also when it is ended in the middle."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bluegreen.spec.paths import run_directory
from tests.support.docker_engine import DockerEngine

pytestmark = pytest.mark.e2e

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"
MUST_BE_ZERO = (
    "requests failed",
    "requests on the old side (v1.9) after that",
    "requests on the old side (v2.0) after that",
    "requests on the old side (v2.2) after that",
    "requests on v2.1, which is broken",
)


@contextlib.contextmanager
def demo(temporary: Path, *arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """The demonstration on its way, with a temporary directory that nobody else has."""
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1", **more}
    process = subprocess.Popen(
        [sys.executable, str(DEMO), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate()


def processes_in(directory: Path) -> list[str]:
    """Command lines of the processes that have to do with a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                place = os.fsencode((entry / "cwd").readlink())
                if os.fsencode(directory) in command + (entry / "environ").read_bytes() + place:
                    found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


def test_the_demonstration_ends_with_the_zeros_it_promises(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        output, _ = process.communicate(timeout=150)
    assert process.returncode == 0, output
    promises_are_kept(output)
    assert list(tmp_path.iterdir()) == []
    assert processes_in(tmp_path) == []


def test_in_containers_it_is_the_same_and_the_docker_engine_is_as_before(
    tmp_path: Path, docker_engine: DockerEngine
) -> None:
    engine = {"DOCKER_HOST": docker_engine.host, "BLUEGREEN_DEMO_NETWORK": docker_engine.network}
    before = docker_engine.ask("GET", "/images/json").json()
    with demo(tmp_path, "--runtime", "docker", **engine) as process:
        output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    promises_are_kept(output)
    assert list(tmp_path.iterdir()) == []
    assert docker_engine.containers() == []
    assert docker_engine.ask("GET", "/images/json").json() == before


def test_without_a_docker_engine_it_says_so(tmp_path: Path) -> None:
    nowhere = f"unix://{tmp_path}/nothing.sock"
    with demo(tmp_path, "--runtime", "docker", DOCKER_HOST=nowhere) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no Docker Engine answers at" in output
    assert list(tmp_path.iterdir()) == []


def promises_are_kept(output: str) -> None:
    for name in MUST_BE_ZERO:
        assert re.search(rf"^ *{re.escape(name)} +0 +0 ✓", output, re.MULTILINE), f"{name}\n{output}"
    assert int(re.findall(r"requests sent +(\d+)", output)[0]) > 1000
    for name in ("switch v1.9 → v2.0", "rollback v2.0 → v1.9"):
        assert re.search(rf"{name}: acknowledged after +\d+\.\d ms", output), output


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "registry/inference-model:v1.9 → registry/inference-model:v2.0"),
        (signal.SIGTERM, "$ bluegreen up --deploy"),
    ],
    ids=["Ctrl-C while v2.0 is deployed", "SIGTERM while the daemon starts"],
)
def test_ended_early_it_leaves_nothing_behind(tmp_path: Path, number: signal.Signals, moment: str) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if moment in line:
                break
        (directory,) = tmp_path.iterdir()
        sockets = run_directory(directory / ".bluegreen")
        process.send_signal(number)
        rest, _ = process.communicate(timeout=90)
    assert process.returncode == 128 + number, "".join(seen) + rest
    assert processes_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert not sockets.exists()
