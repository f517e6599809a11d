"""The MCP inspector's command line against a real daemon: through `bluegreen mcp`, and over HTTP at `/mcp`.

It is the reference client in another language, and with `--strict` it also judges whether the schemas are portable.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from examples.system import System, free_port

from bluegreen.control.operations import OPERATIONS
from tests.e2e.conftest import CONFIGURATION

INSPECTOR = "@modelcontextprotocol/inspector"
VERSION = "2.12.0"
OLDEST_NODE = 20
TOOL_SAID_NO = 5
"""Exit code of the inspector when the result is an error."""

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("mcp-inspector"), pytest.mark.timeout(400)]

Inspect = Callable[..., subprocess.CompletedProcess[str]]
"""Takes the inspector's options."""


def give_up(why: str) -> NoReturn:
    """Skips the test, or fails when BLUEGREEN_REQUIRE says that there must be npm."""
    if "npm" in os.environ.get("BLUEGREEN_REQUIRE", ""):
        pytest.fail(why)
    pytest.skip(why)


def node_version() -> int:
    """The first number of its version; 0 without it."""
    node = shutil.which("node")
    if node is None:
        return 0
    done = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30)
    return int(done.stdout.lstrip("v").partition(".")[0] or 0)


@pytest.fixture(scope="session")
def inspector(pytestconfig: pytest.Config) -> Path:
    """The inspector's program, installed once and kept beside pytest's own cache."""
    kept = pytestconfig.rootpath / ".pytest_cache" / f"mcp-inspector-{VERSION}"
    program = kept / "node_modules" / ".bin" / "mcp-inspector"
    if (found := node_version()) < OLDEST_NODE:
        give_up(f"the inspector needs Node {OLDEST_NODE}, found {found or 'none'}")
    if program.exists():
        return program
    npm = shutil.which("npm")
    if npm is None:
        give_up("npm is not installed")
    kept.parent.mkdir(exist_ok=True)
    with (kept.parent / f"{kept.name}.lock").open("w") as lock:
        # One at a time, and finished in a directory of its own first: a half of one is never taken for a whole one.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _install(npm, kept)
    return program


def _install(npm: str, kept: Path) -> None:
    fresh = kept.with_name(f"{kept.name}.new")
    for leftover in (fresh, kept):
        shutil.rmtree(leftover, ignore_errors=True)
    package = f"{INSPECTOR}@{VERSION}"
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    done = subprocess.run(
        [npm, "install", "--prefix", str(fresh), *options, package], capture_output=True, text=True, timeout=300
    )
    if done.returncode != 0:
        give_up(f"npm can't install {package}: {done.stderr[-500:]}")
    fresh.rename(kept)


@pytest.fixture
def system(make_system: Callable[..., System]) -> System:
    """v1.9 has the traffic; the network door is open on loopback."""
    made = make_system(f'{CONFIGURATION}\n[api]\nlisten = "127.0.0.1:{free_port()}"\n')
    made.up()
    made.wait(made.deploy("v1.9"), "completed")
    return made


def target_over_stdio(system: System) -> Sequence[str]:
    program, *arguments = system.command("mcp")[:-2]
    return [program, *arguments, "-e", f"BLUEGREEN_CONFIG={system.config}", "--cwd", str(system.directory)]


def target_over_http(system: System) -> Sequence[str]:
    listen = tomllib.loads(system.config.read_text())["api"]["listen"]
    token = system.run("token", "create", "inspector", "--scope", "read")
    assert token.returncode == 0, token.stderr
    return [f"http://{listen}/mcp", "--header", f"Authorization: Bearer {token.stdout.strip()}"]


@pytest.fixture(params=[target_over_stdio, target_over_http], ids=["stdio", "http"])
def inspect(request: pytest.FixtureRequest, inspector: Path, system: System, tmp_path: Path) -> Inspect:
    target = request.param(system)

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(inspector), "--cli", *target, "--quiet", *options],
            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False,
            env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip

    return run


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_lists_and_calls_the_tools(inspect: Inspect, era: str) -> None:
    listed = answer(inspect("--protocol-era", era, "--method", "tools/list", "--strict"))["tools"]
    names = [tool["name"] for tool in listed]
    reading = [operation.tool for operation in OPERATIONS.values() if not operation.changes]
    assert set(reading) <= set(names) <= {operation.tool for operation in OPERATIONS.values()}

    labels = json.dumps({"labels": {"app": "inference-model", "env": "production"}})
    call = ("--protocol-era", era, "--method", "tools/call", "--tool-name")
    found = answer(inspect(*call, "workload_list", "--tool-args-json", labels))
    assert found["structuredContent"]["count"] == 1
    (item,) = found["structuredContent"]["items"]
    assert (item["version"], item["active"]) == ("v1.9", True)
    assert json.loads(found["content"][0]["text"]) == found["structuredContent"]

    refused = inspect(*call, "workload_get", "--tool-arg", "workloadId=inference-model-gren")
    assert refused.returncode == TOOL_SAID_NO, (refused.stdout, refused.stderr)
    result = json.loads(refused.stdout)
    assert result["isError"]
    assert "workloadId" in result["content"][0]["text"]
